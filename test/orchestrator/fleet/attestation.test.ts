import test from 'ava';
import { FleetDirectory } from '../../../orchestrator/fleet/directory.ts';
import { nodeRecordSchema } from '../../../orchestrator/fleet/record.ts';
import { certificateFor, enrolment, fleetFor, inventory, silent, withoutTpm } from './support.ts';

const PUBLISHED = '11'.repeat(32);
const KEYS_A = 'a7'.repeat(32);
const KEYS_B = 'b7'.repeat(32);
const pcrs = (pcr7: string, pcr11 = PUBLISHED) => ({ '7': pcr7, '11': pcr11 });

async function setup(t: Parameters<typeof fleetFor>[0]) {
  const world = await fleetFor(t);
  const { fleet, clock } = world;
  const directory = new FleetDirectory({
    fleet,
    site: 'default',
    defaultImage: async () => '1.0',
    pcr11: async (version) => (version === '1.0' ? PUBLISHED : null),
    log: silent,
    now: () => clock.now,
  });
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
  return { ...world, directory, attested, admit };
}

test('a published image is ok, another measurement is a mismatch, and nobody is refused for it', async (t) => {
  const { attested, directory, fleet } = await setup(t);
  t.like(await attested(enrolment(1, 1, { pcrs: pcrs(KEYS_A) })), { state: 'ok' });
  const tampered = enrolment(2, 1, { pcrs: pcrs(KEYS_A, 'ee'.repeat(32)) });
  const verdict = await attested(tampered);
  t.is(verdict.state, 'mismatch');
  t.regex(verdict.reason, /PCR 11 is eeeeeeeeeeeeeeee, which image 1\.0 never has/);
  t.is((await directory.decisionOf(tampered.id, tampered.spkiDigest)).state, 'pending');
  t.deepEqual((await fleet.nodes.get(tampered.id))?.observed.clock, tampered.clock);
});

test('what there is nothing to hold against is unknown', async (t) => {
  const { attested } = await setup(t);
  const running = { version: '9.9', kernel: '6', bootId: 'b' };
  t.like(await attested(enrolment(1, 1, { running })), {
    state: 'unknown',
    reason: 'image 9.9 is not published',
  });
  t.like(await attested(withoutTpm(2)), { state: 'unknown', reason: 'no TPM' });
  const bios = inventory(3, { firmware: { kind: 'bios', vendor: '', version: '', date: '' } });
  t.like(await attested(enrolment(3, 1, { inventory: bios })), { state: 'unknown' });
  const { 11: _, ...without } = pcrs(KEYS_A);
  t.like(await attested(enrolment(4, 1, { pcrs: without })), { state: 'mismatch' });
});

test('PCR 7 of the first member stands for its model, and a stranger teaches nothing', async (t) => {
  const { attested, admit, fleet } = await setup(t);
  const model = 'QEMU Standard PC';
  await attested(enrolment(1, 1, { pcrs: pcrs(KEYS_B) }));
  t.is(await fleet.pcr7.get(model), null);
  const wrong = enrolment(2, 1, { pcrs: pcrs(KEYS_B, 'ee'.repeat(32)) });
  await admit(wrong);
  t.is(await fleet.pcr7.get(model), null, 'what it booted is unknown, so its keys are no example');
  const off = enrolment(3, 1, { pcrs: pcrs(KEYS_B), inventory: inventory(3, { secureBoot: 'off' }) });
  await admit(off);
  t.is(await fleet.pcr7.get(model), null, 'without Secure Boot PCR 7 says nothing');

  await admit(enrolment(4, 1, { pcrs: pcrs(KEYS_A) }));
  t.is(await fleet.pcr7.get(model), KEYS_A);
  t.like(await attested(enrolment(5, 1, { pcrs: pcrs(KEYS_A) })), { state: 'ok' });
  const other = await attested(enrolment(6, 1, { pcrs: pcrs(KEYS_B) }));
  t.is(other.state, 'mismatch');
  t.regex(other.reason, /PCR 7 is b7b7/);
  await admit(enrolment(6, 1, { pcrs: pcrs(KEYS_B) }));
  t.is(await fleet.pcr7.get(model), KEYS_A, 'the first stays');
  const elsewhere = inventory(7, { product: 'Other PC' });
  t.like(await attested(enrolment(7, 1, { pcrs: pcrs(KEYS_B), inventory: elsewhere })), { state: 'ok' });
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
  delete record.identity.ekCertificate;
  const read = nodeRecordSchema.parse(record);
  t.is(read.observed.attested.state, 'unknown');
  t.is(read.observed.clock, null);
  t.is(read.identity.ekCertificate, null);
});
