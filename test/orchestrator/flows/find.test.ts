import test from 'ava';
import { findSenders } from '../../../orchestrator/flows/find.ts';
import type { Line } from '../../../orchestrator/flows/line.ts';

const T = Date.parse('2026-03-10T12:00:00Z');
const MINUTE = 60_000;
/** Heard so many minutes after T, and whole since the one before. */
const line = (minutes: number, flows: Line['flows'], over: Partial<Line> = {}): Line => ({
  ...{ heard: T + minutes * MINUTE, life: 'x', number: 100 + minutes },
  ...{ from: T + (minutes - 5) * MINUTE, until: T + minutes * MINUTE },
  instances: [
    ['web/shop', '1.2'],
    ['fleet/ntp', null],
  ],
  flows,
  ...over,
});
const sent = (of: number, to: string, port: number, from = 300, until = 1): Line['flows'][number] => [
  ...([of, 'sent', to, 'tcp', port, 2, 120, from, until] as const),
];
const asked = (over: object = {}) => ({
  from: T - 5 * MINUTE,
  until: T + 5 * MINUTE,
  to: '192.0.2.1',
  port: 443,
  ...over,
});
const LATER = T + 60 * MINUTE;

test('who sent it there, in sums; what went elsewhere, or at another time, is not it', (t) => {
  const lines = [
    line(-5, [sent(0, '192.0.2.1', 443, 300, 30)]),
    line(0, [sent(0, '192.0.2.1', 443), sent(1, '192.0.2.1', 80), sent(1, '192.0.2.2', 443)]),
    line(5, [sent(0, '192.0.2.1', 443), sent(1, '192.0.2.1', 443)]),
  ];
  const { senders, gaps, setBack } = findSenders(lines, asked(), LATER);
  t.deepEqual(gaps, []);
  t.false(setBack);
  t.deepEqual(
    senders.map(({ service, version, packets, bytes, sure }) => [service, version, packets, bytes, sure]),
    [
      ['web/shop', '1.2', 4, 240, true],
      ['fleet/ntp', null, 2, 120, true],
    ],
  );
  t.like(senders[0], { from: T - 5 * MINUTE, until: T + 5 * MINUTE - 1000 });
  t.is(findSenders(lines, asked({ port: undefined, to: undefined }), LATER).senders.length, 4);
  t.deepEqual(findSenders(lines, asked({ protocol: 'udp' }), LATER).senders, []);
});

test('an answer that came twice counts once', (t) => {
  const once = line(0, [sent(0, '192.0.2.1', 443)]);
  t.is(findSenders([once, { ...once, heard: once.heard + 9000 }], asked(), LATER).senders[0]!.packets, 2);
});

test('it answered: the other end had opened the connection, from any port', (t) => {
  const lines = [line(0, [[0, 'answered', '192.0.2.1', 'udp', 53, 9, 900, 100, 1]])];
  t.like(findSenders(lines, asked({ port: 40_000 }), LATER).senders[0], {
    way: 'answered',
    port: 53,
    sure: true,
  });
});

test('a record that was full is a doubt, and never a no', (t) => {
  const lines = [
    line(0, [
      [0, 'wide', '192.0.0.0', null, null, 7, 700, 100, 1],
      [0, 'wide', '193.0.0.0', null, null, 7, 700, 100, 1],
      [1, 'wide', '0.0.0.0', null, null, 5, 500, 100, 1],
      sent(1, '192.0.2.1', 443),
    ]),
  ];
  t.deepEqual(
    findSenders(lines, asked(), LATER).senders.map(({ service, to, sure }) => [service, to, sure]),
    [
      ['fleet/ntp', '192.0.2.1', true],
      ['web/shop', '192.0.0.0', false],
      ['fleet/ntp', '0.0.0.0', false],
    ],
  );
});

test('what nobody has heard of is said: before, between, after, and all of it', (t) => {
  const minutes = (lines: readonly Line[], now = LATER) =>
    findSenders(lines, asked(), now).gaps.map(({ from, until }) => [
      (from - T) / MINUTE,
      (until - T) / MINUTE,
    ]);
  t.deepEqual(minutes([]), [[-5, 5]]);
  t.deepEqual(minutes([line(0, []), line(5, [])]), []);
  t.deepEqual(minutes([line(0, [])]), [[0, 5]]);
  t.deepEqual(minutes([line(5, [])]), [[-5, 0]]);
  t.deepEqual(minutes([line(0, [], { until: T - 3 * MINUTE }), line(5, [])]), [[-3, 0]]);
  t.deepEqual(minutes([line(0, [])], T + MINUTE), [[0, 1]], 'what is to come is no gap');
  // Two answers in a row are never from the very same moment on.
  t.deepEqual(minutes([line(0, []), line(5, [], { from: T + 4000 })]), []);
});

test('a clock that was set back is said', (t) => {
  t.true(findSenders([line(5, []), line(0, [])], asked(), LATER).setBack);
});
