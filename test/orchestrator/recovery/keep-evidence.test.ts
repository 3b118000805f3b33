/** Evidence that a site wants collected by itself, with the keeper, the signer and the road of a held machine as `bootwave up` runs them. */
import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { collect } from '../../../orchestrator/operations/incident/evidence.ts';
import { kept, momentOf } from '../../../orchestrator/recovery/evidence.ts';
import { EVIDENCE_FIRST } from '../../../orchestrator/recovery/held.ts';
import { decideIncident } from '../../../orchestrator/recovery/incidents.ts';
import { startEvidenceKeeper } from '../../../orchestrator/recovery/keep-evidence.ts';
import type { EnrolmentDecision } from '../../../protocol/enrolment/enrolment.ts';
import { quoted, silent } from '../fleet/support.ts';
import { BY, DISK, heldWorld } from './held-world.ts';

type Held = Extract<EnrolmentDecision, { state: 'held' }>;

async function world(t: ExecutionContext) {
  const found = await heldWorld(t);
  const { fleet, paths, says, fences, clock, stands } = found;
  await says('wipe');
  await fleet.sites.set('default', { evidence: 'collect' }, BY);
  await fences();
  const run = () => {
    const stop = new AbortController();
    const done = startEvidenceKeeper({
      ...{ fleet, folder: paths.evidence, site: 'default', log: silent, signal: stop.signal },
      ...{ now: () => clock.now, times: { look: 20, again: 40 } },
    });
    t.teardown(async () => {
      stop.abort();
      await done;
    });
  };
  const until = async (what: () => boolean) => {
    for (const last = performance.now() + 60_000; !what(); await sleep(20))
      if (performance.now() > last) throw new Error(JSON.stringify(stands()));
  };
  return { ...found, run, until };
}

test('a fenced node gets no order to wipe before its evidence is collected, and at once when it is', async (t) => {
  const { restarts, run, until, stands, fleet, paths, id } = await world(t);
  const early = (await restarts(2)) as Held;
  t.is(early.order, null);
  t.regex(early.reason, /collected before its wipe/);
  t.like(stands(), { step: 'fenced' });
  run();
  await until(() => stands()?.collected !== undefined);
  t.regex((await kept(paths.evidence, stands()!)).toString(), /it talks to strangers/);
  const held = (await restarts(3)) as Held;
  t.not(held.order, null);
  t.like(stands(), {
    step: 'wiping',
    reason: 'it has started, and proved its TPM',
    collected: { length: 1 },
  });
  // Another fence within the same incident is another moment.
  t.is(momentOf(stands()!, 0), null);
  await decideIncident(fleet, id, (now) => ({ ...now!, step: 'fenced', tries: { returns: 1 } }), BY);
  await until(() => stands()?.collected?.length === 2);
});

test('nobody collects: the wipe waits for two minutes after the fence and no longer, and the incident says so', async (t) => {
  const { restarts, stands, clock } = await world(t);
  clock.now += EVIDENCE_FIRST - 1;
  t.is(((await restarts(2)) as Held).order, null);
  clock.now += 1;
  t.not(((await restarts(3)) as Held).order, null);
  t.like(stands(), { step: 'wiping' });
  t.regex(stands()!.reason, /evidence was not collected in time/);
});

test('evidence that cannot be written is missing in the incident, and does not keep the wipe from going on', async (t) => {
  const { restarts, stands, clock, paths, run, until } = await world(t);
  await writeFile(paths.evidence, 'no folder');
  run();
  await until(() =>
    stands()!.evidence.some((line) => /evidence was not collected: .*EEXIST|ENOTDIR/.test(line)),
  );
  t.is(((await restarts(2)) as Held).order, null);
  clock.now += EVIDENCE_FIRST;
  t.not(((await restarts(3)) as Held).order, null);
});

test('a site that wants none collects nothing, and nothing waits for it', async (t) => {
  const { fleet, restarts, run, stands } = await world(t);
  await fleet.sites.set('default', { evidence: 'none' }, BY);
  run();
  t.not(((await restarts(2)) as Held).order, null);
  await sleep(300);
  t.is(stands()?.collected, undefined);
});

const SAID = { ak: 'YWs=', quote: {} as never };
const read = (more: object = {}) =>
  JSON.stringify({
    incident: 1,
    read: 'heads',
    disks: [
      {
        name: DISK,
        size: 1000,
        parts: [{ what: 'the partition table', from: 0, length: 1000, sha256: 'ab'.repeat(32) }],
      },
    ],
    missing: ['x: EIO'],
    ...more,
  });

test('disks: a machine that has its order is asked once, in one boot, and what it read is decided before its wipe', async (t) => {
  const { fleet, says, fences, restarts, directory, id, shown, stands, paths, report } = await heldWorld(t);
  await says('wipe');
  await fences();
  await t.throwsAsync(directory.disksAsked(id), { code: 'WIPE_OTHER' }, 'it has no order yet');
  await restarts(2);
  t.is(await directory.disksAsked(id), null, 'its site does not want that');
  await fleet.sites.set('default', { evidence: 'disks' }, BY);
  await t.throwsAsync(directory.disksShown(id, shown(2), { ...SAID, report: read() }), {
    code: 'EVIDENCE_UNASKED',
  });
  t.is(await directory.disksAsked(id), 'heads');
  t.is(await directory.disksAsked(id), 'heads', 'the same boot: it may have lost the answer');
  await t.throwsAsync(directory.disksShown(id, shown(2), { ...SAID, report: read({ incident: 2 }) }), {
    code: 'WIPE_OTHER',
  });
  await t.throwsAsync(
    directory.disksShown(id, shown(2, { pcrs: quoted('2.0', 'd'.repeat(64)) }), {
      ...SAID,
      report: read(),
    }),
    { code: 'WIPE_NOT_ATTESTED' },
  );
  await directory.disksShown(id, shown(2), { ...SAID, report: read() });
  t.is(await directory.disksAsked(id), null);
  await t.throwsAsync(directory.disksShown(id, shown(2), { ...SAID, report: read() }), {
    code: 'EVIDENCE_UNASKED',
  });
  t.like(stands(), { step: 'wiping', collected: [{ missing: ['x: EIO'], moment: 'disks' }] });
  t.true(
    stands()!.evidence.some((line) => line.includes(DISK) && line.includes('ab'.repeat(32))),
    `${stands()!.evidence}`,
  );
  t.true((await kept(paths.evidence, stands()!)).includes(read()), 'as it was quoted');
  await directory.wiped(id, shown(2), report);
  t.notRegex(stands()!.reason, /nothing was read/);
});

test('disks: in another boot a wipe may have begun, and nothing is asked; that nothing was read is said', async (t) => {
  const { fleet, says, fences, restarts, directory, id, shown, stands, report } = await heldWorld(t);
  await says('wipe');
  await fleet.sites.set('default', { evidence: 'disks' }, BY);
  await fences();
  // Nobody collects here, and the wait for that is not what this is about.
  await decideIncident(
    fleet,
    id,
    (now) => ({ ...now!, tries: { ...now!.tries, since: BY.at - EVIDENCE_FIRST } }),
    BY,
  );
  await restarts(2);
  t.is(await directory.disksAsked(id), 'heads');
  await restarts(3);
  t.is(await directory.disksAsked(id), null);
  await t.throwsAsync(directory.disksShown(id, shown(3), { ...SAID, report: read() }), {
    code: 'EVIDENCE_UNASKED',
  });
  await directory.wiped(id, shown(3), report);
  t.regex(stands()!.reason, /nothing was read of its disks before/);
});

test('disks: a person asks for every byte of a fenced node, before it has come, and of no other', async (t) => {
  const { fleet, paths, says, fences, restarts, directory, id, stands } = await heldWorld(t);
  const acting = { fleet, paths, by: BY, signal: new AbortController().signal, log: silent } as never;
  const ask = { node: id, reason: 'for the police', disks: [], beforeWipe: 'all' as const };
  await t.throwsAsync(collect(ask, acting), { code: 'EVIDENCE_DISKS' });
  await says('wipe');
  await fences();
  await collect(ask, acting);
  t.like(stands(), { disks: { read: 'all', by: BY.actor }, collected: { length: 1 } });
  await restarts(2);
  t.is(await directory.disksAsked(id), 'all');
  await t.throwsAsync(collect({ ...ask, beforeWipe: 'heads' }, acting), { code: 'EVIDENCE_DISKS' });
  t.is(await directory.disksAsked(id), 'all');
});
