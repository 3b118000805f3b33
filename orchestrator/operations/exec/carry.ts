/** The bytes of one command, between who asked for it and its node, until it ends or must. */

import type { Duplex } from 'node:stream';
import { BootwaveError, errorOf, refusal, whyText } from '../../../base/error.ts';
import { firstEvent } from '../../../base/first-event.ts';
import { jsonIn } from '../../../base/json.ts';
import { type ExecEnd, endSchema } from '../../../protocol/agent/exec.ts';
import { ChunkDecoder, encodeChunks } from '../../../protocol/chunks.ts';
import { EXEC_LIMITS, type EXEC_OPS } from '../../../protocol/link/exec.ts';
import type { ArgsOf, ResultOf } from '../../../protocol/link/messages.ts';
import type { RequestOptions } from '../../transport/session.ts';
import { LOOK, watch } from '../still.ts';

/** Milliseconds: between two looks whether the person still may, and how long all of it lasts at most. */
export const TIMES = { look: LOOK, most: EXEC_LIMITS.runs + 30_000 } as const;

type Op = keyof typeof EXEC_OPS;
export type Carry = {
  grant: unknown;
  slice: string;
  /** Asks the node. */
  ask<O extends Op>(op: O, args: ArgsOf<O>, options: RequestOptions): Promise<ResultOf<O>>;
  /** Tells the person that it runs. */
  begin(): Duplex;
  /** @throws when the person may not any more */
  still(): Promise<void>;
  signal: AbortSignal;
  times: { [name in keyof typeof TIMES]: number };
};

/** @throws BootwaveError of the node, where nothing was run */
export async function carry({ grant, slice, ask, begin, still, signal, times }: Carry): Promise<{
  exit: number | null;
  why: string;
}> {
  const stop = new AbortController();
  const until = AbortSignal.any([stop.signal, signal, AbortSignal.timeout(times.most)]);
  const { session } = await ask('exec', { grant, slice }, { signal: until });
  const coming = arriving((options) => ask('exec-read', { session }, options), until);
  // What root refuses it says first: then nobody is told that it runs.
  const first = await coming.next();
  if (first.value !== 'taken') throw ofNoForm(first.value);
  const person = begin();
  const left = () => stop.abort(new Error('who asked has left'));
  person.once('close', left);
  const failed = (error: unknown) => stop.abort(error);
  void watch(still, until, times.look).catch(failed);
  void hear(person, (bytes) => ask('exec-write', { session, bytes }, { signal: until })).catch(failed);
  let end: { exit: number | null; why: string } | null = null;
  try {
    for await (const came of coming) {
      if (Buffer.isBuffer(came)) {
        if (!person.destroyed && !person.write(came)) await firstEvent(person, ['drain', 'close'], until);
      } else if (came !== 'taken') end = endIn(came);
    }
  } catch (error) {
    end = { exit: null, why: whyText(until.aborted ? until.reason : error) };
  } finally {
    person.off('close', left);
    stop.abort(new Error('it is over'));
  }
  if (!person.destroyed) await new Promise<void>((resolve) => person.once('close', resolve).end(resolve));
  return end ?? { exit: null, why: 'the node did not say how it ended' };
}

/** Where a grant that is taken is waited for. */
function ofNoForm(came: Buffer | ExecEnd | undefined): BootwaveError {
  if (came !== undefined && 'error' in came) return errorOf(came.error);
  return new BootwaveError({
    code: 'EXEC_CHUNK',
    what: 'what the node says of the command is in no form that is known here',
    unchanged: 'what came before it was passed on',
    next: 'compare the versions of server and image',
  });
}

/** @throws BootwaveError of the node */
function endIn(came: ExecEnd) {
  if ('error' in came) throw errorOf(came.error);
  return came;
}

/** What comes of it, as chunks for the person, and at last how it ended. */
async function* arriving(
  read: (options: RequestOptions) => Promise<ResultOf<'exec-read'>>,
  signal: AbortSignal,
): AsyncGenerator<'taken' | Buffer | ExecEnd, undefined> {
  const decoder = new ChunkDecoder();
  let all = 0;
  for (;;) {
    const { bytes, ended } = await read({ signal });
    const came: Buffer[] = [];
    for (const { stream, bytes: piece } of decoder.push(Buffer.from(bytes, 'base64'))) {
      all += piece.length;
      if (all > EXEC_LIMITS.bytes) throw tooMuch('wrote');
      if (stream === 'grant') yield 'taken';
      if (stream === 'out' || stream === 'err') came.push(encodeChunks(stream, piece));
      if (stream !== 'end') continue;
      if (came.length > 0) yield Buffer.concat(came.splice(0));
      const end = endSchema.safeParse(jsonIn(piece.toString('utf8')));
      if (!end.success) throw ofNoForm(undefined);
      yield end.data;
    }
    if (came.length > 0) yield Buffer.concat(came);
    if (ended) return;
  }
}

/** Its end is that of the command's standard input. */
async function hear(person: Duplex, write: (bytes: string) => Promise<unknown>): Promise<void> {
  let all = 0;
  for await (const bytes of person.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    all += bytes.length;
    if (all > EXEC_LIMITS.bytes) throw tooMuch('was given');
    for (let at = 0; at < bytes.length; at += EXEC_LIMITS.piece / 2)
      await write(encodeChunks('in', bytes.subarray(at, at + EXEC_LIMITS.piece / 2)).toString('base64'));
  }
  await write(encodeChunks('in', Buffer.alloc(0)).toString('base64'));
}

const tooMuch = (how: string) =>
  refusal(
    'EXEC_BYTES',
    `the command ${how} more than ${EXEC_LIMITS.bytes / 2 ** 30} GiB`,
    'take several steps',
  );
