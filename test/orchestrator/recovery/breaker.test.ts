import test from 'ava';
import fc from 'fast-check';
import {
  type Alarm,
  liftOf,
  type Member,
  silentPlaces,
  silentWith,
  tripFor,
  tripsOf,
  type World,
} from '../../../orchestrator/recovery/breaker.ts';
import { USUAL } from '../../../orchestrator/recovery/rules.ts';

const MINUTE = 60_000;
const NOON = 1_800_000_000_000;

const member = (id: string, more: Partial<Member> = {}): Member => ({
  ...{
    id,
    name: id,
    site: 'par',
    rack: null,
    image: '1.0',
    quiet: 10_000,
    silent: 15 * MINUTE,
    isWell: true,
  },
  ...more,
});
const alarm = (node: string, more: Partial<Alarm> = {}): Alarm => ({
  ...{ node, name: node, site: 'par', road: 'broken', signal: 'ill', openedAt: NOON, step: 'open' },
  ...more,
});
/** As many members, at so many sites. */
const fleet = (count: number, sites = 1): Member[] =>
  Array.from({ length: count }, (_, i) => member(`n${i}`, { site: sites === 1 ? 'par' : `s${i % sites}` }));
const world = (
  alarms: readonly Alarm[],
  members: readonly Member[] = fleet(100),
  more: Partial<World> = {},
): World => ({
  ...{ at: NOON, alarms, members, resumed: [], rules: USUAL },
  ...more,
});
const codes = (of: World) => [...new Set(tripsOf(of).map(({ code, act }) => `${code} ${act}`))];
const first = (count: number, more: (i: number) => Partial<Alarm> = () => ({})) =>
  Array.from({ length: count }, (_, i) => alarm(`n${i}`, more(i)));

test('many nodes of a site, and many of the fleet: repairs and wipes stand still, fences do not', (t) => {
  t.deepEqual(codes(world(first(10))), []);
  const spread = (i: number) => ({ site: `s${i % 20}` });
  t.deepEqual(codes(world(first(10, spread), fleet(400, 20))), []);
  t.deepEqual(codes(world(first(11, spread), fleet(400, 20))), ['many repair', 'many wipe']);
  const [trip] = tripsOf(world(first(3), fleet(14)));
  t.like(trip, { code: 'many-of-site', act: 'repair', site: 'par', nodes: ['n0', 'n1', 'n2'] });
  t.deepEqual(codes(world(first(2), fleet(5))), [], 'so few are never too many');
  t.deepEqual(codes(world(first(2), fleet(2))), []);
});

test('a system outside makes its own sites stand still, and no other one', (t) => {
  const members = fleet(400, 20);
  const said = members
    .filter(({ site }) => site === 's1')
    .map(({ id, site }, i) => alarm(id, { site, signal: i % 2 ? 'suspected' : 'reported' }));
  const stopped = (alarms: Alarm[], site: string) =>
    tripFor(tripsOf(world(alarms, members)), 'repair', { site, rack: null, image: null })?.code;
  t.is(said.length, 20);
  t.is(stopped(said, 's1'), 'many');
  t.is(stopped(said, 's2'), undefined);
  const seen = first(10, (i) => ({ site: `s${i + 2}` }));
  t.is(stopped([...said, ...seen], 's2'), undefined, 'nor with what was seen of others');
  t.is(
    stopped([...said.slice(0, 1), ...seen], 's1'),
    'many',
    'no more are repaired for its word than for others',
  );
  const more = [...seen, alarm('n399', { site: 's19' })];
  t.is(stopped(more, 's2'), 'many');
});

test('what lies further apart than the time of the rules does not count together', (t) => {
  const every = (minutes: number) =>
    world(
      first(30, (i) => ({ openedAt: NOON + i * minutes * MINUTE })),
      fleet(1000),
    );
  t.deepEqual(codes(every(6)), ['many repair', 'many wipe'], '11 within an hour');
  t.deepEqual(codes(every(7)), []);
});

test('it holds until all of them are well, or a person lets it go on; later signals count anew', (t) => {
  const all = (step: (i: number) => Alarm['step'], from = 0) =>
    first(11, (i) => ({ step: step(i), openedAt: NOON + from }));
  const members = fleet(1000);
  t.true(
    codes(
      world(
        all((i) => (i === 0 ? 'person' : 'ended')),
        members,
      ),
    ).length > 0,
    'also long afterwards',
  );
  t.deepEqual(
    codes(
      world(
        all(() => 'ended'),
        members,
      ),
    ),
    [],
  );
  const said = (more: object) => ({ resumed: [{ site: null, repair: NOON, wipe: 0, ...more }] });
  t.deepEqual(
    codes(
      world(
        all(() => 'open'),
        members,
        said({}),
      ),
    ),
    ['many wipe'],
    'wipes take another word',
  );
  t.deepEqual(
    codes(
      world(
        all(() => 'open'),
        members,
        said({ wipe: NOON }),
      ),
    ),
    [],
  );
  t.deepEqual(
    codes(
      world(
        all(() => 'open', 1),
        members,
        said({ wipe: NOON }),
      ),
    ),
    ['many repair', 'many wipe'],
  );
  t.deepEqual(
    codes(
      world(
        all(() => 'open'),
        members,
        said({ wipe: NOON, site: 'ams' }),
      ),
    ).length,
    2,
    'elsewhere',
  );
});

test('few nodes are fenced by signals; then a person is asked, and nothing is wiped meanwhile', (t) => {
  const fenced = (count: number, more: Partial<Alarm> = {}) =>
    world(
      first(count, () => ({ road: 'compromised', step: 'fenced', signal: 'bad-quote', ...more })),
      fleet(1000),
    );
  t.deepEqual(codes(fenced(4)), []);
  t.deepEqual(codes(fenced(5)), ['fences fence', 'fences wipe']);
  t.deepEqual(codes(fenced(50, { signal: 'operator' })), [], 'people may name as many as they like');
});

test('a measurement that nobody shows as published is our own fault; one that others show is not', (t) => {
  const bad = first(2, () => ({ road: 'compromised', step: 'fenced', signal: 'measurement' }));
  const running = (well: number) =>
    fleet(100).map((one, i) => ({ ...one, image: i < 2 + well ? '2.0' : '1.0', isWell: i >= 2 }));
  t.deepEqual(codes(world(bad, running(1))), ['measurement fence', 'measurement wipe']);
  const trips = tripsOf(world(bad, running(1)));
  t.truthy(tripFor(trips, 'fence', member('x', { image: '2.0' })));
  t.is(tripFor(trips, 'fence', member('x', { image: '1.0' })), undefined, 'of another image they are fenced');
  t.is(tripFor(trips, 'repair', member('x', { image: '2.0' })), undefined);
  t.deepEqual(codes(world(bad, running(2))), []);
  t.deepEqual(codes(world(bad.slice(1), running(0))), [], 'one alone is fenced');
});

test('a rack that fell silent as a whole is a switch: nobody is restarted there, everybody elsewhere is', (t) => {
  const members = fleet(12).map((one, i) => ({
    ...one,
    rack: `r${Math.floor(i / 3)}`,
    ...(i < 3 && { quiet: 40 * MINUTE, isWell: false }),
  }));
  const alarms = [alarm('n0', { signal: 'silent' })];
  const trips = tripsOf(world(alarms, members));
  t.like(trips, {
    length: 1,
    0: { code: 'silence', act: 'repair', site: 'par', rack: 'r0', nodes: ['n0', 'n1', 'n2'] },
  });
  t.truthy(tripFor(trips, 'repair', members[1]!));
  t.is(tripFor(trips, 'repair', members[5]!), undefined);
  t.regex(liftOf(trips[0]!), /by itself when they are heard; .* recovery resume --site par --reason/);
  t.like(silentWith('n2', members), { place: { rack: 'r0' } }, 'before it has an incident, too');
  const alone = members.map((one, i) => ({ ...one, quiet: i === 0 ? one.quiet : 1000 }));
  t.is(silentWith('n0', alone), null);
  t.deepEqual(tripsOf(world(alarms, alone)), []);
  const said = (repair: number) =>
    silentPlaces(world([], members, { resumed: [{ site: 'par', repair, wipe: 0 }] }));
  t.like(
    said(NOON - 41 * MINUTE),
    { length: 1, 0: { rack: 'r0', nodes: ['n0', 'n1', 'n2'] } },
    'and is shown',
  );
  t.deepEqual(said(NOON - 40 * MINUTE), [], 'a person has seen it');
  const dark = members.map((one) => ({ ...one, quiet: 40 * MINUTE }));
  t.like(tripsOf(world(alarms, dark)), { length: 1, 0: { site: null, rack: null } }, 'our own uplink');
});

test('a site that has silent nodes repaired sooner is compared sooner', (t) => {
  const members = fleet(6).map((one, i) => ({
    ...one,
    rack: `r${i < 3 ? 0 : 1}`,
    silent: 3 * MINUTE,
    ...(i < 3 && { quiet: 4 * MINUTE, isWell: false }),
  }));
  t.like(silentWith('n0', members), { place: { rack: 'r0' }, ids: ['n0', 'n1', 'n2'] });
  t.is(
    silentWith(
      'n0',
      members.map((one) => ({ ...one, silent: 15 * MINUTE })),
    ),
    null,
    'where they are not repaired yet',
  );
  const moment = members.map((one) => ({ ...one, quiet: Math.min(one.quiet, 2.9 * MINUTE) }));
  t.truthy(silentWith('n0', moment), 'read a moment before the signal counts: nobody is alone yet');
});

const anyAlarm = fc.record({
  node: fc.integer({ min: 0, max: 40 }).map((n) => `n${n}`),
  site: fc.constantFrom('s0', 's1'),
  road: fc.constantFrom<Alarm['road']>('broken', 'compromised'),
  signal: fc.constantFrom('ill', 'silent', 'measurement', 'reported', 'operator'),
  openedAt: fc.integer({ min: 0, max: 300 }).map((n) => n * MINUTE),
  step: fc.constantFrom<Alarm['step']>('open', 'fenced', 'person', 'ended'),
});
const anyWorld = fc
  .record({
    alarms: fc.uniqueArray(anyAlarm, { selector: ({ node }) => node, maxLength: 40 }),
    quiet: fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 41, maxLength: 41 }),
  })
  .map(({ alarms, quiet }) =>
    world(
      alarms.map((one) => alarm(one.node, one)),
      fleet(41, 2).map((one, i) => ({ ...one, quiet: quiet[i]! * MINUTE, isWell: quiet[i]! < 5 })),
    ),
  );

test('whatever happens: the order of incidents tells nothing, people can always go on, and what is over stops nothing', (t) => {
  fc.assert(
    fc.property(anyWorld, (one) => {
      const trips = tripsOf(one);
      const shown = (all: typeof trips) => all.map(({ code, act, site }) => `${code} ${act} ${site}`).sort();
      t.deepEqual(shown(tripsOf({ ...one, alarms: one.alarms.toReversed() })), shown(trips));
      for (const { nodes, why } of trips) t.true(nodes.length > 0 && why.length > 0);
      const all = [{ site: null, repair: 300 * MINUTE, wipe: 300 * MINUTE }];
      t.deepEqual(tripsOf({ ...one, resumed: all }), []);
      t.deepEqual(tripsOf({ ...one, alarms: one.alarms.map((a) => ({ ...a, step: 'ended' as const })) }), []);
      const meant = one.alarms.map((a) => ({ ...a, signal: 'operator' }));
      t.deepEqual(tripsOf({ ...one, alarms: meant }), []);
    }),
  );
});

test('never more nodes than the rules say are fenced or repaired within the time, whatever the signals are', (t) => {
  const signals = fc.array(fc.record({ after: fc.nat(10 * MINUTE), compromised: fc.boolean() }), {
    maxLength: 200,
  });
  fc.assert(
    fc.property(signals, (all) => {
      const members = fleet(1000);
      const alarms: Alarm[] = [];
      const acted: { at: number; act: string }[] = [];
      let now = NOON;
      for (const [i, { after, compromised }] of all.entries()) {
        now += after;
        const act = compromised ? 'fence' : 'repair';
        const opened = alarm(`n${i}`, {
          openedAt: now,
          ...(compromised && { road: 'compromised', step: 'fenced' }),
        });
        // A fence is asked for before the incident, a repair after it.
        if (act === 'repair') alarms.push(opened);
        if (tripFor(tripsOf(world(alarms, members)), act, members[i]!) !== undefined) continue;
        if (act === 'fence') alarms.push(opened);
        acted.push({ at: now, act });
      }
      for (const { at } of acted) {
        const soon = (act: string) =>
          acted.filter((a) => a.act === act && a.at >= at && a.at <= at + 60 * MINUTE).length;
        t.true(soon('fence') <= USUAL.fences);
        t.true(soon('repair') <= USUAL.nodes);
      }
    }),
    { numRuns: 50 },
  );
});
