/** Signals through the fleet's own door, on a real Redis with somebody beside it who owns it. */
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { Reattestation } from '../../../bootserver/directory.ts';
import type { Incident } from '../../../orchestrator/fleet/decisions/incidents.ts';
import { FleetDirectory } from '../../../orchestrator/fleet/directory.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import type { Policy } from '../../../orchestrator/fleet/site.ts';
import { readGuard, resume } from '../../../orchestrator/recovery/guard.ts';
import { decideIncident } from '../../../orchestrator/recovery/incidents.ts';
import { keepGuard } from '../../../orchestrator/recovery/keep-guard.ts';
import { Watch } from '../../../orchestrator/recovery/watch.ts';
import type { HardwareTold } from '../../../protocol/enrolment/heartbeat.ts';
import { rewriteNode } from '../../attack/redis/server.ts';
import { until } from '../../support/until.ts';
import {
  anyImage,
  beatOfBoot,
  certificateFor,
  enrolment,
  inventory,
  pcr11,
  START,
  silent,
  withoutTpm,
} from '../fleet/support.ts';
import { servicesFor } from '../services/world.ts';

const MINUTE = 60_000;
const BY = { actor: 'operator:ann', at: START };

async function world(t: ExecutionContext, policy: Partial<Policy> = { automation: 'fence' }) {
  const found = await servicesFor(t);
  const { fleet } = found;
  await fleet.sites.set('default', policy, BY);
  const clock = { now: START };
  const now = () => clock.now;
  const stop = new AbortController();
  const guard = keepGuard({ fleet, log: silent, signal: stop.signal, every: 20 });
  t.teardown(async () => {
    stop.abort();
    await guard.done;
  });
  while (guard.stopped('fence', { id: '' }) !== null) await sleep(10);
  const watch = new Watch({
    ...{ fleet, site: 'default', attestMinutes: 30, log: silent, now, breaker: guard.stopped },
  });
  const directory = new FleetDirectory({
    ...{ ...anyImage, fleet, site: 'default', pcr11, log: silent, now, bans: found.bans },
    defaultImage: async () => '1.0',
    saw: (sight) => watch.saw(sight),
  });
  /** Up, and seen by the directory that watches. */
  const member = async (n: number) => {
    const id = await found.member(n, []);
    await beat(n);
    return id;
  };
  const beat = (n: number, boot = 1, healthy = true) => {
    const one = enrolment(n, boot);
    return directory.heartbeat(
      one.id,
      certificateFor(one).serial,
      beatOfBoot(one, { healthy, reason: healthy ? '' : 'a unit failed' }),
    );
  };
  const tells = (n: number, change: Partial<HardwareTold>) => {
    const one = enrolment(n);
    const hardware = { clock: clock.now, memory: 0, disk: 0, ...change };
    return directory.heartbeat(one.id, certificateFor(one).serial, beatOfBoot(one, { hardware }));
  };
  const incident = (id: string) => fleet.decisions.incidents.of(id);
  return { ...found, directory, watch, guard, clock, member, beat, tells, incident };
}

const shown = (n: number, change: Partial<Reattestation> = {}): Reattestation => {
  const { akName, pcrs, firmware, address } = enrolment(n);
  const clock = { milliseconds: 5000, resets: 1, restarts: 0, safe: true };
  return {
    akName: akName!,
    nonceNumber: 2 ** 50,
    pcrs: pcrs!,
    clock,
    firmware,
    address,
    at: START,
    ...change,
  };
};
const WRONG = { pcrs: { ...shown(1).pcrs, '11': 'ee'.repeat(32) } };
const serialOf = (n: number) => certificateFor(enrolment(n)).serial;

test('a quote that says something else fences the node, with nobody asked, and the journal can show why', async (t) => {
  const { directory, watch, member, incident, bans, fleet } = await world(t);
  const id = await member(1);
  const { state } = await directory.reattest(id, serialOf(1), shown(1, WRONG));
  t.is(state, 'refused');
  await watch.settled();
  t.like(incident(id), { road: 'compromised', step: 'fenced', signal: 'measurement', by: 'recovery' });
  t.regex(incident(id)!.evidence.join(), /ENROL_MEASUREMENT.*PCR 11 is ee/);
  t.not(bans.banOf({ serial: serialOf(1) }), null);
  const told = (await fleet.audit.read({ node: id })).find(({ action }) => action === 'incident');
  t.regex(told?.detail?.evidence ?? '', /PCR 11/);
});

test('so does a start of something else', async (t) => {
  const { directory, watch, member, incident } = await world(t);
  const id = await member(1);
  await directory.enrol(enrolment(1, 2, { pcrs: { ...enrolment(1).pcrs, '11': 'ee'.repeat(32) } }));
  await watch.settled();
  t.like(incident(id), { step: 'fenced', signal: 'measurement' });
});

test('a site that wants nothing of it, or only repairs, is told; another rule of a site counts', async (t) => {
  for (const policy of [
    { automation: 'off' as const },
    { automation: 'repair' as const },
    { automation: 'fence' as const, signals: { measurement: 'off' as const } },
    { automation: 'fence' as const, signals: { measurement: { times: 2, minutes: 60 } } },
  ]) {
    const { directory, watch, member, incident, fleet } = await world(t, policy);
    const id = await member(1);
    await directory.reattest(id, serialOf(1), shown(1, WRONG));
    await watch.settled();
    t.is(incident(id), undefined, JSON.stringify(policy));
    t.is((await fleet.nodes.get(id))?.state, 'degraded', 'as before there was an automation');
  }
});

test('a disk that foretells for long that it fails opens one incident, and people see which it is', async (t) => {
  const policy = { automation: 'fence' as const, signals: { 'no-quote': 'off' as const } };
  const { watch, member, incident, clock, tells, fleet, guard } = await world(t, policy);
  const [id, unsure] = await Promise.all([1, 2].map(member));
  while ([id!, unsure!].some((one) => guard.stopped('repair', { id: one }) !== null)) await sleep(10);
  const disk = { disk: 'nvme0n1: WWN eui.01, slot 3', why: 'it can only be read' };
  const go = async (from: number, to: number) => {
    for (let minute = from; minute <= to; minute++) {
      clock.now = START + minute * MINUTE;
      await tells(1, { smart: [{ ...disk, failing: true }] });
      await tells(2, { smart: [{ ...disk, failing: null }] });
      await watch.look();
    }
  };
  await go(0, 89);
  t.is(incident(id!), undefined);
  await go(90, 90);
  t.like(incident(id!), { road: 'broken', step: 'open', signal: 'smart', number: 1 });
  t.regex(
    incident(id!)!.evidence.join(),
    /told for 90 min: nvme0n1: WWN eui\.01, slot 3: it can only be read/,
  );
  t.true(watch.isFailing(id!));
  t.like((await fleet.nodes.get(id!))?.observed.smart?.[0], { ...disk, failing: true });
  const over = (known: Incident | undefined) => ({ ...known!, step: 'ended' as const });
  await decideIncident(fleet, id!, over, { actor: 'ann', at: clock.now });
  await go(91, 200);
  t.like(incident(id!), { step: 'ended', number: 1 }, 'a person knows it');
  t.is(incident(unsure!), undefined);
});

test('errors of memory and disks, and a clock that is off, break a node when they go on', async (t) => {
  const { watch, member, incident, clock, tells, fleet, guard } = await world(t);
  const all = await Promise.all([1, 2, 3, 4].map(member));
  const [disk, memory, late, well] = all;
  // Whom the breaker does not know yet is not repaired.
  while (all.some((id) => guard.stopped('repair', { id }) !== null)) await sleep(10);
  for (let minute = 0; minute <= 30; minute++) {
    clock.now = START + minute * MINUTE;
    await tells(1, { disk: minute });
    await tells(2, { memory: Math.floor(minute / 12) });
    await tells(3, { clock: clock.now - 121_000 });
    await tells(4, { clock: clock.now + 119_000, memory: 5, disk: 5 });
    if (minute < 7) await watch.look();
    if (minute === 6)
      t.deepEqual(
        [disk, memory, late].map((id) => incident(id!)),
        [undefined, undefined, undefined],
      );
  }
  await watch.look();
  t.like(incident(disk!), { road: 'broken', step: 'open', signal: 'disk' });
  t.regex(incident(disk!)!.evidence.join(), /errors that the node counted: \d+ at 20/);
  t.like(incident(memory!), { road: 'broken', signal: 'memory' });
  t.like(incident(late!), { road: 'broken', signal: 'clock' });
  t.regex(incident(late!)!.evidence.join(), /-121 s off for 30 min/);
  t.is(incident(well!), undefined);
  t.true(fleet.decisions.incidents.all.every(({ road }) => road === 'broken'));
});

test('whatever a node says of its hardware hides nothing that was seen of it', async (t) => {
  const { watch, member, incident, clock, tells } = await world(t, {
    automation: 'fence',
    signals: { memory: 'off', disk: 'off' },
  });
  const id = await member(1);
  for (let minute = 0; minute <= 100; minute++) {
    clock.now = START + minute * MINUTE;
    await tells(1, { memory: minute * 9, disk: minute * 9 });
    if (minute % 50 === 0)
      watch.saw({ node: id, at: clock.now, kind: 'caught', code: 'QUOTE_SIGNATURE', what: 'it is none' });
  }
  await watch.settled();
  t.like(incident(id), { road: 'compromised', signal: 'bad-quote' });
});

test('silence, illness and missing quotes last until they count; a node that is heard again was never broken', async (t) => {
  const { watch, member, incident, clock, beat, fleet } = await world(t);
  const [quiet, ill, mute, back] = [await member(1), await member(2), await member(3), await member(4)];
  const lost = async (id: string) => {
    await fleet.nodes.update(id, async (record) => ({
      outcome: {
        kind: 'changed',
        record: { ...record!, state: 'unreachable', epoch: record!.epoch + 1 },
        audit: [],
      },
    }));
  };
  await lost(quiet);
  await lost(back);
  for (let minute = 0; minute < 130; minute += 1) {
    clock.now = START + minute * MINUTE;
    await beat(2, 1, false);
    await beat(3);
    if (minute > 10) await beat(4);
    // What was not heard yet would be a silence.
    await until(() => watch.heardAt(mute) === clock.now);
    await watch.look();
    if (minute === 14) t.is(incident(quiet), undefined);
  }
  await watch.settled();
  t.like(incident(quiet), { road: 'broken', step: 'open', signal: 'silent' });
  t.like(incident(ill), { road: 'broken', signal: 'ill' });
  t.like(incident(mute), { road: 'broken', signal: 'no-quote' });
  t.is(incident(back), undefined, 'it was silent for ten minutes only, and its quote is not due yet');
  t.is(incident(quiet)?.evidence.length, 1, 'what goes on is no news');
});

test('where silence counts sooner, nodes that fell silent together are found sooner', async (t) => {
  const { fleet, member, beat, clock } = await world(t, { signals: { silent: { minutes: 3 } } });
  const id = await member(1);
  await member(2);
  const why = async (minutes: number) =>
    (await readGuard(fleet, clock.now + minutes * MINUTE)).stopped(id, 'repair');
  t.is(await why(2), null, 'not repaired yet');
  t.truthy(await why(4));
  clock.now += 4 * MINUTE;
  await resume(fleet, { site: 'default', wipes: false }, { ...BY, at: clock.now, reason: 'it is them' });
  t.is(await why(0), null, 'a person said that it is the nodes');
  clock.now += MINUTE;
  await beat(1);
  await beat(2);
  clock.now += 5 * MINUTE;
  t.truthy(await why(0), 'the next silence is another one');
  await fleet.sites.set('default', { signals: {} }, BY);
  t.is(await why(0), null);
  t.truthy(await why(20));
});

test('a node that starts again and again is found, and one restart is none', async (t) => {
  const { directory, watch, guard, member, incident, clock } = await world(t);
  const id = await member(1);
  t.regex(
    guard.stopped('repair', { id: 'nobody' }) ?? '',
    /nobody has looked/,
    'whom the breaker does not know, waits',
  );
  while (guard.stopped('repair', { id }) !== null) await sleep(10);
  for (let boot = 2; boot <= 5; boot += 1) {
    clock.now = START + boot * MINUTE;
    await directory.enrol(enrolment(1, boot, { at: clock.now }));
    await watch.settled();
    t.is(incident(id)?.signal, boot < 5 ? undefined : 'boot-loop');
  }
});

test('forged: all records say that they are silent, mute, ill, without Secure Boot, or another machine; nothing follows', async (t) => {
  const { directory, watch, member, incident, clock, beat, redis, fleet } = await world(t);
  const ids = [await member(1), await member(2), await member(3)];
  for (const [i, id] of ids.entries()) {
    await rewriteNode(redis, id, (record) => ({
      state: 'unreachable',
      marks: ['attestation-stale'],
      identity: { ...record.identity, akName: '000bff' },
      observed: { ...record.observed, secureBoot: 'on', healthy: false, reason: 'forged', lastAttestedAt: 1 },
      inventory: { ...record.inventory, firmware: { ...record.inventory.firmware, kind: 'uefi' } },
    }));
    await redis.zadd(KEYS.seen, 1, id);
    await redis.zadd(KEYS.attested, 1, id);
    await directory.reattest(id, serialOf(i + 1), shown(i + 1));
  }
  for (let minute = 0; minute < 40; minute += 4) {
    clock.now = START + minute * MINUTE;
    for (const [i, id] of ids.entries()) {
      await beat(i + 1);
      await redis.zadd(KEYS.seen, 1, id);
    }
    await watch.look();
  }
  await watch.settled();
  for (const id of ids) t.is(incident(id), undefined);
  t.is(fleet.decisions.incidents.all.length, 0);
});

test('forged: a member that never had Secure Boot on, or boots by BIOS, had it on; its quote is no mismatch', async (t) => {
  const { directory, watch, redis, fleet, admit, incident } = await world(t);
  const off = { secureBoot: false, foreign: [], optionRoms: [] };
  const one = enrolment(9, 1, { firmware: off, inventory: inventory(9, { secureBoot: 'off' }) });
  await admit(one);
  await rewriteNode(redis, one.id, (record) => ({ observed: { ...record.observed, secureBoot: 'on' } }));
  const { state } = await directory.reattest(one.id, certificateFor(one).serial, {
    ...shown(9),
    firmware: off,
  });
  t.is(state, 'ok');
  await directory.enrol({
    ...one,
    spkiDigest: 'ab'.repeat(32),
    running: { ...one.running, bootId: 'next' },
    clock: { milliseconds: 9000, resets: 2, restarts: 0, safe: true },
  });
  await watch.settled();
  t.is(incident(one.id), undefined);
  t.not(fleet.decisions.heldAs(one.id), undefined);
});

test('a machine without a TPM can be played by anybody: what it shows fences nobody', async (t) => {
  const { directory, watch, fleet, admit, clock } = await world(t, { automation: 'fence', noTpm: 'keep' });
  await admit(withoutTpm(1));
  clock.now += 2 * MINUTE;
  for (let boot = 2; boot < 8; boot += 1)
    t.is((await directory.enrol(withoutTpm(1, boot))).state, 'approved', 'it is believed to be the member');
  await watch.settled();
  t.is(fleet.decisions.incidents.all.length, 0);
});

test('many at once are more likely our own mistake: the breaker stops fences, and says so', async (t) => {
  const { directory, watch, member, incident, guard } = await world(t);
  const ids: string[] = [];
  for (let n = 1; n <= 8; n += 1) ids.push(await member(n));
  await Promise.all(
    ids.map((id, i) =>
      directory.reattest(
        id,
        serialOf(i + 1),
        shown(i + 1, { pcrs: { ...shown(i + 1).pcrs, '11': `${i}e`.repeat(32) } }),
      ),
    ),
  );
  await watch.settled();
  const fenced = ids.filter((id) => incident(id) !== undefined);
  t.true(fenced.length >= 1 && fenced.length <= 5, `${fenced.length} of 8`);
  t.not(guard.stopped('fence', { id: ids[7]! }), null);
});

test('who took a key that its node has replaced since has that node fenced no more; the node that goes on with a banned one is', async (t) => {
  const { directory, watch, member, incident, fleet } = await world(t);
  const id = await member(1);
  const [before, now] = [enrolment(1), enrolment(1, 2)];
  await directory.enrol(now);
  const shows = async (key: string) => {
    for (const code of key === now.spkiDigest
      ? ['CERTIFICATE_BANNED']
      : ['CERTIFICATE_BANNED', 'QUOTE_SIGNATURE'])
      for (let time = 0; time < 3; time += 1) directory.caught(id, code, 'stolen', key);
    // Asked after the same on one connection.
    await fleet.nodes.get(id);
    await watch.settled();
  };
  await shows(before.spkiDigest);
  t.is(incident(id), undefined);
  await shows(now.spkiDigest);
  while (incident(id) === undefined) await sleep(20);
  t.like(incident(id), { step: 'fenced', signal: 'banned-certificate' });
});
