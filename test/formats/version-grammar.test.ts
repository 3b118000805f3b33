import test from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../base/error.ts';
import { assertVersion, compareVersions, isVersion } from '../../formats/version.ts';

const good = ['1', '1.0.0', '2.0~rc1', '20260101-3', 'a', '0.0.0-abc', '1'.repeat(64)];
const bad = [
  ...[
    '',
    '.',
    '-1',
    '1.',
    '1-',
    '~1',
    '1.0+3',
    '1_0',
    '1.0^2',
    'V1',
    '1.0\n',
    ' 1',
    '1/2',
    '../1',
    '1 0',
    'é',
  ],
  '1'.repeat(65),
];

for (const version of good) test(`${version} is a version`, (t) => t.true(isVersion(version)));
for (const version of bad) {
  test(`${JSON.stringify(version)} is no version`, (t) => {
    const error = t.throws(() => assertVersion(version), { instanceOf: BootwaveError });
    t.is(error?.code, 'IMAGE_VERSION_INVALID');
  });
}

// Oldest first, in the order that 'systemd-analyze compare-versions' of systemd 252 gives.
const ascending = [
  ...['~', '~1', '', '1~rc1', '1~rc2', '1', '1-1', '1.0~1', '1.0', '1.0.1', '1.0a', '1.2', '1.10'],
  ...['20260101-9', '20260101-10', '99999999999999999999-1', '99999999999999999999-2'],
];
test('versions are ordered as systemd-boot orders them', (t) => {
  for (const [i, a] of ascending.entries())
    for (const [j, b] of ascending.entries())
      t.is(Math.sign(compareVersions(a, b)), Math.sign(i - j), `${a} against ${b}`);
});

test('leading zeros do not make a version newer', (t) => {
  t.is(compareVersions('1.01', '1.1'), 0);
  t.true(compareVersions('1.010', '1.9') > 0);
});

test('the order is one: antisymmetric, transitive, and every version equals itself', (t) => {
  const version = fc.stringMatching(/^[0-9a-c.~-]{0,6}$/);
  fc.assert(
    fc.property(version, version, version, (a, b, c) => {
      if (compareVersions(a, a) !== 0) return false;
      if (Math.sign(compareVersions(a, b)) !== -Math.sign(compareVersions(b, a))) return false;
      return !(compareVersions(a, b) <= 0 && compareVersions(b, c) <= 0 && compareVersions(a, c) > 0);
    }),
    { numRuns: 2000 },
  );
  t.pass();
});
