import test from 'ava';
import fc from 'fast-check';
import type { Terms } from '../../../bootserver/tftp/options.ts';
import { begin, blockCount, type Step, step, type Transfer } from '../../../bootserver/tftp/transfer.ts';

const LIMITS = { retries: 3, longestWait: 8000 };
const plain = (change: Partial<Terms> = {}): Terms => ({
  blockSize: 512,
  windowSize: 1,
  wait: 1000,
  agreed: [],
  ...change,
});
const ack = (state: Transfer, block: number) => step(state, { kind: 'packet', packet: { op: 'ack', block } });
const error = (state: Transfer, code: number) =>
  step(state, { kind: 'packet', packet: { op: 'error', code, message: 'x' } });
const timeout = (state: Transfer) => step(state, { kind: 'timeout' });
const blocks = (first: number, last = first) => [{ kind: 'blocks', first, last }];

test('a last block that is full is followed by an empty one', (t) => {
  t.is(blockCount(0, 512), 1);
  t.is(blockCount(511, 512), 1);
  t.is(blockCount(512, 512), 2);
  t.is(blockCount(513, 512), 2);
});

test('lock-step from first block to last acknowledgement', (t) => {
  let now = begin(plain(), 700, LIMITS);
  t.deepEqual(now.send, blocks(1));
  now = ack(now.state, 1);
  t.deepEqual(now.send, blocks(2));
  now = ack(now.state, 2);
  t.deepEqual(now.outcome, { kind: 'finished', confirmed: true });
  t.deepEqual(ack(now.state, 2).send, []);
});

test('options are offered first, and data waits for ACK 0', (t) => {
  const now = begin(plain({ agreed: [['blksize', '512']] }), 700, LIMITS);
  t.deepEqual(now.send, [{ kind: 'packet', packet: { op: 'oack', options: [['blksize', '512']] } }]);
  t.deepEqual(ack(now.state, 1).send, []);
  t.deepEqual(ack(now.state, 0).send, blocks(1));
});

test('a repeated ACK sends nothing and leaves the timer alone', (t) => {
  const now = ack(begin(plain(), 5000, LIMITS).state, 1);
  for (const block of [1, 1, 0, 7, 65535]) {
    const again = ack(now.state, block);
    t.deepEqual(again.send, []);
    t.is(again.wait, undefined);
    t.is(again.state, now.state);
  }
});

test('a gap that the client reports is filled from there', (t) => {
  let now = begin(plain({ windowSize: 4 }), 512 * 10, LIMITS);
  t.deepEqual(now.send, blocks(1, 4));
  now = ack(now.state, 2);
  t.deepEqual(now.send, blocks(3, 6));
  now = ack(now.state, 6);
  t.deepEqual(now.send, blocks(7, 10));
  now = ack(now.state, 10);
  t.deepEqual(now.send, blocks(11));
});

test('silence is answered by the same window, ever later, then given up with a word to the client', (t) => {
  let now = begin(plain({ windowSize: 2 }), 5000, { retries: 5, longestWait: 8000 });
  const waits = [now.wait];
  for (let i = 0; i < 5; i += 1) {
    now = timeout(now.state);
    t.deepEqual(now.send, blocks(1, 2));
    waits.push(now.wait);
  }
  t.deepEqual(waits, [1000, 2000, 4000, 8000, 8000, 8000]);
  now = timeout(now.state);
  t.is(now.outcome?.kind, 'failed');
  t.like(now.send[0], { kind: 'packet', packet: { op: 'error', code: 0 } });
});

test('a lost acknowledgement of the end is no failure; silence before the end, or from the beginning, is', (t) => {
  const silence = (state: Transfer) => {
    let now: Step = { state, send: [] };
    while (now.outcome === undefined) now = timeout(now.state);
    return now;
  };
  const offered = begin(plain({ windowSize: 4, agreed: [['windowsize', '4']] }), 512 * 6, LIMITS).state;
  const first = ack(offered, 0).state;
  const last = ack(first, 4).state;
  const lockStep = begin(plain(), 700, LIMITS).state;
  for (const [title, state] of [
    ['all but the last window', last],
    ['all but a part of it', ack(last, 6).state],
    ['lock-step', ack(lockStep, 1).state],
  ] as const) {
    const ended = silence(state);
    t.deepEqual(ended.outcome, { kind: 'finished', confirmed: false }, title);
    // An error would go to a machine that runs what it got.
    t.deepEqual(ended.send, [], title);
  }
  for (const [title, state] of [
    ['one window is missing', first],
    ['never heard, options', offered],
    ['never heard, first block', lockStep],
    ['never heard, and the first block is the last', begin(plain(), 100, LIMITS).state],
  ] as const) {
    t.is(silence(state).outcome?.kind, 'failed', title);
  }
});

test('progress makes the patience whole again', (t) => {
  let now = begin(plain(), 5000, LIMITS);
  for (let block = 1; block < 5; block += 1) {
    for (let i = 0; i < 3; i += 1) now = timeout(now.state);
    now = ack(now.state, block);
    t.is(now.wait, 1000);
    t.is(now.outcome, undefined);
  }
});

test('a client that asked for a long timeout is not hurried by the cap', (t) => {
  t.is(timeout(begin(plain({ wait: 30_000 }), 5000, LIMITS).state).wait, 30_000);
});

test('asking for the size and aborting is a probe, aborting later a failure', (t) => {
  const offered = begin(plain({ agreed: [['TSIZE', '700']] }), 700, LIMITS);
  t.deepEqual(error(offered.state, 8).outcome, { kind: 'probed' });
  t.deepEqual(error(offered.state, 8).send, []);
  t.is(error(ack(offered.state, 0).state, 8).outcome?.kind, 'failed');
  t.is(error(begin(plain(), 700, LIMITS).state, 8).outcome?.kind, 'failed');
});

test('other packets change nothing', (t) => {
  const { state } = begin(plain(), 700, LIMITS);
  for (const packet of [
    { op: 'data' as const, block: 1, data: new Uint8Array(3) },
    { op: 'oack' as const, options: [] },
    { op: 'read' as const, file: 'a', mode: 'octet', options: [] },
  ]) {
    t.deepEqual(step(state, { kind: 'packet', packet }), { state, send: [] });
  }
});

test('block numbers wrap at 65536', (t) => {
  let now = begin(plain({ blockSize: 8, windowSize: 16 }), 8 * 70_000, LIMITS);
  let acked = 0;
  while (now.outcome === undefined) {
    acked = Math.min(acked + 16, 70_001);
    now = ack(now.state, acked & 0xffff);
    t.is(now.state.acked, acked);
  }
  t.is(now.outcome.kind, 'finished');
});

/** The receiver of RFC 7440: acknowledges full windows, the end, and what it has whenever something is out of order. */
class Receiver {
  readonly got: number[] = [];
  readonly #terms: Terms;
  readonly #blocks: number;
  #sinceAck = 0;

  constructor(terms: Terms, size: number) {
    this.#terms = terms;
    this.#blocks = blockCount(size, terms.blockSize);
  }

  get done(): boolean {
    return this.got.length === this.#blocks;
  }

  /** @returns the block number it acknowledges, if it does */
  receive(block: number): number | undefined {
    const expected = this.got.length + 1;
    if (block !== (expected & 0xffff)) {
      this.#sinceAck = 0;
      return this.got.length & 0xffff;
    }
    this.got.push(expected);
    this.#sinceAck += 1;
    if (this.#sinceAck < this.#terms.windowSize && !this.done) return undefined;
    this.#sinceAck = 0;
    return this.got.length & 0xffff;
  }
}

type Wire = { to: 'client' | 'server'; block: number };

/**
 * Server and receiver with a network between them that does what `choices` says: 0 to 5 deliver, 6 lose, 7 deliver and
 * keep a copy, 8 delay behind all others, 9 fire the timer early. When the choices are used up it behaves.
 */
function run(terms: Terms, size: number, choices: readonly number[], limits = LIMITS) {
  const receiver = new Receiver(terms, size);
  let wires: Wire[] = [];
  let sent = 0;
  let largest = 0;
  let steps = 0;
  let now: Step = begin(terms, size, limits);
  const take = (next: Step) => {
    now = next;
    for (const item of next.send) {
      if (item.kind === 'packet') wires.push({ to: 'client', block: 0 });
      else {
        largest = Math.max(largest, item.last - item.first + 1);
        sent += item.last - item.first + 1;
        for (let block = item.first; block <= item.last; block += 1) {
          wires.push({ to: 'client', block: block & 0xffff });
        }
      }
    }
  };
  take(now);
  for (let i = 0; now.outcome === undefined; i += 1) {
    steps += 1;
    const choice = choices[i] ?? 0;
    const wire = wires.shift();
    if (wire === undefined || choice === 9) {
      if (wire !== undefined) wires.unshift(wire);
      take(timeout(now.state));
      continue;
    }
    if (choice === 6) continue;
    if (choice === 7) wires.push(wire);
    if (choice === 8) {
      wires = [...wires, wire];
      continue;
    }
    if (wire.to === 'server') take(ack(now.state, wire.block));
    else if (wire.block === 0 && terms.agreed.length > 0 && now.state.phase === 'offered') {
      wires.push({ to: 'server', block: 0 });
    } else {
      const answer = receiver.receive(wire.block);
      if (answer !== undefined) wires.push({ to: 'server', block: answer });
    }
  }
  return { receiver, now, sent, largest, steps };
}

const someTerms = fc
  .record({ windowSize: fc.integer({ min: 1, max: 8 }), offered: fc.boolean() })
  .map(({ windowSize, offered }) =>
    plain({ windowSize, blockSize: 16, agreed: offered ? [['blksize', '16']] : [] }),
  );

test('on any network it ends; when it says finished the client has every block in order; never more than a window at once', (t) => {
  fc.assert(
    fc.property(someTerms, fc.nat(400), fc.array(fc.nat(9), { maxLength: 400 }), (terms, size, choices) => {
      const { receiver, now, sent, largest, steps } = run(terms, size, choices);
      const all = blockCount(size, terms.blockSize);
      if (now.outcome?.kind === 'finished' && now.outcome.confirmed) {
        t.deepEqual(
          receiver.got,
          Array.from({ length: all }, (_, i) => i + 1),
        );
      }
      t.true(largest <= terms.windowSize);
      t.true(sent <= (all + 1) * terms.windowSize * (LIMITS.retries + 1));
      t.true(steps < 20_000);
    }),
    { numRuns: 1500 },
  );
});

test('a network that loses every sixteenth packet, at random, does not stop a transfer', (t) => {
  fc.assert(
    fc.property(someTerms, fc.nat(400), fc.integer(), (terms, size, seed) => {
      let state = seed >>> 0;
      const choices = Array.from({ length: 2000 }, () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return state >>> 28 === 0 ? 6 : 0;
      });
      const { now } = run(terms, size, choices, { ...LIMITS, retries: 12 });
      t.is(now.outcome?.kind, 'finished');
    }),
  );
});

test('when every packet arrives twice, the data is still sent once', (t) => {
  fc.assert(
    fc.property(fc.nat(400), (size) => {
      const terms = plain({ blockSize: 16 });
      const { sent, now } = run(
        terms,
        size,
        Array.from({ length: 2000 }, (_, i) => (i % 2 === 0 ? 7 : 0)),
      );
      t.is(now.outcome?.kind, 'finished');
      t.is(sent, blockCount(size, 16));
    }),
  );
});
