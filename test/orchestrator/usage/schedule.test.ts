import test from 'ava';
import fc from 'fast-check';
import { Schedule } from '../../../orchestrator/usage/schedule.ts';

const nodes = (count: number) => Array.from({ length: count }, (_, i) => `n${i}`);

/** Asks that begin in each second. */
function run(fleet: readonly string[], seconds: number, pace = { every: 60_000, rate: 50 }) {
  const schedule = new Schedule(pace, Math.random);
  return Array.from({ length: seconds }, (_, s) => schedule.take(fleet, pace.rate, s * 1000));
}

test('a small fleet is heard of at once, and then each node about once a minute, spread', (t) => {
  const taken = run(nodes(100), 600);
  t.is(new Set(taken.slice(0, 4).flat()).size, 100);
  for (const node of nodes(100)) {
    const at = taken.flatMap((who, s) => (who.includes(node) ? [s] : []));
    for (const [i, s] of at.slice(1).entries()) t.true(s - at[i]! >= 54 && s - at[i]! <= 67, `${s - at[i]!}`);
  }
  // After some minutes they are apart.
  t.true(Math.max(...taken.slice(300).map((who) => who.length)) < 50);
});

test('a large fleet is asked more seldom, never faster, and nobody is left out', (t) => {
  const taken = run(nodes(10_000), 460);
  for (const who of taken) t.true(who.length <= 50);
  for (const half of [taken.slice(0, 230), taken.slice(200)]) t.is(new Set(half.flat()).size, 10_000);
});

test('who is gone is forgotten, who has nothing to say is left alone for a while', (t) => {
  const schedule = new Schedule({ every: 1000, rate: 10 }, () => 0);
  t.deepEqual(schedule.take(['a', 'b'], 9, 0), ['a', 'b']);
  schedule.postpone('a', 50_000);
  t.deepEqual(schedule.take(['a', 'b'], 9, 10_000), ['b']);
  t.deepEqual(schedule.take(['b'], 9, 20_000), ['b']);
  schedule.postpone('a', 1e9);
  t.deepEqual(schedule.take(['a'], 9, 20_000), ['a'], 'it is new again');
});

test('never more than asked for, never one that is not there', (t) => {
  const step = fc.record({ count: fc.nat(20), most: fc.integer({ min: -2, max: 8 }), passed: fc.nat(5000) });
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const schedule = new Schedule({ every: 2000, rate: 5 }, Math.random);
      let now = 0;
      for (const { count, most, passed } of steps) {
        now += passed;
        const taken = schedule.take(nodes(count), most, now);
        t.true(taken.length <= Math.max(0, most));
        t.true(taken.every((node) => nodes(count).includes(node)));
      }
    }),
  );
});
