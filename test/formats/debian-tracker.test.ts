import test from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../base/error.ts';
import { readTracker } from '../../formats/debian-tracker.ts';

const NAMES = new Set(['openssl', 'bash']);
const here = (entry: object) => ({ releases: { bookworm: entry } });
const FILE = {
  openssl: {
    'CVE-2025-0001': here({ status: 'resolved', fixed_version: '3.0.17-1', urgency: 'not yet assigned' }),
    'CVE-2025-0002': here({ status: 'open', urgency: 'medium' }),
    'CVE-2025-0003': here({ status: 'resolved', fixed_version: '0', urgency: 'low' }),
    'CVE-2025-0004': here({ status: 'open', urgency: 'unimportant' }),
    'CVE-2025-0005': here({ status: 'undetermined', urgency: 'not yet assigned' }),
    'CVE-2025-0006': { releases: { trixie: { status: 'open', urgency: 'high' } } },
    'TEMP-0000-123': here({ status: 'open', urgency: 'low' }),
  },
  nobody: { 'CVE-2025-0007': here({ status: 'open', urgency: 'high' }) },
};

test('what concerns these packages in this release, and nothing else', (t) => {
  t.deepEqual(readTracker(JSON.stringify(FILE), NAMES, 'bookworm'), {
    openssl: { 'CVE-2025-0001': '3.0.17-1', 'CVE-2025-0002': null },
    bash: {},
  });
});

test('another file is refused, and its content is not repeated', (t) => {
  const texts = [
    'root:x:0:0:root',
    '[]',
    '{}',
    'null',
    '"openssl"',
    '{"openssl":[]}',
    JSON.stringify({ openssl: 5 }),
  ];
  for (const text of [
    ...texts,
    JSON.stringify({ openssl: { 'CVE-2025-0006': FILE.openssl['CVE-2025-0006'] } }),
  ]) {
    const error = t.throws(() => readTracker(text, NAMES, 'bookworm'), { instanceOf: BootwaveError }, text);
    t.is(error.code, 'TRACKER_MALFORMED');
    t.false(error.message.includes('root:'));
  }
});

test('no text crashes it', (t) => {
  const entry = fc.oneof(
    fc.jsonValue(),
    fc.record({ releases: fc.oneof(fc.jsonValue(), fc.dictionary(fc.constant('bookworm'), fc.jsonValue())) }),
  );
  const file = fc.record({
    openssl: fc.dictionary(fc.constantFrom('CVE-2025-0001', '__proto__', 'x'), entry),
    bookworm: fc.jsonValue(),
  });
  fc.assert(
    fc.property(
      fc.oneof(
        file.map((value) => JSON.stringify(value)),
        fc.json(),
        fc.string(),
      ),
      (text) => {
        try {
          for (const cves of Object.values(readTracker(text, NAMES, 'bookworm')))
            for (const fixed of Object.values(cves))
              if (fixed !== null && typeof fixed !== 'string') return false;
          return true;
        } catch (error) {
          return error instanceof BootwaveError && error.code === 'TRACKER_MALFORMED';
        }
      },
    ),
  );
  t.pass();
});
