import test from 'ava';
import fc from 'fast-check';
import { run } from '../../base/run.ts';
import { compareVersions } from '../../formats/version.ts';

/** The examples of UAPI.10, each older than all to its right. */
const CHAIN = '122.1 123~rc1-1 123 123-a 123-a.1 123-1 123-1.1 123^post1 123.a-1 123.1-1 123a-1 124-1'.split(
  ' ',
);

const PAIRS: [string, '<' | '=' | '>', string][] = [
  ['11', '=', '11'],
  ['systemd-123', '=', 'systemd-123'],
  ['bar-123', '<', 'foo-123'],
  ['123a', '>', '123'],
  ['123.a', '>', '123'],
  ['123.a', '<', '123.b'],
  ['123a', '>', '123.a'],
  ['11α', '=', '11β'],
  ['A', '<', 'a'],
  ['', '<', '0'],
  ['0.', '>', '0'],
  ['0.0', '>', '0'],
  ['0', '>', '~'],
  ['', '>', '~'],
  ['1_', '=', '1'],
  ['_1', '=', '1'],
  ['1_', '<', '1.2'],
  ['1_2_3', '>', '1.3.3'],
  ['1+', '=', '1'],
  ['1+2+3', '>', '1.3.3'],
  ['1.10', '>', '1.9'],
  ['1.0~rc1', '<', '1.0'],
  ['007', '=', '7'],
  // As `systemd-analyze compare-versions` of systemd 252 has them, where the text leaves room.
  ['0a.0', '>', '0a.'],
  ['rc', '<', '0A10-'],
  ['22-.11~', '<', '22-'],
  ['1-.2', '<', '1-~2'],
  ['202611230736123456789012345', '<', '202611230736123456789012346'],
];

test('the examples of the specification', (t) => {
  CHAIN.forEach((a, i) => {
    CHAIN.forEach((b, j) => {
      t.is(compareVersions(a, b), Math.sign(i - j), `${a} ${b}`);
    });
  });
  for (const [a, sign, b] of PAIRS) {
    const order = { '<': -1, '=': 0, '>': 1 }[sign];
    t.is(compareVersions(a, b), order, `${a} ${sign} ${b}`);
    t.is(compareVersions(b, a), -order + 0, `${b} and ${a}`);
  }
});

test('systemd is of the same opinion', async (t) => {
  const pairs = PAIRS.filter(([a, , b]) => a !== '' && b !== '');
  const opinions = await Promise.all(
    pairs.map(async ([a, , b]) => {
      const { stdout } = await run('systemd-analyze', ['compare-versions', '--', a, b]);
      return /^.+ (<|>|==) .+$/m.exec(stdout)?.[1]?.[0];
    }),
  );
  t.deepEqual(
    opinions,
    pairs.map(([, sign]) => sign),
  );
});

test('an order: antisymmetric, transitive, and it ends', (t) => {
  const piece = fc.constantFrom('0', '1', '2', '10', '01', 'a', 'b', 'A', '.', '-', '~', '^', '_', 'rc', '+');
  const version = fc.array(piece, { maxLength: 7 }).map((pieces) => pieces.join(''));
  fc.assert(
    fc.property(version, version, version, (a, b, c) => {
      t.is(compareVersions(a, a), 0);
      t.is(compareVersions(a, b), -compareVersions(b, a) + 0);
      if (compareVersions(a, b) <= 0 && compareVersions(b, c) <= 0) t.true(compareVersions(a, c) <= 0);
    }),
    { numRuns: 3000 },
  );
});
