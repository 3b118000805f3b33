import test from 'ava';
import fc from 'fast-check';
import { attest, type References } from '../../../../orchestrator/fleet/attestation.ts';
import { pcr0Of, strangeFirmware } from '../../../../orchestrator/fleet/firmware/verdict.ts';
import { enrolment, inventory, measured, quoted } from '../support.ts';

const GOOD = '0a'.repeat(32);
const OTHER = '0b'.repeat(32);
const ZERO = '00'.repeat(32);
const model = 'QEMU Standard PC';

const references = (firmware: Partial<References['firmware']>): References => ({
  ...{ pcr11: measured('1.0'), commandLine: null, pcr7: [], uefi: true, secureBoot: false, unfit: null },
  firmware: { model, values: [GOOD], policy: 'report', ...firmware },
});
const showing = (pcr0: string, change: Record<string, string> = {}) =>
  enrolment(1, 1, { pcrs: { ...quoted('1.0', 'a7'.repeat(32)), '0': pcr0, ...change } });

test('what is known of the model passes, the first of a model too, anything else is strange', (t) => {
  t.is(strangeFirmware({ '0': GOOD }, { model, values: [OTHER, GOOD] }), null);
  t.is(strangeFirmware({ '0': GOOD }, { model, values: null }), null);
  t.regex(strangeFirmware({ '0': OTHER }, { model, values: [GOOD] })!, /^firmware \(PCR 0\) is 0b0b/);
  t.regex(strangeFirmware({ '0': GOOD }, { model, values: [] })!, /not known of model QEMU Standard PC$/);
  for (const pcrs of [null, {}, { '0': ZERO }])
    t.regex(strangeFirmware(pcrs, { model, values: [GOOD] })!, /is not shown/);
  t.is(pcr0Of({ '0': ZERO }), null, 'firmware that measures nothing is no example');
});

test('no model, however long, hides what is strange behind the end of the reason', (t) => {
  fc.assert(
    fc.property(fc.string({ maxLength: 257, size: 'max' }), (long) => {
      const reason = strangeFirmware({ '0': OTHER }, { model: long, values: [] })!;
      return reason.length <= 200 && reason.startsWith('firmware (PCR 0) is 0b0b0b0b0b0b0b0b,');
    }),
  );
  t.pass();
});

test("the site's policy says what strange firmware is; the other PCRs of the firmware are never compared", (t) => {
  t.is(attest(showing(GOOD), references({})).state, 'ok');
  t.is(attest(showing(OTHER), references({})).state, 'differs');
  t.is(attest(showing(OTHER), references({ policy: 'enforce' })).state, 'mismatch');
  t.is(attest(showing(OTHER), references({ policy: 'enforce', values: null })).state, 'ok');
  for (const pcr of ['1', '2', '3', '4', '5', '6']) {
    const e = showing(GOOD, { [pcr]: OTHER });
    t.is(attest(e, references({ policy: 'enforce' })).state, 'ok', `PCR ${pcr}`);
  }
});

test('strange firmware hides no worse thing, and makes none worse that cannot measure', (t) => {
  t.regex(attest(showing(OTHER, { '11': OTHER }), references({})).reason, /^PCR 11 is/);
  const foreign = { secureBoot: true, foreign: ["db is not the fleet's"], optionRoms: [] };
  const wrong = attest({ ...showing(OTHER), firmware: foreign }, references({}));
  t.is(wrong.state, 'mismatch');
  t.regex(wrong.reason, /db is not the fleet's/);
  const bare = attest({ ...showing(OTHER), firmware: null }, references({ policy: 'enforce' }));
  t.is(bare.state, 'mismatch', 'no event log, and firmware that is not known');
  t.regex(bare.reason, /^firmware/);
  const bios = inventory(1, { firmware: { kind: 'bios', vendor: '', version: '', date: '' } });
  t.is(
    attest({ ...showing(OTHER), inventory: bios }, { ...references({ policy: 'enforce' }), uefi: false })
      .state,
    'unknown',
  );
});
