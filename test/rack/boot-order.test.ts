/** What an installed node starts from, on real firmware: its disk, unless a BMC or the fleet says otherwise. */

import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { bootServerLog } from '../../lab/boot-server.ts';
import { want } from '../../orchestrator/install/want.ts';
import { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { snapshot } from '../support/snapshot.ts';
import { GOOD, NODE, UPDATED, updatedRack } from '../support/updated.ts';

let rack: Rack;

rackFor(
  test,
  'order',
  async () => Rack.restore('order', await snapshot(UPDATED, updatedRack)),
  async (made) => {
    rack = made;
  },
  { minutes: 45 },
);

const steps = async () => {
  const mac = rack.lab.nodes[0]?.mac ?? '';
  const boots = await rack.fleet((fleet) => fleet.machines.boots(mac));
  return boots.map(({ step }) => step);
};

/** The power goes and comes back. */
async function cycled(boot?: 'network'): Promise<void> {
  const { bootId } = (await rack.record(NODE)).observed;
  await rack.lab.cycle(NODE, boot === undefined ? {} : { boot });
  await rack.until(NODE, ({ state, observed }) => state === 'healthy' && observed.bootId !== bootId);
}

test.serial('a power cut: it starts from its disk and asks no network', async (t) => {
  const before = await steps();
  await cycled();
  t.deepEqual(await steps(), before);
});

test.serial('a BMC has it ask the network first: the boot server leaves it to its disk', async (t) => {
  await cycled('network');
  t.is((await steps()).at(-1), 'left-to-disk');
  t.is((await rack.record(NODE)).observed.image, GOOD);
});

test.serial('taken back to the network, it is told so, and asks there at its next start', async (t) => {
  const { id } = await rack.record(NODE);
  await rack.fleet((fleet) => want(fleet, id, { mode: 'netboot' }, { actor: 'test', at: Date.now() }));
  while (!(await bootServerLog(rack.lab)).includes('its next restart is from the network')) await sleep(500);
  await cycled();
  const after = await steps();
  t.is(after.at(-1), 'image-sent', after.join(', '));
});
