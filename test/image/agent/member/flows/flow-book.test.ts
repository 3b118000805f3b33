import test from 'ava';
import fc from 'fast-check';
import { FlowBook } from '../../../../../image/agent/member/flows/flow-book.ts';
import type { Counted } from '../../../../../image/agent/member/flows/kernel-text.ts';
import { FLOW_LIFE } from '../../../../../protocol/agent/flows.ts';
import { FLOWS_IN_ANSWER, type Flows, flowsSchema } from '../../../../../protocol/link/flows.ts';
import { encodeFrame } from '../../../../../protocol/link/frame.ts';

const MINUTE = 60_000;
const RUNS = new Map([['web/shop', '1.2.0']]);
const counted = (over: Partial<Counted> = {}): Counted => ({
  ...{ name: 'web/shop', way: 'sent', to: '192.0.2.7', protocol: 'tcp', port: 443 },
  ...{ packets: 1, bytes: 60, idle: 0 },
  ...over,
});
const address = (i: number) => `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;
/** All that there is to tell, kept answer by answer. */
function all(book: FlowBook, at: number): Flows[] {
  const answers: Flows[] = [];
  for (let kept: { life: string; number: number } | null = null, more = true; more; ) {
    const answer = book.answer({ kept }, at);
    answers.push(flowsSchema.parse(answer));
    ({ more } = answer);
    kept = { life: answer.life, number: answer.number };
  }
  return answers;
}

test('told is what came since the look before, with the time in which it was', (t) => {
  const book = new FlowBook('a');
  book.look([], 20 * MINUTE, RUNS);
  book.look([counted({ packets: 5, bytes: 300, idle: 30 })], 21 * MINUTE, RUNS);
  book.look([counted({ packets: 7, bytes: 420, idle: 2 })], 22 * MINUTE, RUNS);
  const [one] = all(book, 22 * MINUTE + 5);
  t.deepEqual(one, {
    ...{
      life: 'a',
      number: 1,
      from: 20 * MINUTE - FLOW_LIFE * 1000,
      until: 22 * MINUTE,
      at: 22 * MINUTE + 5,
      more: false,
    },
    instances: [{ name: 'web/shop', version: '1.2.0' }],
    flows: [
      {
        ...{ of: 0, way: 'sent', to: '192.0.2.7', protocol: 'tcp', port: 443, packets: 7, bytes: 420 },
        ...{ from: 20 * MINUTE, until: 22 * MINUTE - 1000 },
      },
    ],
  });
  book.look([counted({ packets: 7, bytes: 420, idle: 62 })], 23 * MINUTE, RUNS);
  const next = book.answer({ kept: { life: 'a', number: 1 } }, 23 * MINUTE);
  t.like(next, { number: 2, from: 22 * MINUTE, until: 23 * MINUTE, flows: [] });
  // The kernel has forgotten it, and counts anew.
  book.look([counted({ packets: 2, bytes: 120 })], 40 * MINUTE, RUNS);
  const [last] = book.answer({ kept: { life: 'a', number: 2 } }, 40 * MINUTE).flows;
  t.like(last, { packets: 2, from: 23 * MINUTE, until: 40 * MINUTE });
});

test('an answer that nobody has kept is given again; one kept from another life of the agent is none', (t) => {
  const book = new FlowBook('b');
  book.look([counted()], MINUTE, RUNS);
  const first = book.answer({ kept: null }, MINUTE);
  book.look([counted({ to: '192.0.2.8' })], 2 * MINUTE, RUNS);
  for (const kept of [null, { life: 'a', number: 9 }, { life: 'b', number: 0 }])
    t.deepEqual(book.answer({ kept }, 2 * MINUTE), { ...first, at: 2 * MINUTE, more: true });
  t.is(book.answer({ kept: { life: 'b', number: 1 } }, 2 * MINUTE).flows[0]!.to, '192.0.2.8');
});

test('time in which the kernel may have forgotten something is not called whole', (t) => {
  const book = new FlowBook('c');
  book.look([], 60 * MINUTE, RUNS);
  const kept = { life: 'c', number: book.answer({ kept: null }, 60 * MINUTE).number };
  book.look([], 60 * MINUTE + 2 * FLOW_LIFE * 1000, RUNS);
  const { from, until } = book.answer({ kept }, 90 * MINUTE);
  t.is(until, 60 * MINUTE + 2 * FLOW_LIFE * 1000);
  t.is(from, 60 * MINUTE + FLOW_LIFE * 1000);
});

test('what is too much for one service is counted by its first byte, another one keeps its own, and no packet is lost', (t) => {
  const book = new FlowBook('d');
  let packets = 0;
  for (let look = 0; look < 20; look += 1) {
    const many = Array.from({ length: 1024 }, (_, i) =>
      counted({ to: address(look * 1024 + i), packets: 2 }),
    );
    book.look(
      [...many, counted({ name: 'fleet/ntp', to: '192.0.2.1', packets: look + 1 })],
      look * MINUTE,
      RUNS,
    );
    packets += 2 * 1024 + 1;
  }
  const answers = all(book, 20 * MINUTE);
  const told = answers.flatMap(({ flows, instances }) =>
    flows.map((flow) => ({ ...flow, name: instances[flow.of]!.name })),
  );
  t.is(
    told.reduce((sum, flow) => sum + flow.packets, 0),
    packets,
  );
  t.is(told.filter(({ name, way }) => name === 'web/shop' && way === 'sent').length, 2048);
  t.deepEqual(
    told.filter(({ way }) => way === 'wide').map(({ to, port }) => [to, port]),
    [['10.0.0.0', null]],
  );
  t.is(told.find(({ name }) => name === 'fleet/ntp')!.packets, 20);
  t.true(answers.every(({ flows }) => flows.length <= FLOWS_IN_ANSWER));
  // Only the last one says that nothing is missing up to now.
  t.deepEqual(
    answers.map(({ until }) => until === 19 * MINUTE),
    answers.map((_, i) => i === answers.length - 1),
  );
});

test('whatever the kernel counts, each answer is one that a server takes, and fits a frame', (t) => {
  const flow: fc.Arbitrary<Counted> = fc.record({
    name: fc.constantFrom('web/shop', `${'a'.repeat(32)}/${'b'.repeat(32)}`),
    way: fc.constantFrom('sent' as const, 'answered' as const, 'wide' as const),
    to: fc.ipV4(),
    protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    port: fc.integer({ min: 0, max: 65_535 }),
    packets: fc.maxSafeNat(),
    bytes: fc.maxSafeNat(),
    idle: fc.nat(700),
  });
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.array(flow, { maxLength: 30 }), fc.nat(700_000)), { maxLength: 6 }),
      (looks) => {
        const book = new FlowBook('e');
        let at = 0;
        for (const [some, later] of looks) {
          at += later;
          book.look(some, at, RUNS);
        }
        for (const answer of all(book, at)) t.true(answer.until <= at);
      },
    ),
    { numRuns: 200 },
  );
  const book = new FlowBook('f');
  const longest = { packets: Number.MAX_SAFE_INTEGER, bytes: Number.MAX_SAFE_INTEGER };
  const at = Number.MAX_SAFE_INTEGER;
  const widest = (i: number) =>
    counted({ to: `255.255.${100 + (i >> 8)}.${i & 255}`, port: 65_535, way: 'answered', ...longest });
  book.look(
    Array.from({ length: 1024 }, (_, i) => widest(i)),
    at,
    RUNS,
  );
  t.notThrows(() => encodeFrame({ kind: 'result', id: 1, result: book.answer({ kept: null }, at) }));
});
