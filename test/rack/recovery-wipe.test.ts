/**
 * A node that runs from its disk is fenced by a person's word, starts again, wipes its disk as the order of its incident says,
 * proves that, and is installed anew. Real firmware, image, TPM, disk and signer; what was on the disk is looked for in the
 * file that is the disk.
 */
import test from 'ava';
import { untilIncident } from '../support/incident.ts';
import { found, plant } from '../support/planted.ts';
import type { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { approveAndInstall } from '../support/rollout.ts';
import { stateUuid } from '../support/state-disk.ts';

const NODE = 'held';
const MINUTE = 60_000;
const by = () => ({ actor: 'test', at: Date.now() });

let rack: Rack;
rackFor(
  test,
  'recovery',
  [{ name: NODE, firmware: 'http' }],
  async (made) => {
    rack = made;
    await rack.startServer();
    await rack.lab.powerOn(NODE);
    await approveAndInstall(rack, NODE);
  },
  { minutes: 120 },
);

test.serial(
  'fenced, wiped, back with new keys and installed, and nothing of before is on its disk',
  async (t) => {
    t.timeout(120 * MINUTE);
    const before = await rack.record(NODE);
    t.is(before.disks.length, 1, 'the fleet knows which disk it installed');
    const uuid = await stateUuid(rack, NODE);
    await plant(rack, NODE);
    t.true((await found(rack, NODE)) >= 2);
    await rack.fleet((fleet) => fleet.sites.set('default', { recovery: 'wipe', evidence: 'disks' }, by()));
    const began = performance.now();
    const told = await rack.bootwave('node', 'fence', NODE, '--reason', 'it talks to strangers');
    t.regex(told.stdout, /is fenced, incident 1/);
    t.is((await rack.record(NODE)).state, 'quarantined');
    t.log(`fenced after ${Math.round(performance.now() - began)} ms`);
    // Its agent obeys: it starts again by itself, since its keys are those of before.
    await rack.state(await rack.lab.console(NODE), 'held');
    const wiped = await untilIncident(
      rack,
      before.id,
      ({ step }) => step === 'wiped' || step === 'returning' || step === 'person',
    );
    t.not(wiped.step, 'person', wiped.reason);
    t.deepEqual(wiped.wipe?.disks, before.disks);
    // What was there is known by its hashes, which its root read and its TPM vouched for before any of it was wiped.
    t.true(wiped.disks?.shown, wiped.evidence.join('\n'));
    t.deepEqual(wiped.collected?.map(({ moment }) => moment).sort(), ['disks', 'fence 0']);
    t.deepEqual(
      wiped.collected?.flatMap(({ missing }) => missing),
      [],
    );
    t.log(wiped.evidence);
    const { stdout } = await rack.bootwave('incident', 'evidence', NODE);
    t.log(stdout);
    t.is(stdout.match(/whole/g)?.length, 2, stdout);
    t.log(`wiped after ${Math.round((performance.now() - began) / 1000)} s: ${wiped.reason}`);
    await untilIncident(rack, before.id, ({ step }) => step === 'returning' || step === 'ended');
    const after = await rack.until(
      NODE,
      ({ state, installedAt }) =>
        state === 'healthy' && installedAt !== null && installedAt > before.installedAt!,
      60 * MINUTE,
    );
    t.log(`a member that runs from its disk after ${Math.round((performance.now() - began) / 1000)} s`);
    t.not(after.identity.spkiDigest, before.identity.spkiDigest);
    t.not(after.identity.hostKey, before.identity.hostKey);
    t.not(after.identity.certificateSerial, before.identity.certificateSerial);
    t.is(after.identity.akName, before.identity.akName);
    t.deepEqual(after.disks, before.disks);
    t.not(await stateUuid(rack, NODE), uuid);
    t.is(await found(rack, NODE), 0);
    const steps = (await rack.fleet((fleet) => fleet.audit.read({ node: before.id })))
      .filter(({ action }) => action === 'incident')
      .map(({ reason }) => /: (fenced|wiping|wiped|returning|ended): /.exec(reason)?.[1]);
    // Evidence that is collected is decided at the same step.
    t.deepEqual([...new Set(steps)].slice(0, 4), ['fenced', 'wiping', 'wiped', 'returning']);
  },
);
