import { execFileSync } from 'node:child_process';
import test from 'ava';
import fc from 'fast-check';
import {
  lengthOf,
  nextOpening,
  nextPeriod,
  openingAt,
  type Window,
  windowsOf,
} from '../../../orchestrator/rollout/window.ts';
import { instantOf, isZone, wallAt } from '../../../orchestrator/rollout/zone.ts';

const DAILY: Window['days'] = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const paris = (from: string, to: string, days = DAILY): Window => {
  const minutes = (text: string) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));
  return { zone: 'Europe/Paris', days, from: minutes(from), to: minutes(to) };
};
const at = (text: string) => Date.parse(text);
const period = (window: Window, now: string) => {
  const found = nextPeriod(window, at(now));
  return found && [new Date(found.from).toISOString(), new Date(found.to).toISOString()];
};

// 2030-03-31: 02:00 becomes 03:00. 2030-10-27: 03:00 becomes 02:00.
test('a window follows the wall clock through summer time', (t) => {
  const night = paris('22:00', '05:00');
  t.deepEqual(period(night, '2030-03-30T12:00Z'), ['2030-03-30T21:00:00.000Z', '2030-03-31T03:00:00.000Z']);
  t.deepEqual(period(night, '2030-03-31T12:00Z'), ['2030-03-31T20:00:00.000Z', '2030-04-01T03:00:00.000Z']);
  t.deepEqual(period(night, '2030-10-26T12:00Z'), ['2030-10-26T20:00:00.000Z', '2030-10-27T04:00:00.000Z']);
});

test('an end inside the hour that is left out is the moment of the jump', (t) => {
  t.deepEqual(period(paris('02:30', '04:00'), '2030-03-31T00:00Z'), [
    '2030-03-31T01:00:00.000Z',
    '2030-03-31T02:00:00.000Z',
  ]);
  t.deepEqual(period(paris('01:30', '02:30'), '2030-03-31T00:00Z'), [
    '2030-03-31T00:30:00.000Z',
    '2030-03-31T01:00:00.000Z',
  ]);
  // Wholly inside it: it does not open that day.
  t.deepEqual(period(paris('02:15', '02:45'), '2030-03-31T00:00Z'), [
    '2030-04-01T00:15:00.000Z',
    '2030-04-01T00:45:00.000Z',
  ]);
});

test('a time that comes twice is its first coming, so a short window opens once', (t) => {
  const window = paris('02:15', '02:45');
  t.deepEqual(period(window, '2030-10-27T00:00Z'), ['2030-10-27T00:15:00.000Z', '2030-10-27T00:45:00.000Z']);
  t.false(openingAt([window], 'par', at('2030-10-27T01:20Z')).open, 'the second 02:20');
});

test('past midnight a window belongs to the day on which it opened', (t) => {
  const friday = paris('22:00', '04:00', ['fri']);
  t.true(openingAt([friday], 'par', at('2030-06-07T20:30Z')).open);
  t.true(openingAt([friday], 'par', at('2030-06-08T01:59Z')).open);
  t.false(openingAt([friday], 'par', at('2030-06-08T02:00Z')).open, 'the end is outside');
  t.false(openingAt([friday], 'par', at('2030-06-08T20:30Z')).open, 'Saturday');
});

test('a window for other sites does not open for this one', (t) => {
  const window = { ...paris('00:00', '24:00'), sites: ['ber'] };
  t.true(openingAt([window], 'ber', 0).open);
  t.false(openingAt([window], 'par', 0).open);
  t.is(nextOpening([window], 'par', 0), null);
  t.is(nextOpening([], 'par', 7), 7);
});

test('in its last margin nothing begins: the next time is the next window', (t) => {
  const night = { ...paris('22:00', '05:00'), margin: 30 * 60_000 };
  t.true(openingAt([night], 'par', at('2030-06-08T02:29Z')).open);
  t.false(openingAt([night], 'par', at('2030-06-08T02:30Z')).open);
  t.is(nextOpening([night], 'par', at('2030-06-08T02:30Z')), at('2030-06-08T20:00Z'));
  t.is(nextOpening([night], 'par', at('2030-06-08T02:29Z')), at('2030-06-08T02:29Z'));
  // On the day of the jump an hour is left of this one, and the margin is longer.
  const short = { ...paris('01:30', '03:30'), margin: 90 * 60_000 };
  t.deepEqual(period(short, '2030-03-31T00:00Z'), ['2030-03-31T23:30:00.000Z', '2030-04-01T00:00:00.000Z']);
  t.is(lengthOf(night), 7 * 3_600_000);
});

test('a wave has its own windows, all of them, or those of the rollout', (t) => {
  const [day, night] = [paris('08:00', '18:00'), paris('22:00', '05:00')];
  const spec = { windows: [night], waves: [{ windows: [] }, { windows: [day] }, {}] };
  t.deepEqual(
    [0, 1, 2, 3].map((wave) => windowsOf(spec, wave)),
    [[], [day], [night], [night]],
  );
});

test('what is remembered of a window never contradicts a fresh look', (t) => {
  const window = paris('22:00', '05:00', ['mon', 'wed']);
  const instants = fc.array(fc.integer({ min: at('2030-03-25T00:00Z'), max: at('2030-04-08T00:00Z') }), {
    minLength: 2,
    maxLength: 20,
  });
  fc.assert(
    fc.property(instants, (times) => {
      for (const time of times) {
        t.is(openingAt([window], 'par', time).open, openingAt([{ ...window }], 'par', time).open);
      }
    }),
    { numRuns: 50 },
  );
  t.pass();
});

test('only IANA names are zones', (t) => {
  for (const zone of ['Europe/Paris', 'UTC', 'America/Argentina/Buenos_Aires']) t.true(isZone(zone), zone);
  for (const zone of ['', '+02:00', 'Europe/Atlantis', 'Paris']) t.false(isZone(zone), zone);
});

test('wall clock to instant and back, over zones with odd rules', (t) => {
  const zones = ['Europe/Paris', 'America/St_Johns', 'Australia/Lord_Howe', 'Asia/Kathmandu', 'Pacific/Apia'];
  fc.assert(
    fc.property(
      fc.constantFrom(...zones),
      fc.integer({ min: at('2005-01-01T00:00Z') / 60_000, max: at('2035-01-01T00:00Z') / 60_000 }),
      (zone, minute) => {
        const instant = minute * 60_000;
        const back = instantOf(zone, wallAt(zone, instant));
        // The first of two comings may be up to an hour (or a whole day on a moved date line) earlier.
        t.deepEqual(wallAt(zone, back), wallAt(zone, instant));
        t.true(back <= instant);
      },
    ),
    { numRuns: 400 },
  );
});

test('agrees with Temporal, which Node 24 has behind a flag, wherever the time exists', (t) => {
  const zones = [
    'Europe/Paris',
    'America/New_York',
    'Australia/Lord_Howe',
    'America/Sao_Paulo',
    'Asia/Tehran',
  ];
  const cases = zones.flatMap((zone) =>
    Array.from({ length: 120 }, (_, i) => ({
      zone,
      year: 2015 + (i % 20),
      month: 1 + ((i * 7) % 12),
      day: 1 + ((i * 11) % 28),
      hour: (i * 5) % 24,
      minute: (i * 13) % 60,
    })),
  );
  const script = `const cases = JSON.parse(require('fs').readFileSync(0, 'utf8'));
    console.log(JSON.stringify(cases.map(({ zone, ...wall }) =>
      new Date(Temporal.PlainDateTime.from(wall).toZonedDateTime(zone, { disambiguation: 'earlier' }).toInstant().toString()).getTime())));`;
  const said = JSON.parse(
    execFileSync(process.execPath, ['--harmony-temporal', '-e', script], {
      input: JSON.stringify(cases),
      stdio: ['pipe', 'pipe', 'ignore'],
    }).toString(),
  ) as number[];
  for (const [i, { zone, ...wall }] of cases.entries())
    t.is(instantOf(zone, wall), said[i]!, JSON.stringify(cases[i]));
});
