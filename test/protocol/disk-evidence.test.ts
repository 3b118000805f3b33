import test from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../base/error.ts';
import {
  DISK_EVIDENCE_LIMITS,
  type DiskEvidence,
  readDiskEvidence,
  writeDiskEvidence,
} from '../../protocol/enrolment/disk-evidence.ts';
import { diskEvidenceData, wipeData } from '../../protocol/enrolment/extra-data.ts';

const line = (maxLength: number) =>
  fc.stringMatching(/^[0-9A-Za-z ._:-]*$/).map((one) => one.slice(0, maxLength));
const part = fc.record({
  what: line(80),
  from: fc.maxSafeNat(),
  length: fc.maxSafeNat(),
  sha256: fc.stringMatching(/^[0-9a-f]{64}$/),
});
const report: fc.Arbitrary<DiskEvidence> = fc.record({
  incident: fc.integer({ min: 1, max: 2 ** 31 }),
  read: fc.constantFrom('heads' as const, 'all' as const),
  disks: fc.array(
    fc.record({
      name: fc.stringMatching(/^[0-9A-Za-z ._:-]{1,128}$/),
      size: fc.maxSafeNat(),
      parts: fc.array(part, { maxLength: 12 }),
    }),
    { maxLength: DISK_EVIDENCE_LIMITS.disks },
  ),
  missing: fc.array(line(300), { maxLength: 20 }),
});

test('a report is read as it was written', (t) => {
  fc.assert(fc.property(report, (one) => void t.deepEqual(readDiskEvidence(writeDiskEvidence(one)), one)));
});

test('the largest report that a node may make is taken', (t) => {
  const one = { what: 'w'.repeat(80), from: 2 ** 50, length: 2 ** 50, sha256: 'a'.repeat(64) };
  const parts = Array.from({ length: DISK_EVIDENCE_LIMITS.parts }, () => one);
  const disk = { name: 'd'.repeat(128), size: 2 ** 50, parts };
  const disks = Array.from({ length: DISK_EVIDENCE_LIMITS.disks }, () => disk);
  const missing = Array.from({ length: DISK_EVIDENCE_LIMITS.disks + 1 }, () => 'm'.repeat(300));
  const most: DiskEvidence = { incident: 1, read: 'all', disks, missing };
  t.notThrows(() => writeDiskEvidence(most));
});

test('whatever a machine sends instead is refused with one code, and nothing is half read', (t) => {
  const good = { incident: 1, read: 'heads', disks: [], missing: [] };
  const bad: fc.Arbitrary<string> = fc.oneof(
    fc.string(),
    fc.json(),
    fc.constantFrom(
      JSON.stringify({ ...good, incident: 0 }),
      JSON.stringify({ ...good, read: 'some' }),
      JSON.stringify({ ...good, missing: ['a\u001b[2J'] }),
      JSON.stringify({ ...good, missing: Array.from({ length: 65 }, () => 'a') }),
      JSON.stringify({ ...good, more: 1 }),
      JSON.stringify({
        ...good,
        disks: [{ name: 'a', size: 1, parts: [{ what: 'x', from: -1, length: 1, sha256: '' }] }],
      }),
    ),
  );
  t.notThrows(() =>
    fc.assert(
      fc.property(bad, (text) => {
        try {
          readDiskEvidence(text);
          return false;
        } catch (error) {
          return error instanceof BootwaveError && error.code === 'DISK_EVIDENCE';
        }
      }),
    ),
  );
});

test('a quote over what was read stands for no wipe, no other report and no other nonce', (t) => {
  const [nonce, other] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
  const all = [
    wipeData(nonce, 'a'),
    ...['a', 'b'].map((one) => diskEvidenceData(nonce, one)),
    diskEvidenceData(other, 'a'),
  ];
  t.is(new Set(all.map((one) => one.toString('hex'))).size, 4);
});
