import v8 from 'node:v8';
import vm from 'node:vm';
import test from 'ava';
import fc from 'fast-check';
import { cover, covers, type Interval } from '../../../bootserver/http/coverage.ts';
import { Progress } from '../../../bootserver/http/progress.ts';

const interval = fc.tuple(fc.nat(60), fc.nat(60)).map(([a, b]): Interval => [Math.min(a, b), Math.max(a, b)]);

test('covers the bytes that a plain set of bytes would', (t) => {
  fc.assert(
    // Fewer than are kept.
    fc.property(fc.array(interval, { maxLength: 12 }), interval, (added, want) => {
      const bytes = new Set<number>();
      for (const [start, end] of added) for (let i = start; i < end; i += 1) bytes.add(i);
      const have = added.reduce(cover, [] as readonly Interval[]);
      let all = true;
      for (let i = want[0]; i < want[1]; i += 1) all &&= bytes.has(i);
      t.is(covers(have, want), all);
      t.is(
        have.reduce((sum, [start, end]) => sum + end - start, 0),
        bytes.size,
      );
    }),
  );
});

test('scattered pieces are kept to a limit, and joined ones free it', (t) => {
  let have: readonly Interval[] = [];
  for (let i = 0; i < 5000; i += 1) have = cover(have, [i * 2, i * 2 + 1]);
  t.true(have.length <= 16);
  have = cover(have, [0, 10_000]);
  t.deepEqual(have, [[0, 10_000]]);
});

test('sent is said once, when all parts are there in whatever order, and again after a restart', (t) => {
  const progress = new Progress();
  const goal: Interval[] = [
    [10, 20],
    [40, 60],
  ];
  t.false(progress.add('a', [40, 55], goal));
  t.false(progress.add('a', [10, 20], goal));
  t.false(progress.add('b', [0, 59], goal));
  t.true(progress.add('a', [50, 60], goal));
  t.false(progress.add('a', [40, 60], goal));
  t.true(progress.add('a', [0, 30], goal));
  t.false(progress.add('a', [0, 50], goal));
  progress.restart('a');
  t.false(progress.add('a', [50, 60], goal));
});

test('strangers by the thousand, each with scattered pieces, do not grow the memory', (t) => {
  const progress = new Progress();
  progress.add('first', [0, 5], [[0, 10]]);
  const grown = () => {
    v8.setFlagsFromString('--expose-gc');
    vm.runInNewContext('gc')();
    return process.memoryUsage().heapUsed;
  };
  const before = grown();
  for (let i = 0; i < 4000; i += 1) {
    for (let piece = 0; piece < 40; piece += 1)
      progress.add(`mac ${i}`, [piece * 2, piece * 2 + 1], [[0, 100]]);
  }
  const growth = grown() - before;
  t.true(growth < 8_000_000, `${growth} bytes`);
  t.false(progress.add('first', [5, 10], [[0, 10]]));
});
