/** What each model's firmware is known to show, on a real Redis: who teaches it, and what becomes of the others. */
import test, { type ExecutionContext } from 'ava';
import type { Reattestation } from '../../../../bootserver/directory.ts';
import { banNode } from '../../../../orchestrator/fleet/bans/act.ts';
import { countingIn, MOST_VALUES } from '../../../../orchestrator/fleet/firmware/model.ts';
import { nodeRecordSchema } from '../../../../orchestrator/fleet/record.ts';
import { siteSchema } from '../../../../orchestrator/fleet/site.ts';
import type { Enrolment } from '../../../../protocol/enrolment/enrolment.ts';
import { beatOfBoot, certificateFor, enrolment, fleetFor, inventory, quoted, START } from '../support.ts';

const GOOD = '0a'.repeat(32);
const OTHER = '0b'.repeat(32);
const THIRD = '0c'.repeat(32);
const MODEL = 'QEMU Standard PC';

/** Machine `n` in boot `boot` with this firmware. */
function machine(n: number, pcr0: string, boot = 1, change: Partial<Enrolment> = {}): Enrolment {
  return enrolment(n, boot, { pcrs: { ...quoted('1.0', 'a7'.repeat(32)), '0': pcr0 }, ...change });
}

async function setup(t: ExecutionContext) {
  const world = await fleetFor(t);
  const { fleet, directory } = world;
  const record = async (e: Enrolment) => (await fleet.nodes.get(e.id))!;
  const attested = async (e: Enrolment) => {
    await directory.enrol(e);
    return (await record(e)).observed.attested;
  };
  const admit = async (e: Enrolment) => {
    await directory.enrol(e);
    await fleet.approve(e.id, e.words, world.by());
    await certify(e);
  };
  const certify = async (e: Enrolment) => {
    await directory.recordCertificate(e.id, certificateFor(e));
    await directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e));
  };
  const reattest = (e: Enrolment, seconds: number) => {
    const shown: Reattestation = {
      ...{
        akName: e.akName!,
        pcrs: e.pcrs!,
        firmware: e.firmware,
        address: e.address,
        nonceNumber: e.nonceNumber,
      },
      clock: { ...e.clock!, milliseconds: e.clock!.milliseconds + seconds * 1000 },
      at: START + seconds * 1000,
    };
    return directory.reattest(e.id, certificateFor(e).serial, shown);
  };
  const enforce = () => fleet.sites.set('default', { firmware: 'enforce' }, world.by());
  const known = async (model = MODEL) => {
    const found = await fleet.firmware.get(model);
    return found === null ? null : countingIn(found);
  };
  const actions = async (e: Enrolment) =>
    (await fleet.audit.read({ node: e.id })).filter(({ action }) => action !== 'heartbeat');
  return { ...world, record, attested, admit, certify, reattest, enforce, known, actions };
}

test('the first member of a model teaches what its firmware shows; who waits, is wrong or comes later teaches nothing', async (t) => {
  const { attested, admit, directory, fleet, known, record, actions, by } = await setup(t);
  await directory.enrol(machine(1, OTHER));
  await fleet.firmware.learn(await record(machine(1, OTHER)));
  t.is(await known(), null, 'a machine that waits');
  await fleet.sites.set('default', { attestation: 'report' }, by());
  await admit(enrolment(2, 1, { pcrs: { ...quoted('2.0', OTHER), '0': OTHER } }));
  t.is(await known(), null, 'a member that is only shown');
  await admit(machine(3, '00'.repeat(32)));
  t.is(await known(), null, 'firmware that measures nothing');

  t.is((await attested(machine(4, GOOD))).state, 'ok');
  await admit(machine(4, GOOD));
  t.deepEqual(await known(), [GOOD]);
  t.like((await fleet.firmware.get(MODEL))?.values[0], {
    ...{ node: machine(4, GOOD).id, by: 'policy' },
    firmware: { vendor: 'EDK II', version: '1', date: '01/01/2024' },
  });
  t.like((await actions(machine(4, GOOD))).at(-1), {
    ...{ action: 'firmware-learn', actor: 'policy', reason: `${MODEL}: PCR 0 ${GOOD}: first use` },
  });
  await admit(machine(5, OTHER));
  t.deepEqual(await known(), [GOOD], 'the first stays');
  const other = inventory(6, { product: 'Other PC' });
  await admit(machine(6, OTHER, 1, { inventory: other }));
  t.deepEqual(await known('QEMU Other PC'), [OTHER], 'each model for itself');
});

test('by default strange firmware is shown and told once, and degrades and blocks nobody', async (t) => {
  const { attested, admit, certify, reattest, record, actions } = await setup(t);
  await admit(machine(1, GOOD));
  await admit(machine(2, OTHER));
  const reason = /^firmware \(PCR 0\) is 0b0b0b0b0b0b0b0b, which is not known of model QEMU Standard PC$/;
  t.like(await record(machine(2, OTHER)), { state: 'healthy', observed: { attested: { state: 'differs' } } });
  t.regex((await record(machine(2, OTHER))).observed.attested.reason, reason);
  for (const boot of [2, 3]) {
    t.is((await attested(machine(2, OTHER, boot))).state, 'differs');
    await certify(machine(2, OTHER, boot));
  }
  t.like(await reattest(machine(2, OTHER, 3), 1800), { state: 'ok', verdict: { attested: 'differs' } });
  t.is((await record(machine(2, OTHER))).state, 'healthy');
  const told = (await actions(machine(2, OTHER))).filter(({ action }) => action === 'attest');
  t.is(told.length, 1);
  t.regex(told[0]!.reason, reason);
  // A member whose firmware changes is told of as well.
  t.is((await attested(machine(1, THIRD, 2))).state, 'differs');
  t.is((await actions(machine(1, THIRD))).filter(({ action }) => action === 'attest').length, 1);
});

test('where the site enforces it, strange firmware is refused: a stranger leaves no record, a member is ill until it is accepted', async (t) => {
  const { admit, certify, directory, enforce, fleet, known, record, reattest, actions, by } = await setup(t);
  await admit(machine(1, GOOD));
  await admit(machine(2, OTHER));
  await enforce();
  const stranger = await directory.enrol(machine(3, OTHER));
  t.like(stranger, { state: 'rejected', restart: true });
  t.is(await fleet.nodes.get(machine(3, OTHER).id), null);
  t.regex((await actions(machine(3, OTHER)))[0]!.reason, /^ENROL_MEASUREMENT: .*firmware \(PCR 0\) is 0b0b/);
  t.like(await reattest(machine(2, OTHER), 1800), { state: 'refused', code: 'ENROL_MEASUREMENT' });
  t.like(await record(machine(2, OTHER)), {
    ...{ state: 'degraded', identity: { certificateSerial: null } },
    observed: { attested: { state: 'mismatch' } },
  });

  const newer = { ...inventory(1).firmware, version: '2' };
  const updated = machine(1, THIRD, 2, { inventory: inventory(1, { firmware: newer }) });
  t.like(await directory.enrol(updated), { state: 'rejected', restart: true });
  const done = await fleet.firmware.accept(await record(updated), { reason: 'updated to 2' }, by('ann'));
  t.like(done, { fresh: true, model: MODEL, value: { pcr0: THIRD, by: 'operator:ann' } });
  t.is(done.value.firmware.version, '2', 'which it says it is');
  t.like((await actions(updated)).at(-1), { action: 'firmware-accept', actor: 'operator:ann' });
  t.like(await fleet.firmware.accept(await record(updated), { reason: 'again' }, by()), { fresh: false });
  t.deepEqual(await known(), [GOOD, THIRD]);
  const again = machine(1, THIRD, 3);
  t.like(await directory.enrol(again), { state: 'approved' });
  await certify(again);
  t.like(await record(again), { state: 'healthy', observed: { attested: { state: 'ok' } } });
});

test('what one site takes for a published image alone, another one enforces; one that only reports refuses no firmware', async (t) => {
  const { admit, directory, enforce, fleet, by, at } = await setup(t);
  await admit(machine(1, GOOD));
  await enforce();
  await fleet.sites.add('lab', {}, by());
  t.like(await at('lab').enrol(machine(2, OTHER)), { state: 'pending' });
  await fleet.sites.set('default', { attestation: 'report' }, by());
  t.like(await directory.enrol(machine(3, OTHER)), { state: 'pending' });
});

test('a value that was accepted clears its nodes when they attest next, one that was taken back makes them strange', async (t) => {
  const { admit, fleet, known, record, reattest, attested, by } = await setup(t);
  await admit(machine(1, GOOD));
  await admit(machine(2, OTHER));
  await fleet.firmware.accept(await record(machine(2, OTHER)), { reason: 'tested' }, by());
  t.like(await reattest(machine(2, OTHER), 1800), { state: 'ok', verdict: { attested: 'ok' } });
  t.is((await record(machine(2, OTHER))).observed.attested.state, 'ok');

  const forget = (digits: string, model?: string) => fleet.firmware.forget(digits, model, 'bad', by('ann'));
  t.like(await forget('0B0B0B0B'), { model: MODEL, value: { pcr0: OTHER } });
  t.like((await fleet.audit.read()).at(-1), { actor: 'operator:ann', action: 'firmware-forget' });
  await reattest(machine(2, OTHER), 3600);
  t.is((await record(machine(2, OTHER))).observed.attested.state, 'differs');

  await t.throwsAsync(forget(OTHER), { code: 'FIRMWARE_UNKNOWN' }, 'once');

  await forget(GOOD);
  t.deepEqual(await known(), []);
  t.is((await attested(machine(4, GOOD))).state, 'differs', 'people have judged this model');
  await admit(machine(4, GOOD));
  t.deepEqual(await known(), [], 'so no machine teaches it any more');
  const back = (await fleet.firmware.get(MODEL))!.values.map(({ takenBack }) => takenBack?.reason);
  t.deepEqual(back, ['bad', 'bad'], 'and who looks sees why');
  t.like(await fleet.firmware.accept(await record(machine(4, GOOD)), { reason: 'good after all' }, by()), {
    fresh: true,
  });
  t.deepEqual(await known(), [GOOD]);
});

test('who is fenced does not begin anew as another model', async (t) => {
  const { admit, directory, fleet, by } = await setup(t);
  await admit(machine(1, GOOD));
  await banNode(fleet, await fleet.decisionLog.set(), machine(1, GOOD).id, 'strange', by());
  t.like(await directory.enrol(machine(1, OTHER, 2)), { state: 'rejected' });
  t.is(await fleet.firmware.modelOf(machine(1, GOOD).id), MODEL);
});

test('no machine is the first of a model twice: a member that calls itself something else is held against what it was', async (t) => {
  const { admit, directory, enforce, fleet, known, certify, attested, record, by } = await setup(t);
  await admit(machine(1, GOOD));
  const renamed = (boot: number, pcr0: string, product = 'Other PC') =>
    machine(1, pcr0, boot, { inventory: inventory(1, { product }) });
  t.is((await attested(renamed(2, OTHER))).state, 'differs');
  await certify(renamed(2, OTHER));
  t.is((await attested(renamed(3, OTHER))).state, 'differs', 'it is no new model at the second look either');
  t.is((await attested(renamed(4, GOOD))).state, 'ok');
  await certify(renamed(4, GOOD));
  t.is(await known('QEMU Other PC'), null, 'nor does it teach one');
  await admit(machine(2, OTHER));
  const strange = machine(2, OTHER, 2, { inventory: inventory(2, { product: 'Other PC' }) });
  t.is(
    (await attested(strange)).state,
    'differs',
    'one that was strange from the beginning stands for its model too',
  );
  await enforce();
  t.like(await directory.enrol(renamed(5, OTHER, 'Third PC')), { state: 'rejected' });
  const done = await fleet.firmware.accept(
    await record(renamed(5, OTHER)),
    { reason: 'renamed by its update' },
    by(),
  );
  t.is(done.model, MODEL, 'what is accepted counts for what it is held against');
  t.like(await directory.enrol(renamed(6, OTHER, 'Third PC')), { state: 'approved' });
  t.deepEqual(
    (await fleet.firmware.list()).map(({ model }) => model),
    [MODEL],
  );

  const { id } = machine(1, GOOD);
  await fleet.retire(id, 'sold', by());
  await fleet.expect(
    { site: 'default', criteria: { ek: machine(1, GOOD).ekDigest! }, expiresAt: null },
    by(),
  );
  t.like(await directory.enrol(renamed(7, OTHER)), { state: 'approved' }, 'a person expects it anew');
  await certify(renamed(7, OTHER));
  t.is((await record(machine(1, GOOD))).state, 'healthy');
  t.deepEqual(await known('QEMU Other PC'), [OTHER]);
});

test('of many that are the first of a model in one moment, one is', async (t) => {
  const { directory, fleet, known, by } = await setup(t);
  const all = Array.from({ length: 8 }, (_, i) => machine(i + 1, `${i}e`.repeat(32)));
  for (const e of all) {
    await directory.enrol(e);
    await fleet.approve(e.id, e.words, by());
  }
  await Promise.all(all.map((e) => directory.recordCertificate(e.id, certificateFor(e))));
  t.is((await known())?.length, 1);
  const learned = (await fleet.audit.read()).filter(({ action }) => action === 'firmware-learn');
  t.is(learned.length, 1);
});

test('only what a node has shown is accepted, and no more than a model may have', async (t) => {
  const { admit, directory, fleet, known, record, by } = await setup(t);
  const accept = async (e: Enrolment) => fleet.firmware.accept(await record(e), { reason: 'tested' }, by());
  await admit(machine(1, GOOD));
  const read = { reason: 'tested', pcr0: '0B0B' };
  const changed = fleet.firmware.accept(await record(machine(1, GOOD)), read, by());
  await t.throwsAsync(changed, { code: 'FIRMWARE_CHANGED', message: /shows PCR 0 0a0a0a0a0a0a0a0a now/ });
  await directory.enrol(enrolment(2));
  await t.throwsAsync(accept(enrolment(2)), { code: 'FIRMWARE_NOT_SHOWN', message: /shows no measurement/ });
  await directory.enrol(machine(3, OTHER));
  await fleet.reject(machine(3, OTHER).id, 'not ours', by());
  await t.throwsAsync(accept(machine(3, OTHER)), { code: 'FIRMWARE_NOT_SHOWN', message: /is rejected/ });
  for (let n = 1; n < MOST_VALUES; n += 1) {
    const e = machine(10 + n, (0x20 + n).toString(16).repeat(32));
    await directory.enrol(e);
    await accept(e);
  }
  await directory.enrol(machine(99, 'ff'.repeat(32)));
  await t.throwsAsync(accept(machine(99, 'ff'.repeat(32))), { code: 'FIRMWARE_TOO_MANY' });
  t.is((await known())?.length, MOST_VALUES);
  for (const old of ['21', '22']) await fleet.firmware.forget(old.repeat(32), undefined, 'old', by());
  await accept(machine(99, 'ff'.repeat(32)));
  const { values } = (await fleet.firmware.get(MODEL))!;
  t.is(values.length, MOST_VALUES);
  t.deepEqual(
    values.filter(({ takenBack }) => takenBack !== null).map(({ pcr0 }) => pcr0.slice(0, 2)),
    ['22'],
    'what was taken back first made way',
  );
});

test('a value is named by its first digits, and by its model where several have it', async (t) => {
  const { admit, fleet, by, known } = await setup(t);
  await admit(machine(1, GOOD));
  await admit(machine(2, GOOD, 1, { inventory: inventory(2, { product: 'Other PC' }) }));
  const forget = (digits: string, model?: string) => fleet.firmware.forget(digits, model, 'bad', by());
  for (const digits of ['', '0a0a0a0', OTHER, `${GOOD}0a`])
    await t.throwsAsync(forget(digits), { code: 'FIRMWARE_UNKNOWN' }, digits);
  await t.throwsAsync(forget('0a0a0a0a'), { code: 'FIRMWARE_AMBIGUOUS', message: /QEMU Other PC/ });
  await forget('0a0a0a0a', 'QEMU Other PC');
  t.deepEqual([await known(), await known('QEMU Other PC')], [[GOOD], []]);
});

test('records and sites from before firmware was judged are read, and keep nobody out', async (t) => {
  const { admit, record, fleet } = await setup(t);
  await admit(machine(1, GOOD));
  const { observed, ...rest } = await record(machine(1, GOOD));
  t.is(nodeRecordSchema.parse({ ...rest, observed }).observed.firmware?.dbx, undefined);
  const site = structuredClone(await fleet.sites.get('default')) as { policy: Record<string, unknown> };
  delete site.policy.firmware;
  t.is(siteSchema.parse(site).policy.firmware, 'report');
});
