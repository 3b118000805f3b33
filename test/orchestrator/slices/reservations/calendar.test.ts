/** What can be reserved, and when next: nothing is promised twice at any moment. */
import test from 'ava';
import fc from 'fast-check';
import {
  type Booked,
  type Calendar,
  conflictAt,
  mondayOf,
  nextFree,
  peak,
} from '../../../../orchestrator/slices/reservations/calendar.ts';
import { changesAfter, extraAt } from '../../../../protocol/reservation.ts';

const HOUR = 3600_000;
/** Monday, 2026-11-30 00:00 UTC. */
const MONDAY = Date.UTC(2026, 10, 30);
const booked = (slice: string, from: number, until: number, cpu: number, nodes = ['a', 'b']): Booked => ({
  ...{ slice, nodes, cpu, memory: 0 },
  ...{ from: MONDAY + from * HOUR, until: MONDAY + until * HOUR },
});
const calendar = (all: readonly Booked[], hours = 24): Calendar => ({
  ...{ booked: all, hours },
  left: new Map(['a', 'b', 'c'].map((id) => [id, { cpu: 50, memory: 1000 }])),
});
const asked = (cpu: number, hours: number, nodes = ['a', 'c']) => ({
  ...{ slice: 'probe', nodes, cpu, memory: 0, length: hours * HOUR },
});
const next = (what: ReturnType<typeof asked>, from: number, all: Calendar) => {
  const found = nextFree(what, MONDAY + from * HOUR, all, MONDAY + 1000 * HOUR);
  return found === null ? null : (found - MONDAY) / HOUR;
};

test('one node that is taken for one moment is a conflict; what only touches it is none; the next time is told', (t) => {
  const all = calendar([booked('other', 10, 12, 30)]);
  t.deepEqual(conflictAt(asked(21, 2), MONDAY + 9 * HOUR, all), { why: 'cpu', node: 'a', left: 20 });
  t.is(conflictAt(asked(20, 2), MONDAY + 9 * HOUR, all), null);
  t.is(conflictAt(asked(50, 1), MONDAY + 9 * HOUR, all), null, 'it ends when the other one begins');
  t.is(conflictAt(asked(50, 1), MONDAY + 12 * HOUR, all), null);
  t.is(conflictAt(asked(50, 2, ['c']), MONDAY + 9 * HOUR, all), null, 'another node');
  t.is(next(asked(50, 2), 9, all), 12);
  t.is(next(asked(51, 2), 9, all), null, 'more than there ever is');
  t.is(next(asked(50, 1), 9, all), 9);
  t.is(next(asked(1, 1, ['x']), 9, all), null, 'a node of which nothing is known has nothing');
});

test('hours of a week count from Monday to Monday, for the week in which it begins; the next Monday is told', (t) => {
  const all = calendar([booked('probe', 1, 21, 1), booked('other', 1, 100, 1)]);
  t.deepEqual(conflictAt(asked(1, 5), MONDAY + 30 * HOUR, all), { why: 'hours', left: 4, monday: MONDAY });
  t.is(conflictAt(asked(1, 4), MONDAY + 30 * HOUR, all), null);
  t.is(next(asked(1, 5), 30, all), 7 * 24);
  t.is(next(asked(1, 25), 30, all), null);
  t.is(mondayOf(MONDAY), MONDAY);
  t.is(mondayOf(MONDAY - 1), MONDAY - 7 * 24 * HOUR);
  t.is(new Date(mondayOf(Date.UTC(2031, 4, 1))).getUTCDay(), 1);
});

const NODES = ['a', 'b', 'c'];
const windowArb = fc
  .record({
    slice: fc.constantFrom('p', 'q'),
    nodes: fc.subarray(NODES, { minLength: 1 }),
    from: fc.integer({ min: 0, max: 400 }),
    length: fc.integer({ min: 1, max: 60 }),
    cpu: fc.integer({ min: 0, max: 40 }),
    memory: fc.integer({ min: 0, max: 40 }),
  })
  .map(({ from, length, ...rest }) => ({ ...rest, from: from * HOUR, until: (from + length) * HOUR }));
const leftArb = fc.record({ cpu: fc.integer({ min: 0, max: 60 }), memory: fc.integer({ min: 0, max: 60 }) });

test('any calendar, booked one after the other: at each moment of it what is reserved fits each node, and no earlier hour was free', (t) => {
  fc.assert(
    fc.property(
      fc.array(windowArb, { maxLength: 12 }),
      fc.tuple(leftArb, leftArb, leftArb),
      fc.integer({ min: 1, max: 168 }),
      (wishes, rooms, hours) => {
        const left = new Map(NODES.map((id, i) => [id, rooms[i]!]));
        const all: Booked[] = [];
        const LAST = 1000 * HOUR;
        for (const { from, until, ...extra } of wishes) {
          const what = { ...extra, length: until - from };
          const now = { booked: all, left, hours };
          const at = nextFree(what, from, now, LAST);
          // By brute force: room and hours change at whole hours only.
          for (let hour = from; hour < (at ?? LAST); hour += HOUR)
            if (conflictAt(what, hour, now) === null) t.fail(`${hour / HOUR} was free, and ${at} was told`);
          if (at !== null) all.push({ ...extra, from: at, until: at + what.length });
        }
        for (const id of NODES) {
          const there = all.filter(({ nodes }) => nodes.includes(id));
          for (const one of there)
            for (const part of ['cpu', 'memory'] as const) {
              const taken = extraAt(there, one.from)[part];
              if (one[part] > 0 && taken > left.get(id)![part]) t.fail('promised twice');
            }
        }
        for (const slice of ['p', 'q'])
          for (const [, week] of Map.groupBy(
            all.filter((one) => one.slice === slice),
            ({ from }) => mondayOf(from),
          ))
            if (week.reduce((sum, { from, until }) => sum + until - from, 0) > hours * HOUR) t.fail('hours');
      },
    ),
    { numRuns: 300 },
  );
  t.pass();
});

test('any windows: what is reserved changes only at their ends, and its peak is the most of all moments', (t) => {
  fc.assert(
    fc.property(fc.array(windowArb, { maxLength: 8 }), (windows) => {
      const changes = changesAfter(windows, -1);
      let most = 0;
      for (let at = -HOUR; at < 500 * HOUR; at += HOUR / 2) {
        const { cpu } = extraAt(windows, at);
        most = Math.max(most, cpu);
        if (cpu !== extraAt(windows, at - HOUR / 2).cpu && !changes.includes(at))
          t.fail('no change was told');
      }
      t.is(peak(windows, -HOUR, 500 * HOUR).cpu, most);
    }),
    { numRuns: 100 },
  );
});
