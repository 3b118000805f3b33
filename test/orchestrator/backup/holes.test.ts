import test from 'ava';
import fc from 'fast-check';
import { holesOf } from '../../../orchestrator/backup/holes.ts';

test('what is before the last common line was lost, what is behind it came later; what a restore added is neither', (t) => {
  t.deepEqual(holesOf(['a', 'b'], ['a', 'b']), { lost: 0, since: 0 });
  t.deepEqual(holesOf(['a', 'b', 'restored'], ['a', 'b', 'c', 'd']), { lost: 0, since: 2 });
  t.deepEqual(holesOf(['a', 'c'], ['a', 'b', 'c', 'd']), { lost: 1, since: 1 });
  t.deepEqual(
    holesOf(['other'], ['a', 'b']),
    { lost: 2, since: 0 },
    'the first line of all is in every backup',
  );
});

test('any beginning has lost nothing; without one of its lines but the last it has lost that', (t) => {
  const lines = fc.uniqueArray(fc.string(), { minLength: 2, maxLength: 30 });
  fc.assert(
    fc.property(lines, fc.nat(), fc.nat(), (all, cut, out) => {
      const size = 2 + (cut % (all.length - 1));
      const begun = all.slice(0, size);
      t.deepEqual(holesOf(begun, all), { lost: 0, since: all.length - size });
      const without = begun.filter((_, i) => i !== out % (size - 1));
      t.deepEqual(holesOf(without, all), { lost: 1, since: all.length - size });
    }),
  );
});
