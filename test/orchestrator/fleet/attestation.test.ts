import test from 'ava';
import fc from 'fast-check';
import type { Reattestation } from '../../../bootserver/directory.ts';
import { loaderPcr12 } from '../../../formats/pe/measured-sections.ts';
import { FleetDirectory } from '../../../orchestrator/fleet/directory.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { MOST_PCR7, withRoom } from '../../../orchestrator/fleet/pcr7.ts';
import { nodeRecordSchema } from '../../../orchestrator/fleet/record.ts';
import { sweepAttestations } from '../../../orchestrator/fleet/sweeper.ts';
import { wentBack } from '../../../orchestrator/fleet/tpm-clock.ts';
import type { Enrolment, TpmClock } from '../../../protocol/enrolment/enrolment.ts';
import {
  anyImage,
  beatOfBoot,
  certificateFor,
  enrolment,
  fleetFor,
  inventory,
  pcr11,
  quoted,
  START,
  silent,
  withoutTpm,
} from './support.ts';

const OTHER = 'ee'.repeat(32);
const KEYS_A = 'a7'.repeat(32);
const KEYS_B = 'b7'.repeat(32);
const pcrs = (pcr7: string, change: Record<string, string> = {}) => ({ ...quoted('1.0', pcr7), ...change });

async function setup(t: Parameters<typeof fleetFor>[0]) {
  const world = await fleetFor(t);
  const { fleet, directory } = world;
  const attested = async (e: ReturnType<typeof enrolment>) => {
    await directory.enrol(e);
    return (await fleet.nodes.get(e.id))!.observed.attested;
  };
  /** Approved, and certified: a member as any other. */
  const admit = async (e: ReturnType<typeof enrolment>) => {
    await directory.enrol(e);
    await fleet.approve(e.id, e.words, world.by());
    await directory.recordCertificate(e.id, certificateFor(e));
  };
  const report = () => fleet.sites.set('default', { attestation: 'report' }, world.by());
  return { ...world, attested, admit, report };
}

test('a stranger that booted something else is refused, told to restart, audited, and leaves no record', async (t) => {
  const { attested, directory, fleet } = await setup(t);
  t.like(await attested(enrolment(1, 1, { pcrs: pcrs(KEYS_A) })), { state: 'ok' });
  const wrong: [Parameters<typeof enrolment>[2], RegExp][] = [
    [{ pcrs: pcrs(KEYS_A, { '11': OTHER }) }, /PCR 11 is eeeeeeeeeeeeeeee, which image 1\.0 never has/],
    [{ pcrs: pcrs(KEYS_A, { '12': OTHER }) }, /PCR 12 is eeee.*command line/],
    [{ pcrs: pcrs(KEYS_A, { '13': OTHER }) }, /PCR 13 is eeee.*system extension/],
    [{ pcrs: { '7': KEYS_A } }, /PCR 11 is not shown/],
    [{ running: { version: 'unpublished', kernel: '6', bootId: 'b' } }, /image unpublished is not published/],
  ];
  for (const [i, [change, reason]] of wrong.entries()) {
    const e = enrolment(2 + i, 1, change);
    const decision = await directory.enrol(e);
    t.like(decision, { state: 'rejected', restart: true });
    t.regex(decision.state === 'rejected' ? decision.reason : '', reason);
    t.is(await fleet.nodes.get(e.id), null);
    const [entry] = await fleet.audit.read({ node: e.id });
    t.regex(entry!.reason, /^ENROL_MEASUREMENT: /);
  }
});

test('an image that its disk has started shows its own command line, and no other passes', async (t) => {
  const { fleet, clock } = await setup(t);
  const directory = new FleetDirectory({
    ...anyImage,
    ...{ fleet, site: 'default', pcr11, log: silent },
    defaultImage: async () => '1.0',
    commandLine: async (version) => `quiet version=${version}`,
    now: () => clock.now,
  });
  const started = (n: number, commandLine: string) =>
    directory.enrol(enrolment(n, 1, { pcrs: pcrs(KEYS_A, { '12': loaderPcr12(commandLine) }) }));
  t.like(await started(1, 'quiet version=1.0'), { state: 'pending' });
  t.like(await started(2, 'quiet version=1.0 init=/bin/sh'), { state: 'rejected', restart: true });
  t.like(await started(3, 'quiet version=2.0'), { state: 'rejected', restart: true });
});

test('a member that booted something else is ill, loses its certificate, gets none, and is well after a good boot', async (t) => {
  const { admit, directory, fleet } = await setup(t);
  await admit(enrolment(1));
  const good = certificateFor(enrolment(1));
  t.true(await directory.heartbeat(enrolment(1).id, good.serial, beatOfBoot(enrolment(1))));
  const tampered = enrolment(1, 2, { pcrs: pcrs(KEYS_A, { '11': OTHER }) });
  t.like(await directory.enrol(tampered), { state: 'rejected', restart: true });
  const record = (await fleet.nodes.get(tampered.id))!;
  t.like(record, { state: 'degraded', observed: { attested: { state: 'mismatch' }, bootId: 'boot-1-2' } });
  t.regex(record.reason, /^refused: PCR 11 is eeee/);
  t.like(record.identity, { certificateSerial: null, spkiDigest: enrolment(1).spkiDigest });
  t.false(await directory.heartbeat(record.id, good.serial, beatOfBoot(enrolment(1))));
  t.like(await directory.decisionOf(record.id, tampered.spkiDigest), { state: 'rejected' });
  await t.throwsAsync(directory.recordCertificate(record.id, certificateFor(tampered)), {
    code: 'CERTIFICATE_OLD_KEY',
  });
  const entries = (await fleet.audit.read({ node: record.id })).length;
  await directory.enrol(tampered);
  t.is(
    (await fleet.nodes.get(record.id))?.epoch,
    record.epoch,
    'the same verdict on the same boot is no news',
  );
  t.is((await fleet.audit.read({ node: record.id })).length, entries + 1, 'but the refusal is audited');

  const again = enrolment(1, 3);
  t.like(await directory.enrol(again), { state: 'approved' });
  await directory.recordCertificate(record.id, certificateFor(again));
  t.true(await directory.heartbeat(record.id, certificateFor(again).serial, beatOfBoot(again)));
  t.is((await fleet.nodes.get(record.id))?.state, 'healthy');
});

test('a renewal within the same boot that shows something else ends the certificate', async (t) => {
  const { admit, directory, fleet } = await setup(t);
  await admit(enrolment(1));
  const words: [string, string, string, string] = ['an', 'other', 'session', 'here'];
  const e = enrolment(1, 1, { words, pcrs: pcrs(KEYS_A, { '12': OTHER }) });
  t.like(await directory.enrol(e), { state: 'rejected' });
  const { serial } = certificateFor(e);
  t.false(await directory.heartbeat(e.id, serial, beatOfBoot(e)));
  t.is((await fleet.nodes.get(e.id))?.state, 'degraded');
});

test('nobody gets round the measurement by a changed word about its firmware', async (t) => {
  const { admit, directory, attested } = await setup(t);
  const bios = (n: number) =>
    inventory(n, { firmware: { kind: 'bios', vendor: '', version: '', date: '' }, secureBoot: 'absent' });
  await admit(enrolment(1));
  const e = enrolment(1, 2, { inventory: bios(1), pcrs: pcrs(KEYS_A, { '11': OTHER }) });
  t.like(await directory.enrol(e), { state: 'rejected', restart: true });
  const later = enrolment(1, 3, { inventory: bios(1), pcrs: pcrs(KEYS_A, { '11': OTHER }) });
  t.like(await directory.enrol(later), { state: 'rejected', restart: true }, 'nor by saying it twice');
  t.like(await attested(enrolment(3, 1, { inventory: bios(3), pcrs: {} })), {
    state: 'unknown',
    reason: 'BIOS measures no image',
  });
  t.like(await attested(withoutTpm(2)), { state: 'unknown', reason: 'no TPM' });
});

test('a member that had Secure Boot on does not get round it by having it switched off; once it is retired, what it was counts no more', async (t) => {
  const { admit, directory, attested, fleet, report } = await setup(t);
  const on = { secureBoot: true, foreign: [], optionRoms: [] };
  await admit(enrolment(1, 1, { firmware: on }));
  const off = (n: number, boot: number) =>
    enrolment(n, boot, {
      inventory: inventory(n, { secureBoot: 'off' }),
      firmware: { ...on, secureBoot: false },
    });
  for (const boot of [2, 3]) {
    const refused = await directory.enrol(off(1, boot));
    t.regex(JSON.stringify(refused), /rejected.*Secure Boot was on and is not any more/);
  }
  const silentLog = enrolment(1, 4, { inventory: inventory(1, { secureBoot: 'off' }), firmware: null });
  t.regex(JSON.stringify(await directory.enrol(silentLog)), /was on and is not any more/);
  t.like(await attested(off(2, 1)), { state: 'ok' }, 'who never had it on is a matter of the policy');

  await report();
  t.like(await attested(off(1, 5)), { state: 'mismatch' });
  const { id } = off(1, 1);
  await fleet.retire(id, 'test', { actor: 'operator:test', at: Date.now() });
  t.notRegex(JSON.stringify(await directory.enrol(off(1, 6))), /Secure Boot/);
});

test('where the site says so, a wrong measurement is shown and keeps nobody out', async (t) => {
  const { attested, directory, fleet, report } = await setup(t);
  await report();
  const tampered = enrolment(2, 1, { pcrs: pcrs(KEYS_A, { '11': OTHER }) });
  t.is((await attested(tampered)).state, 'mismatch');
  t.is((await directory.decisionOf(tampered.id, tampered.spkiDigest)).state, 'pending');
  t.deepEqual((await fleet.nodes.get(tampered.id))?.observed.clock, tampered.clock);
});

test("Secure Boot with other keys than the fleet's is refused, and so is a word that the log contradicts", async (t) => {
  const { attested, directory, fleet, report } = await setup(t);
  const dbx = { entries: 3, sha256: OTHER };
  const good = { secureBoot: true, foreign: [], optionRoms: ['PCI 2.0 sha256 ab'], dbx };
  t.like(await attested(enrolment(1, 1, { firmware: good })), {
    state: 'ok',
    reason: "image 1.0 as published, Secure Boot with the fleet's keys",
  });
  t.deepEqual((await fleet.nodes.get(enrolment(1).id))?.observed.firmware, good);
  const foreign = { ...good, foreign: ["db is not the fleet's"] };
  const strange = await directory.enrol(enrolment(2, 1, { firmware: foreign }));
  t.regex(JSON.stringify(strange), /rejected.*db is not the fleet's/);
  const retired = {
    ...good,
    db: ['0123456789abcdef'],
    retired: ['db still holds the retired 0123456789abcdef'],
  };
  const late = enrolment(5, 1, { firmware: retired });
  t.like(await attested(late), {
    state: 'differs',
    reason: 'image 1.0 as published, but db still holds the retired 0123456789abcdef',
  });
  t.is(
    (await directory.decisionOf(late.id, late.spkiDigest)).state,
    'pending',
    'what changes its db must reach it',
  );
  t.deepEqual((await fleet.nodes.get(late.id))?.observed.firmware, retired);
  const off = { ...good, secureBoot: false };
  const liar = await directory.enrol(enrolment(3, 1, { firmware: off }));
  t.regex(JSON.stringify(liar), /rejected.*its event log says that it is not/);
  t.like(await attested(enrolment(4, 1, { firmware: off, inventory: inventory(4, { secureBoot: 'off' }) })), {
    state: 'ok',
    reason: 'image 1.0 as published; Secure Boot is not on',
  });
  await report();
  await fleet.sites.set('default', { secureBoot: 'require' }, { actor: 'operator:test', at: 1 });
  t.regex(JSON.stringify(await directory.enrol(enrolment(3, 1, { firmware: off }))), /Secure Boot is not on/);
});

test('without a log PCR 7 must be what a machine of the model has shown with one; a stranger teaches nothing', async (t) => {
  const { attested, admit, directory, fleet } = await setup(t);
  const model = 'QEMU Standard PC';
  const bare = (n: number, pcr7: string) => enrolment(n, 1, { pcrs: pcrs(pcr7), firmware: null });
  const first = await attested(bare(1, KEYS_B));
  t.is(first.state, 'differs');
  t.regex(first.reason, /no event log/);
  await admit(bare(1, KEYS_B));
  t.deepEqual(await fleet.pcr7.get(model), [], 'whose keys it has is unknown, so they are no example');
  const inventoryOff = inventory(2, { secureBoot: 'off' });
  await admit(enrolment(2, 1, { pcrs: pcrs(KEYS_B), inventory: inventoryOff, firmware: null }));
  t.deepEqual(await fleet.pcr7.get(model), [], 'without Secure Boot PCR 7 says nothing');
  await directory.enrol(enrolment(3, 1, { pcrs: pcrs(KEYS_B) }));
  t.deepEqual(await fleet.pcr7.get(model), [], 'a machine that waits teaches nothing');

  await admit(enrolment(4, 1, { pcrs: pcrs(KEYS_A) }));
  t.deepEqual(await fleet.pcr7.get(model), [KEYS_A]);
  t.like(await attested(bare(5, KEYS_A)), { state: 'ok' });
  t.regex(JSON.stringify(await directory.enrol(bare(6, KEYS_B))), /rejected.*PCR 7 is b7b7/);
  await admit(enrolment(7, 1, { pcrs: pcrs(KEYS_B) }));
  t.deepEqual(await fleet.pcr7.get(model), [KEYS_A, KEYS_B], 'as after a change of dbx');
  for (const value of [KEYS_A, KEYS_B]) t.like(await attested(bare(8, value)), { state: 'ok' });
  for (let i = 0; i < MOST_PCR7; i += 1) await fleet.pcr7.keep(model, `${i}`.padStart(64, '0'), 'bad');
  t.is((await fleet.pcr7.get(model)).length, MOST_PCR7);
  t.deepEqual(
    (await fleet.pcr7.get(model)).slice(0, 2),
    [KEYS_A, KEYS_B],
    'one member pushes out nobody else',
  );
});

test('a member that keeps no log is held against the model that it was let in as, and teaches no other', async (t) => {
  const { attested, admit, directory, fleet } = await setup(t);
  const renamed = (boot: number, pcr7: string, firmware: Enrolment['firmware']) =>
    enrolment(1, boot, { pcrs: pcrs(pcr7), firmware, inventory: inventory(1, { product: 'Other PC' }) });
  await admit(enrolment(1, 1, { pcrs: pcrs(KEYS_A) }));
  t.regex(JSON.stringify(await directory.enrol(renamed(2, KEYS_B, null))), /rejected.*PCR 7 is b7b7/);
  const logged = enrolment(1).firmware;
  t.is((await attested(renamed(3, KEYS_B, logged))).state, 'ok');
  await directory.recordCertificate(
    renamed(3, KEYS_B, logged).id,
    certificateFor(renamed(3, KEYS_B, logged)),
  );
  t.deepEqual(await fleet.pcr7.get('QEMU Other PC'), []);
  t.deepEqual(await fleet.pcr7.get('QEMU Standard PC'), [KEYS_A, KEYS_B]);
});

test('what makes way for another PCR 7 is the oldest of who has shown the most, and of the newest of two', (t) => {
  const by = (node: string, ...values: number[]) => values.map((value) => ({ value: `${value}`, node }));
  const shown = (list: { value: string }[]) => list.map(({ value }) => value).join(' ');
  const eight = [0, 1, 2, 3, 4, 5, 6, 7];
  const nine = eight.map((value) => value + 10);
  t.is(shown(withRoom([...by('a', ...eight), ...by('b', ...nine)])), shown(by('', ...eight, ...nine)));
  const more = withRoom([...by('a', ...eight), ...by('b', ...nine, 18)]);
  t.is(shown(more), shown(by('', ...eight, ...nine.slice(1), 18)));
  t.is(shown(withRoom([...by('a', 0, ...nine, ...nine.slice(1)), ...by('b', 99)])).split(' ')[0], '10');
  // As it was kept before: nobody knows by whom.
  const old = Array.from({ length: MOST_PCR7 }, (_, i) => i);
  t.is(shown(withRoom([...by('', ...old), ...by('a', 99)])), shown(by('', ...old.slice(1), 99)));
});

test('a record from before attestation was judged is read', async (t) => {
  const { directory, fleet } = await setup(t);
  await directory.enrol(enrolment(1));
  const record = structuredClone((await fleet.nodes.get(enrolment(1).id))!) as unknown as Record<
    'observed' | 'identity',
    Record<string, unknown>
  >;
  delete record.observed.attested;
  delete record.observed.clock;
  delete record.observed.firmware;
  delete record.identity.ekCertificate;
  const read = nodeRecordSchema.parse(record);
  t.is(read.observed.attested.state, 'unknown');
  t.is(read.observed.clock, null);
  t.is(read.identity.ekCertificate, null);
});

/** A member, and what its TPM shows `seconds` after its enrolment. */
async function attesting(t: Parameters<typeof fleetFor>[0]) {
  const world = await setup(t);
  const e = enrolment(1);
  await world.admit(e);
  const { serial } = certificateFor(e);
  await world.directory.heartbeat(e.id, serial, beatOfBoot(e));
  const shown = (seconds: number, change: Partial<Reattestation> = {}): Reattestation => ({
    akName: e.akName!,
    pcrs: e.pcrs!,
    clock: { ...e.clock!, milliseconds: e.clock!.milliseconds + seconds * 1000 },
    nonceNumber: e.nonceNumber,
    firmware: e.firmware,
    address: e.address,
    at: START + seconds * 1000,
    ...change,
  });
  const record = async () => (await world.fleet.nodes.get(e.id))!;
  return { ...world, e, serial, shown, record };
}

test('a member that attests again is no news; one that shows something else is ill and has no certificate', async (t) => {
  const { directory, fleet, e, serial, shown, record } = await attesting(t);
  const before = await record();
  t.like(await directory.reattest(e.id, serial, shown(1800)), {
    state: 'ok',
    verdict: { attested: 'ok', secureBoot: true },
  });
  t.is((await record()).epoch, before.epoch);
  t.is(await fleet.redis.zscore(KEYS.attested, e.id), String(START + 1800_000));
  t.deepEqual(await directory.reattest(e.id, 'ff', shown(1801)), { state: 'stale' });
  t.like(await directory.reattest(e.id, serial, shown(1802, { akName: '000bff' })), {
    state: 'refused',
    code: 'ENROL_AK_CHANGED',
  });
  const pcrs = { ...e.pcrs!, '12': OTHER };
  t.like(await directory.reattest(e.id, serial, shown(3600, { pcrs })), {
    state: 'refused',
    code: 'ENROL_MEASUREMENT',
  });
  t.like(await record(), { state: 'degraded', identity: { certificateSerial: null } });
  t.false(await directory.heartbeat(e.id, serial, beatOfBoot(e)));
  t.is(
    await fleet.redis.zscore(KEYS.attested, e.id),
    String(START + 1800_000),
    'what failed is no attestation',
  );
});

test('a TPM that counts backwards is two machines: both are stopped, banned and audited', async (t) => {
  const back: [Partial<TpmClock>, RegExp][] = [
    [{ resets: 0, milliseconds: 9_999_999 }, /resets 0 after 1/],
    [{ milliseconds: 1 }, /clock 1 ms after/],
  ];
  for (const [clock, reason] of back) {
    const { directory, fleet, e, serial, shown, record } = await attesting(t);
    t.like(await directory.reattest(e.id, serial, shown(1800)), {
      state: 'ok',
      verdict: { attested: 'ok', secureBoot: true },
    });
    const decision = await directory.reattest(
      e.id,
      serial,
      shown(1900, { clock: { ...e.clock!, ...clock } }),
    );
    t.like(decision, { state: 'refused', code: 'ENROL_CLONED' });
    t.regex(decision.state === 'refused' ? decision.what : '', reason);
    t.is((await record()).state, 'quarantined');
    t.not((await fleet.decisionLog.set()).banOf({ id: e.id }), null);
    t.false(await directory.heartbeat(e.id, serial, beatOfBoot(e)), 'the one that was there first');
    t.like(await directory.enrol(enrolment(1, 2)), { state: 'rejected' }, 'and the other one');
    t.regex((await fleet.audit.read({ node: e.id })).map((entry) => entry.reason).join(), /cloned identity/);
  }
});

test('two machines that boot in turn with one identity are found at the second boot of the first', async (t) => {
  const { directory, e, record, fleet } = await attesting(t);
  const clock = (resets: number, milliseconds: number) => ({ ...e.clock!, resets, milliseconds });
  t.like(await directory.enrol(enrolment(1, 2, { clock: clock(7, 500) })), { state: 'approved' }, 'the copy');
  t.like(await directory.enrol(enrolment(1, 3, { clock: clock(2, 800) })), { state: 'rejected' });
  t.is((await record()).state, 'quarantined');
  const audited = (await fleet.audit.read({ node: e.id })).map((entry) => entry.reason).join();
  t.regex(audited, /ENROL_CLONED: its TPM counts backwards \(resets 2 after 7\)/);
});

test('a proof that was held up on its way is old news: refused, and nobody is banned for it', async (t) => {
  const { directory, fleet, e, serial, shown, record } = await attesting(t);
  const numbers = [await directory.numberNonce(), await directory.numberNonce()];
  const [held, taken] = numbers.map((nonceNumber, i) => shown(1000 + i, { nonceNumber }));
  t.like(await directory.reattest(e.id, serial, taken!), {
    state: 'ok',
    verdict: { attested: 'ok', secureBoot: true },
  });
  const before = await record();
  await t.throwsAsync(directory.reattest(e.id, serial, held!), { code: 'PROOF_LATE' });
  // The same of an enrolment that waited on the wire while the machine tried again.
  const [first, second] = [await directory.numberNonce(), await directory.numberNonce()];
  const boot = (n: number, nonceNumber: number, milliseconds: number) =>
    enrolment(1, n, { nonceNumber, clock: { ...e.clock!, resets: 2, milliseconds } });
  t.like(await directory.enrol(boot(2, second, 700)), { state: 'approved' });
  await t.throwsAsync(directory.enrol(boot(2, first, 600)), { code: 'PROOF_LATE' });
  t.is((await fleet.decisionLog.set()).banOf({ id: e.id }), null);
  t.like(await record(), { state: 'enrolled', epoch: before.epoch + 1 });
  // Whoever got its nonce after that was known, and shows less, is another TPM.
  const next = await directory.numberNonce();
  t.like(await directory.enrol(boot(3, next, 650)), { state: 'rejected' });
  t.is((await record()).state, 'quarantined');
});

test('a proof from before the approval, or from before the first one was taken, is old news as well', async (t) => {
  const { directory, fleet, by } = await setup(t);
  const [held, taken] = [await directory.numberNonce(), await directory.numberNonce()];
  const e = (boot: number, nonceNumber: number, milliseconds: number) =>
    enrolment(1, boot, { nonceNumber, clock: { milliseconds, resets: 1, restarts: 0, safe: true } });
  const known = e(2, taken, 900);
  await directory.enrol(known);
  await t.throwsAsync(directory.enrol(e(1, held, 800)), { code: 'PROOF_LATE' }, 'while it waits');
  await fleet.approve(known.id, known.words, by());
  await t.throwsAsync(directory.enrol(e(1, held, 800)), { code: 'PROOF_LATE' }, 'and as a member');
  t.is((await fleet.nodes.get(known.id))?.state, 'enrolled');
});

test('counters that only ever rise are never taken for a copy', (t) => {
  const step = fc.record({ resets: fc.nat(2), restarts: fc.nat(2), milliseconds: fc.nat(100) });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 20 }), fc.nat(1000), (steps, first) => {
      let now: TpmClock = { resets: first, restarts: 0, milliseconds: first, safe: true };
      for (const { resets, restarts, milliseconds } of steps) {
        // Clock may jump back over a reset (Part 1, 36.3.2); a reset sets restartCount to zero.
        const next: TpmClock =
          resets > 0
            ? { ...now, resets: now.resets + resets, restarts, milliseconds }
            : { ...now, restarts: now.restarts + restarts, milliseconds: now.milliseconds + milliseconds };
        if (wentBack(now, next) !== null) return false;
        const isEqual = JSON.stringify(now) === JSON.stringify(next);
        if (!isEqual && wentBack(next, now) === null) return false;
        now = next;
      }
      return true;
    }),
  );
  t.pass();
});

test('a member that does not attest any more is marked and audited once, until it attests', async (t) => {
  const { directory, fleet, e, serial, shown, record } = await attesting(t);
  const minutes = (n: number) => START + n * 60_000;
  t.deepEqual(await sweepAttestations(fleet, minutes(89), 90), []);
  t.deepEqual(await sweepAttestations(fleet, minutes(91), 90), [e.id]);
  t.true((await record()).marks.includes('attestation-stale'));
  t.deepEqual(await sweepAttestations(fleet, minutes(99), 90), [], 'a person is told once');
  t.like((await fleet.audit.read({ node: e.id })).at(-1), {
    actor: 'sweeper',
    reason: 'not attested for 90 min',
  });
  t.like(await directory.reattest(e.id, serial, shown(6000)), {
    state: 'ok',
    verdict: { attested: 'ok', secureBoot: true },
  });
  t.false((await record()).marks.includes('attestation-stale'));
});
