import test from 'ava';
import type { BootStep } from '../../../bootserver/directory.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { stuck } from '../../../orchestrator/fleet/machine.ts';
import { MachineStore } from '../../../orchestrator/fleet/machines.ts';
import { overview } from '../../../orchestrator/fleet/overview.ts';
import { enrolment, fleetFor, macOf, START } from './support.ts';

const MINUTE = 60_000;

test('a machine that was seen is listed as discovered until it enrols', async (t) => {
  const { fleet, directory, clock } = await fleetFor(t);
  await directory.sawBoot({ mac: macOf(1), arch: 'uefi-x64', step: 'dhcp-offered', at: clock.now });
  await directory.sawBoot({ mac: macOf(1), step: 'image-sent', at: clock.now + 1000 });
  t.like((await overview(fleet, {}, clock.now)).machines[0], {
    mac: macOf(1),
    arch: 'uefi-x64',
    step: 'image-sent',
    site: 'default',
    firstSeen: START,
    stuck: null,
  });
  await directory.enrol(enrolment(1, 1, { at: clock.now + 2000 }));
  const after = await overview(fleet, {}, clock.now);
  t.deepEqual(after.machines, []);
  t.is(after.nodes.length, 1);
  t.deepEqual(
    (await fleet.machines.boots(macOf(1))).map((event) => event.step),
    ['dhcp-offered', 'image-sent'],
  );
});

test('a flood of made-up MACs leaves nothing of those that were forgotten', async (t) => {
  const { redis } = await fleetFor(t);
  const store = new MachineStore(redis, { machines: 2, events: 5, life: 3600 });
  for (let n = 1; n <= 5; n++) {
    await store.saw({ mac: macOf(n), step: 'script-sent', at: START + n }, 'default');
  }
  t.is((await store.all()).size, 2);
  t.is(await redis.exists(KEYS.boots(macOf(1)), KEYS.boots(macOf(2)), KEYS.boots(macOf(3))), 0);
  t.is((await store.boots(macOf(5))).length, 1);
});

test('an image that was sent and nobody who enrolled: stuck after five minutes, with what to check', async (t) => {
  const { fleet, directory, clock } = await fleetFor(t);
  await directory.sawBoot({ mac: macOf(1), step: 'image-sent', at: clock.now });
  t.is((await overview(fleet, {}, clock.now + 5 * MINUTE - 1)).machines[0]?.stuck, null);
  const found = (await overview(fleet, {}, clock.now + 5 * MINUTE)).machines[0]?.stuck;
  t.like(found, { step: 'image-sent', since: START });
  t.regex(found?.check ?? '', /Secure Boot.*tampered.*signed by another fleet/);
});

test('a known node that takes an image and does not come back is stuck too, until it enrols', async (t) => {
  const { fleet, directory, clock } = await fleetFor(t);
  await directory.enrol(enrolment(1));
  await directory.sawBoot({ mac: macOf(1), step: 'image-sent', at: clock.now + MINUTE });
  const late = clock.now + 10 * MINUTE;
  t.like((await overview(fleet, {}, late)).nodes[0]?.stuck, { step: 'image-sent' });
  await directory.enrol(enrolment(1, 2, { at: late }));
  t.is((await overview(fleet, {}, late)).nodes[0]?.stuck, null);
});

test('only steps that should lead to us make a machine stuck', (t) => {
  const machine = (step: BootStep) => ({
    mac: macOf(1),
    uuid: null,
    arch: null,
    site: 'default',
    firstSeen: 0,
    lastSeen: 0,
    step,
    stepAt: 0,
    detail: '',
  });
  const after = (step: BootStep) => stuck(machine(step), null, 60 * MINUTE) !== null;
  t.deepEqual((['loader-sent', 'script-sent', 'image-started', 'image-sent'] as const).map(after), [
    true,
    true,
    true,
    true,
  ]);
  t.deepEqual((['dhcp-offered', 'left-to-disk', 'refused'] as const).map(after), [false, false, false]);
});

test('strangers fill neither the ring of one machine nor the list of all', async (t) => {
  const { redis } = await fleetFor(t);
  const machines = new MachineStore(redis, { machines: 10, events: 5, life: 3600 });
  for (let i = 0; i < 8; i += 1) {
    await machines.saw({ mac: macOf(0), step: 'dhcp-offered', at: START + i }, 'default');
  }
  t.deepEqual(
    (await machines.boots(macOf(0))).map((event) => event.at - START),
    [3, 4, 5, 6, 7],
  );
  for (let n = 1; n <= 30; n += 1) {
    await machines.saw({ mac: macOf(n), step: 'dhcp-offered', at: START + 10 + n }, 'default');
  }
  t.deepEqual(
    [...(await machines.all()).keys()].sort(),
    Array.from({ length: 10 }, (_, i) => macOf(21 + i)),
  );
  // An hour later they are forgotten by the first that comes.
  await machines.saw({ mac: macOf(99), step: 'dhcp-offered', at: START + 3600_000 + 60 }, 'default');
  t.deepEqual([...(await machines.all()).keys()], [macOf(99)]);
  t.true((await redis.ttl(KEYS.boots(macOf(99)))) > 0);
});
