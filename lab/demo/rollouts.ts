/** The demo's second act: nodes run from their disks, a good image goes through the fleet, a bad one comes back. */
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError } from '../../base/error.ts';
import type { NodeRecord } from '../../orchestrator/fleet/record.ts';
import { wantInstalled } from '../../orchestrator/install/want.ts';
import type { RolloutState } from '../../orchestrator/rollout/engine.ts';
import { makePlan } from '../../orchestrator/rollout/plan.ts';
import { ENDED, type RolloutStatus } from '../../orchestrator/rollout/record.ts';
import { planNodes, publishedImages } from '../../orchestrator/rollout/run/facts.ts';
import { create, operate } from '../../orchestrator/rollout/run/operate.ts';
import { readState } from '../../orchestrator/rollout/run/stored.ts';
import { checkSpec } from '../../orchestrator/rollout/spec.ts';
import { type Failure, publish } from '../bad-image.ts';
import type { Stage } from './stage.ts';

/** Milliseconds: emulated machines restart four times in the longest of these. */
const PATIENCE = 30 * 60_000;

const GOOD = '1.1.0';
const BAD = '1.2.0';
const BY = { actor: 'demo', at: 0 };

/** How far a node's step has come, for its bar. */
const FAR: Record<string, number> = {
  pending: 0,
  staging: 0.2,
  staged: 0.4,
  activating: 0.6,
  booted: 0.8,
  attested: 0.85,
  baking: 0.9,
  done: 1,
  failed: 0.5,
  'rolling-back': 0.3,
  'rolled-back': 1,
  'taken-back': 1,
};

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
  await expectRollout(stage, GOOD, canary, 'done', 'every node runs it');

  const failure: Failure = 'panic';
  view.enter('bad');
  view.say(`Publishing ${BAD}, which panics at its start, and rolling it out the same way.`);
  await publish(stage.paths, BAD, failure);
  await expectRollout(
    stage,
    BAD,
    canary,
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

async function until(
  { fleet, signal }: Stage,
  name: string,
  holds: (node: NodeRecord) => boolean,
): Promise<NodeRecord> {
  const begun = performance.now();
  for (;;) {
    const node = await fleet.nodes.resolve(name);
    if (holds(node)) return node;
    if (performance.now() - begun > PATIENCE) throw failed(`${name} is ${node.state}: ${node.reason}`);
    await sleep(500, undefined, { signal });
  }
}

async function expectRollout(
  stage: Stage,
  image: string,
  canary: string,
  end: RolloutStatus,
  meaning: string,
): Promise<void> {
  const { view } = stage;
  const id = await start(stage, image, canary);
  const { rollout } = await follow(stage, id);
  view.bars([]);
  if (rollout.state !== end)
    throw failed(`the rollout of ${image} ended as ${rollout.state}: ${rollout.why}`);
  view.say(`The rollout of ${image} ended as '${rollout.state}': ${meaning}.`);
}

/** What the demo rolls out, as an operator would write it down. */
export const rolloutOf = (image: string, canary: string) => ({
  image,
  nodes: { all: true },
  netboot: 'skip',
  waves: [
    { name: 'canary', select: { names: [canary] } },
    { name: 'rest', take: 'rest' },
  ],
  limits: { site: '100%' },
  bake: { node: '10s', wave: '5s' },
  attempts: 1,
  timeouts: { activate: '25m', rollback: '25m', silent: '20m' },
});

async function start({ fleet, paths }: Stage, image: string, canary: string): Promise<string> {
  const checked = checkSpec(rolloutOf(image, canary));
  if (!checked.ok) throw failed(JSON.stringify(checked.refusals));
  const { facts, images } = await publishedImages(paths.images);
  const planned = makePlan(await planNodes(fleet, Object.keys(images)), checked.spec, Date.now(), facts);
  if (!planned.ok) throw failed(JSON.stringify(planned.refusals));
  const id = await create(fleet.redis, planned.plan, images, { author: 'demo', at: Date.now() });
  await operate(fleet.redis, id, { type: 'start', by: 'demo' });
  return id;
}

/** Shows each node's steps until the rollout has ended. */
async function follow({ fleet, view, signal }: Stage, id: string): Promise<RolloutState> {
  const begun = performance.now();
  const said = new Map<string, string>();
  for (;;) {
    const state = await readState(fleet.redis, id);
    const steps = [...state.nodes.values()];
    for (const step of steps) {
      if (said.get(step.node) === step.state || step.state === 'pending') continue;
      said.set(step.node, step.state);
      view.say(`${step.name}: ${step.state}${step.why === '' ? '' : `: ${step.why}`}`);
    }
    view.bars(steps.map((step) => ({ name: step.name, fraction: FAR[step.state] ?? 0, text: step.state })));
    if (ENDED.includes(state.rollout.state)) return state;
    if (performance.now() - begun > PATIENCE)
      throw failed(`the rollout ${id} is still ${state.rollout.state}`);
    await sleep(500, undefined, { signal });
  }
}

function failed(what: string): BootwaveError {
  return new BootwaveError({ code: 'DEMO_FAILED', what });
}
