/** The demo's second act: nodes run from their disks, a good image goes through the fleet, a bad one comes back. */
import { wantInstalled } from '../../orchestrator/install/want.ts';
import { type Failure, publish } from '../bad-image.ts';
import { canaryFirst, expectRollout, failed, until } from './follow.ts';
import type { Stage } from './stage.ts';

const GOOD = '1.1.0';
const BAD = '1.2.0';
const BY = { actor: 'demo', at: 0 };

/** @param names of UEFI nodes that are healthy members */
export async function rolloutsAct(stage: Stage, names: readonly string[]): Promise<void> {
  const { view } = stage;
  const [canary = ''] = names;
  view.enter('disk');
  view.print(
    '\nNow the core team: the UEFI nodes get the image onto their disks, and new images are rolled out.\n',
  );
  for (const name of names) await ask(stage, name);
  await Promise.all(names.map((name) => installed(stage, name)));
  view.enter('good');
  view.say(`Publishing ${GOOD}, a good image, and rolling it out: ${canary} first, then the rest.`);
  await publish(stage.paths, GOOD, null);
  await expectRollout(stage, GOOD, rolloutOf(GOOD, canary), 'done', 'every node runs it');

  const failure: Failure = 'panic';
  view.enter('bad');
  view.say(`Publishing ${BAD}, which panics at its start, and rolling it out the same way.`);
  await publish(stage.paths, BAD, failure);
  await expectRollout(
    stage,
    BAD,
    rolloutOf(BAD, canary),
    'failed',
    `it stopped at ${canary}, which went back to ${GOOD} by itself`,
  );
  for (const name of names) {
    const { observed } = await until(stage, name, (node) => node.state === 'healthy');
    if (observed.image !== GOOD) throw failed(`${name} runs ${observed.image} and not ${GOOD}`);
  }
  view.say(
    `All of ${names.join(', ')} run ${GOOD}; no other node was touched, and nobody had a hand on a keyboard.`,
  );
}

async function ask({ fleet, view }: Stage, name: string): Promise<void> {
  const { id, wanted } = await fleet.nodes.resolve(name);
  // It was said when it was approved, where the whole story is played.
  if (wanted.mode === 'installed') return;
  await wantInstalled(fleet, id, { ...BY, at: Date.now() });
  view.say(`${name}: to run from its disk from now on.`);
}

async function installed(stage: Stage, name: string): Promise<void> {
  const { view } = stage;
  await until(stage, name, (node) => node.installedAt !== null);
  view.say(
    `${name}: its disk is partitioned and holds boot loader and image; its firmware is told to start from it.`,
  );
  await until(stage, name, (node) => node.state === 'healthy');
  view.say(`${name}: started from its disk, without asking the network, and is a healthy member again.`);
}

/** What the demo rolls out, as an operator would write it down. */
export const rolloutOf = (image: string, canary: string) => ({
  image,
  ...canaryFirst(canary),
  netboot: 'skip',
  timeouts: { activate: '25m', rollback: '25m', silent: '20m' },
});
