import test from 'ava';
import fc from 'fast-check';
import { type Family, textOf } from '../../../orchestrator/metrics/format.ts';
import { parse } from './parse.ts';

const text = (families: Family[]): string => [...textOf(families)].join('');

test('an unknown number is absent, and so is a family of unknown numbers', (t) => {
  const family = (name: string, samples: Family['samples']): Family => ({
    ...{ name, type: 'gauge', help: 'x.' },
    samples,
  });
  t.is(
    text([
      family('a', [
        [{}, null],
        [{ b: 'c' }, 0],
        [{}, 1.5],
      ]),
      family('d', [[{}, null]]),
      family('e', []),
    ]),
    '# HELP a x.\n# TYPE a gauge\na{b="c"} 0\na 1.5\n',
  );
});

test('a long family is given in pieces, each of whole lines', (t) => {
  const samples = Array.from({ length: 1700 }, (_, i) => [{ i: String(i) }, i] as const);
  const pieces = [...textOf([{ name: 'a', type: 'counter', help: 'x.', samples }])];
  t.true(pieces.length > 2);
  t.true(pieces.every((piece) => piece.endsWith('\n')));
  t.is(pieces.join('').split('\n').length, 1700 + 3);
});

test('whatever stands in a label, others read the same', async (t) => {
  // A carriage return is a line's end for that parser alone: the format knows \n only, and no name of ours has either.
  const value = fc
    .string({ unit: 'binary' })
    .map((word) => word.replace(/[\r\p{Zl}\p{Zp}\p{Cc}\p{Cs}]/gu, (c) => (c === '\n' ? c : '_')));
  const values = fc.sample(
    fc.oneof(value, fc.constantFrom('\\', '\\n', '"', '\n', '\\"', '}', '{a="b"}', '# x', ' ')),
    300,
  );
  const samples = values.map((word, i) => [{ i: String(i), word }, i] as const);
  const read = await parse(text([{ name: 'a', type: 'gauge', help: 'x.', samples }]));
  t.deepEqual(
    read.map(({ labels }) => labels.word),
    values,
  );
});
