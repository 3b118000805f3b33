import test from 'ava';
import fc from 'fast-check';
import { Habits, habitSchema, toldOf } from '../../../orchestrator/flows/habits.ts';
import type { Line } from '../../../orchestrator/flows/line.ts';

const HOUR = 3600_000;
const T0 = 20_000 * 24 * HOUR;
const GIB = 2 ** 30;
const NAME = 'web/crawler@probe';

type Sent = { to?: number; ports?: number; bytes?: number; way?: 'sent' | 'answered'; span?: number };
/** @param hour since T0 */
function line(hour: number, { to = 1, ports = 1, bytes = 1000, way = 'sent', span = 300 }: Sent = {}): Line {
  const flows = Array.from({ length: Math.max(to, ports) }, (_, i): Line['flows'][number] => [
    ...([0, way, `198.51.${Math.floor((i % to) / 256)}.${(i % to) % 256}`, 'tcp', 1 + (i % ports)] as const),
    ...([1, i === 0 ? bytes : 0, span, 0] as const),
  ]);
  const heard = T0 + hour * HOUR + 1000;
  return {
    heard,
    life: 'a',
    number: hour + 1,
    from: heard - 1,
    until: heard,
    instances: [[NAME, '1']],
    flows,
  };
}
/** Each hour's words, and at last those that are told. */
function play(hours: Record<number, Sent>, until: number, habits = new Habits()) {
  const told: { hour: number; what: string }[] = [];
  for (let hour = 0; hour <= until; hour++)
    for (const { what } of habits.hear(line(hour, hours[hour])).unusual) told.push({ hour, what });
  return { told, habits };
}
/** Four days of an honest service. */
const usual: Record<number, Sent> = Object.fromEntries(
  Array.from({ length: 96 }, (_, hour) => [hour, { to: 20, ports: 2, bytes: GIB / 5 }]),
);

test('ten times more than in any hour of the days before, for a second hour, is told once', (t) => {
  const scan = { ...usual, 100: { to: 200 }, 101: { to: 210 }, 102: { to: 400 } };
  const { told, habits } = play(scan, 104);
  t.deepEqual(told, [
    { hour: 101, what: '210 destinations in an hour, in none of 4 days before more than 20' },
  ]);
  t.deepEqual(toldOf(habits.kept, 'probe', T0 + 102 * HOUR), [
    { service: NAME, what: told[0]!.what, at: T0 + 101 * HOUR },
  ]);
  t.deepEqual(toldOf(habits.kept, 'other', T0 + 102 * HOUR), []);
  t.deepEqual(toldOf(habits.kept, 'probe', T0 + 400 * HOUR), []);
});

test('one such hour, a little more, a few, a new service, and many who come to it are not', (t) => {
  const none = (hours: Record<number, Sent>, until = 110) => t.deepEqual(play(hours, until).told, []);
  none({ ...usual, 100: { to: 900 } });
  none({ ...usual, 100: { to: 900 }, 102: { to: 900 } });
  none({ ...usual, 100: { to: 199 }, 101: { to: 199 } });
  none({ 100: { to: 99, ports: 49 }, 101: { to: 99, ports: 49 } });
  none({ 50: { to: 900 }, 51: { to: 900 } }, 60);
  none({ ...usual, 100: { to: 900, way: 'answered' }, 101: { to: 900, way: 'answered' } });
});

test('bytes and ports count, too; a flow of long ago that is told once more only by its pace', (t) => {
  const much = { ...usual, 100: { bytes: 3 * GIB }, 101: { bytes: 3 * GIB, ports: 60 } };
  t.deepEqual(play(much, 101).told[0]?.what.split('; '), [
    '60 ports in an hour, in none of 4 days before more than 2',
    `${3 * GIB} bytes in an hour, in none of 4 days before more than ${Math.round(GIB / 5)}`,
  ]);
  const again = { bytes: 300 * GIB, span: 1000 * 3600 };
  t.deepEqual(play({ ...usual, 100: again, 101: again }, 102).told, []);
});

test('what goes on is told a day later at the soonest, and by then it is usual; a server that begins anew knows it', (t) => {
  const more = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [100 + i, { to: 300 }]));
  t.is(play({ ...usual, ...more }, 160).told.length, 1);
  const { habits } = play(usual, 99);
  const after = new Habits(JSON.parse(JSON.stringify(habits.kept)));
  t.is(after.hear(line(100, { to: 300 })).unusual.length, 0);
  t.is(after.hear(line(101, { to: 300 })).unusual.length, 1);
});

test('what runs and sends nothing for days has a habit, too: it wakes up unusual', (t) => {
  const told = (running: string[]) => {
    const habits = new Habits();
    const quiet = { instances: [], flows: [] };
    for (let hour = 0; hour < 100; hour++) habits.hear({ ...line(hour), ...quiet }, running);
    return [100, 101].flatMap((hour) => habits.hear(line(hour, { to: 300 }), running).unusual);
  };
  t.is(told([NAME]).length, 1);
  t.is(told(['web/other']).length, 0, 'it has not run before');
});

test('a thousand destinations are counted where a hundred are usual', (t) => {
  const many = Object.fromEntries(Array.from({ length: 96 }, (_, hour) => [hour, { to: 150 }]));
  const flood = { ...many, 100: { to: 1600 }, 101: { to: 1600 } };
  t.regex(play(flood, 101).told[0]?.what ?? '', /^1600 destinations in an hour, .* more than 150$/);
});

test('names that a node makes up push out nothing that runs', (t) => {
  const habits = new Habits();
  const running = Array.from({ length: 63 }, (_, i) => `web/s${i}`);
  for (let hour = 0; hour < 96; hour++) {
    const names = [...Array.from({ length: 64 }, (_, i) => `a/b${i}-${hour}`), 'web/s7'];
    const instances = names.map((name): [string, string] => [name, '1']);
    habits.hear({ ...line(hour), instances }, running);
  }
  const one: [string, string] = ['web/s7', '1'];
  const again = (hour: number) =>
    habits.hear({ ...line(hour, { to: 300 }), instances: [one] }, running).unusual;
  t.deepEqual(
    [...again(100), ...again(101)].map(({ service }) => service),
    ['web/s7'],
  );
  // What ends and comes under other names all the time, beside those that are there, pushes out none of them either.
  const all = (names: string[]) => names.map((name): [string, string] => [name, '1']);
  const daysOf = (of: Habits, name: string) => of.kept[name]?.days.length ?? 0;
  const [slow, quick] = [new Habits(), new Habits()];
  for (let hour = 0; hour < 100; hour++) {
    const last = [...running, `a/c${hour - 1}`];
    slow.hear({ ...line(hour), instances: all(hour % 2 === 0 ? last : last.toReversed()) });
    slow.hear({ ...line(hour), instances: all([`a/c${hour}`, ...running]) });
    for (const part of ['a', 'b', 'c']) {
      const names = [`a/d${hour}${part}`, ...running];
      quick.hear({ ...line(hour), instances: all(names.toReversed()) });
      quick.hear({ ...line(hour), instances: all(names) });
    }
    const days = hour === 0 ? 0 : 1 + Math.floor((hour - 1) / 24);
    for (const name of running)
      t.deepEqual([daysOf(slow, name), daysOf(quick, name)], [days, days], `${name} in hour ${hour}`);
  }
});

test('a node that makes names up fills neither memory nor disk', (t) => {
  const habits = new Habits();
  for (let hour = 0; hour < 8; hour++) {
    const instances = Array.from({ length: 40 }, (_, i): [string, string] => [`a/b${i}-${hour >> 1}`, '1']);
    habits.hear({ ...line(hour), instances });
  }
  t.is(Object.keys(habits.kept).length, 64);
});

test('whatever a node tells, in any order, what is kept is small, can be read again, and little is told', (t) => {
  const kept = fc.tuple(
    ...[
      fc.nat(3),
      fc.constantFrom('sent', 'answered', 'wide'),
      fc.ipV4(),
      fc.constantFrom('tcp', 'udp', null),
    ],
    ...[fc.option(fc.nat(65_535)), fc.nat(), fc.maxSafeNat(), fc.integer(), fc.integer()],
  );
  const any = fc.record({
    heard: fc.integer({ min: 0, max: 40 * 24 }).map((hour) => T0 + hour * HOUR),
    instances: fc.array(fc.tuple(fc.stringMatching(/^[a-z]{1,2}\/[a-z]{1,2}$/), fc.constant(null)), {
      maxLength: 40,
    }),
    flows: fc.array(kept, { maxLength: 20 }),
  });
  fc.assert(
    fc.property(fc.array(any, { maxLength: 60 }), (lines) => {
      const habits = new Habits();
      const days = new Map<string, number>();
      for (const one of lines as unknown as Line[])
        for (const { service, what } of habits.hear(one).unusual) {
          t.true(what.length < 400);
          const key = `${service} ${Math.floor(one.heard / HOUR)}`;
          days.set(key, (days.get(key) ?? 0) + 1);
        }
      t.true([...days.values()].every((times) => times === 1));
      const all = Object.values(JSON.parse(JSON.stringify(habits.kept)));
      t.true(all.length <= 64);
      for (const one of all) t.true(habitSchema.parse(one).days.length <= 9);
    }),
    { numRuns: 200 },
  );
});
