/**
 * One read transfer as a pure state machine: (state, packet or timeout) -> (state, what to send, how long to wait).
 * Blocks are counted from 1 without wrapping; only on the wire do they wrap at 65536. The bytes stay with the caller,
 * who is told ranges of blocks.
 */
import type { Terms, TftpLimits } from './options.ts';
import { ERROR, type Packet } from './packet.ts';

export type Transfer = Readonly<{
  /** `offered`: the option acknowledgement is out, ACK 0 is awaited. */
  phase: 'offered' | 'sending' | 'ended';
  terms: Terms;
  /** Bytes. */
  size: number;
  limits: Pick<TftpLimits, 'retries' | 'longestWait'>;
  /** Highest block that the client acknowledged. */
  acked: number;
  /** Highest block of the window that is out. */
  sent: number;
  /** Timeouts since the last progress. */
  tries: number;
}>;

export type Input = { kind: 'packet'; packet: Packet } | { kind: 'timeout' };

export type Send =
  | { kind: 'packet'; packet: Packet }
  /** These blocks, both ends included; replaces whatever of an earlier range is not out yet. */
  | { kind: 'blocks'; first: number; last: number };

export type Outcome =
  /** `confirmed` is false when everything was sent and only the acknowledgement of the end did not arrive. */
  | { kind: 'finished'; confirmed: boolean }
  /** Only the size was wanted: EDK2 and Intel's ROMs ask for tsize, abort, and ask again. */
  | { kind: 'probed' }
  | { kind: 'failed'; reason: string };

export type Step = {
  state: Transfer;
  send: readonly Send[];
  /** Milliseconds to arm the timer for. Absent: leave it running, or repeated packets could put off a timeout for ever. */
  wait?: number;
  outcome?: Outcome;
};

/** RFC 1350 section 6: the last block is the first one that is not full, so a full last block is followed by an empty one. */
export function blockCount(size: number, blockSize: number): number {
  return Math.floor(size / blockSize) + 1;
}

export function begin(terms: Terms, size: number, limits: Transfer['limits']): Step {
  const state: Transfer = { phase: 'offered', terms, size, limits, acked: 0, sent: 0, tries: 0 };
  if (terms.agreed.length === 0) return window({ ...state, phase: 'sending' });
  return { state, send: [offer(terms)], wait: terms.wait };
}

export function step(state: Transfer, input: Input): Step {
  if (state.phase === 'ended') return { state, send: [] };
  if (input.kind === 'timeout') return timedOut(state);
  const { packet } = input;
  if (packet.op === 'error') return refused(state, packet.code, packet.message);
  if (packet.op === 'ack') return acknowledged(state, packet.block);
  // Anything else from the right port is noise of the network or of the firmware; the timer covers what it stood for.
  return { state, send: [] };
}

function acknowledged(state: Transfer, wire: number): Step {
  if (state.phase === 'offered') {
    return wire === 0 ? window({ ...state, phase: 'sending' }) : { state, send: [] };
  }
  const progress = (wire - state.acked) & 0xffff;
  // A repeated ACK sends nothing: answering each copy is the Sorcerer's Apprentice (RFC 1123 section 4.2.3.1).
  if (progress === 0 || progress > state.sent - state.acked) return { state, send: [] };
  const acked = state.acked + progress;
  if (acked === blockCount(state.size, state.terms.blockSize)) {
    return end({ ...state, acked }, { kind: 'finished', confirmed: true });
  }
  // An ACK inside the window reports a gap: the next window starts right behind it (RFC 7440 section 4).
  return window({ ...state, acked, tries: 0 });
}

function window(state: Transfer): Step {
  const first = state.acked + 1;
  const last = Math.min(state.acked + state.terms.windowSize, blockCount(state.size, state.terms.blockSize));
  return {
    state: { ...state, sent: last },
    send: [{ kind: 'blocks', first, last }],
    wait: state.terms.wait,
  };
}

function timedOut(state: Transfer): Step {
  if (state.tries >= state.limits.retries) {
    if (onlyEndIsOpen(state)) return end(state, { kind: 'finished', confirmed: false });
    const out = state.phase === 'offered' ? 'the options' : `block ${state.acked + 1}`;
    const message = `no acknowledgement of ${out}`;
    return end(state, { kind: 'failed', reason: message }, message);
  }
  const tries = state.tries + 1;
  const wait = Math.min(state.terms.wait * 2 ** tries, Math.max(state.limits.longestWait, state.terms.wait));
  const next = { ...state, tries };
  if (state.phase === 'offered') return { state: next, send: [offer(state.terms)], wait };
  return { ...window(next), wait };
}

/**
 * Whether the last window is out and the client has acknowledged all before it. Firmware that has the last block starts
 * what it got, and nobody is there any more to repeat a lost acknowledgement; RFC 1350 section 6 leaves open whether
 * such a transfer succeeded, and mostly it did. A client that never said anything has taken nothing, as far as we know.
 */
export function onlyEndIsOpen(state: Transfer): boolean {
  return heard(state) && state.sent === blockCount(state.size, state.terms.blockSize);
}

/** Whether the client has answered anything yet. Until then its address may be made up. */
export function heard({ acked, phase, terms }: Transfer): boolean {
  return acked > 0 || (phase !== 'offered' && terms.agreed.length > 0);
}

function refused(state: Transfer, code: number, message: string): Step {
  const asked = state.terms.agreed.some(([name]) => name.toLowerCase() === 'tsize');
  if (state.phase === 'offered' && asked) return end(state, { kind: 'probed' });
  return end(state, { kind: 'failed', reason: `the client ended it with error ${code}: ${message}` });
}

function end(state: Transfer, outcome: Outcome, farewell?: string): Step {
  const send: Send[] =
    farewell === undefined
      ? []
      : [{ kind: 'packet', packet: { op: 'error', code: ERROR.undefined, message: farewell } }];
  return { state: { ...state, phase: 'ended' }, send, outcome };
}

function offer(terms: Terms): Send {
  return { kind: 'packet', packet: { op: 'oack', options: terms.agreed } };
}
