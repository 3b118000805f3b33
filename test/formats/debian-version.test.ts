import test from 'ava';
import fc from 'fast-check';
import { run } from '../../base/run.ts';
import { compareDebianVersions } from '../../formats/debian-version.ts';

test('as deb-version(7) says', (t) => {
  const rising = [
    '1.0~~',
    '1.0~~a',
    '1.0~',
    '1.0',
    '1.0-1~deb12u1',
    '1.0-1',
    '1.0-1+b1',
    '1.0a',
    '1.0+',
    '1.9',
    '1.10',
    '1:0.1',
  ];
  for (const [i, older] of rising.entries())
    for (const newer of rising.slice(i + 1)) {
      t.true(compareDebianVersions(older, newer) < 0, `${older} < ${newer}`);
      t.true(compareDebianVersions(newer, older) > 0, `${newer} > ${older}`);
    }
  for (const [a, b] of [
    ['1.0', '1.0-0'],
    ['0:1.0', '1.0'],
    ['1.00', '1.0'],
    ['1.0', '1.0'],
  ] as const)
    t.is(compareDebianVersions(a, b), 0, `${a} = ${b}`);
});

test('dpkg itself says the same of any two', async (t) => {
  const part = fc.stringMatching(/^[0-9a-zA-B.+~]{0,5}$/);
  const version = fc
    .record({
      epoch: fc.constantFrom('', '', '0:', '1:', '12:'),
      digit: fc.nat(20),
      part,
      revision: fc.option(part),
    })
    .map(
      ({ epoch, digit, part: upstream, revision }) =>
        `${epoch}${digit}${upstream}${revision === null || revision === '' ? '' : `-${revision}`}`,
    );
  await fc.assert(
    fc.asyncProperty(version, version, async (a, b) => {
      const order = compareDebianVersions(a, b);
      const word = order < 0 ? 'lt' : order > 0 ? 'gt' : 'eq';
      const { code, stderr } = await run('dpkg', ['--compare-versions', a, word, b]);
      return code === 0 && stderr === '';
    }),
    { numRuns: 300 },
  );
  t.pass();
});
