import test from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../base/error.ts';
import { wipeData } from '../../protocol/enrolment/extra-data.ts';
import { readReport, WIPE_LIMITS, type WipeReport, writeReport } from '../../protocol/enrolment/wipe.ts';

const name = fc.stringMatching(/^[0-9A-Za-z ._:-]{1,128}$/);
const report: fc.Arbitrary<WipeReport> = fc.record({
  incident: fc.integer({ min: 1, max: 2 ** 31 }),
  wiped: fc.array(name, { maxLength: 20 }),
  left: fc.array(name, { maxLength: 20 }),
  open: fc.array(fc.record({ name, why: fc.string({ maxLength: 300 }) }), { maxLength: 20 }),
});

test('a report is read as it was written', (t) => {
  fc.assert(fc.property(report, (one) => void t.deepEqual(readReport(writeReport(one)), one)));
});

test('whatever a machine sends instead is refused with one code, and nothing is half read', (t) => {
  const good = { incident: 1, wiped: ['a'], left: [], open: [] };
  const bad: fc.Arbitrary<string> = fc.oneof(
    fc.string(),
    fc.json(),
    fc.constantFrom(
      JSON.stringify({ ...good, incident: 0 }),
      JSON.stringify({ ...good, wiped: [''] }),
      JSON.stringify({ ...good, wiped: ['a\u0007'] }),
      JSON.stringify({ ...good, wiped: Array.from({ length: WIPE_LIMITS.disks + 1 }, () => 'a') }),
      JSON.stringify({ ...good, more: 1 }),
      JSON.stringify({ ...good, open: undefined }),
    ),
  );
  t.notThrows(() =>
    fc.assert(
      fc.property(bad, (text) => {
        try {
          readReport(text);
          return false;
        } catch (error) {
          return error instanceof BootwaveError && error.code === 'WIPE_REPORT';
        }
      }),
    ),
  );
});

test('a quote over one report stands for no other, nor for another nonce', (t) => {
  const [nonce, other] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
  const all = [wipeData(nonce, 'a'), wipeData(nonce, 'b'), wipeData(other, 'a'), wipeData(nonce, '')];
  t.is(new Set(all.map((one) => one.toString('hex'))).size, 4);
});
