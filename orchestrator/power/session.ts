/** One person at the serial console of one node: recorded before they see it, and over when nobody types. */
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { refusal, whyText } from '../../base/error.ts';
import { within } from '../../base/wait.ts';
import type { SerialLine } from './bmc.ts';
import type { Transcript } from './transcript.ts';

/** Milliseconds: how long nobody types, how long it lasts at most, and between two looks whether the person still may. */
export const TIMES = { idle: 30 * 60_000, most: 8 * 3600_000, look: 5000 } as const;
export type Times = { [name in keyof typeof TIMES]: number };

export type Sitting = {
  line: SerialLine;
  person: Duplex;
  transcript: Pick<Transcript, 'add'>;
  /** @throws when the person may not any more */
  still(): Promise<void>;
  /** Its reason is why it ends. */
  signal: AbortSignal;
  times: Times;
};

/** @returns why it was over, and how many bytes were typed */
export async function sit(sitting: Sitting): Promise<{ why: string; typed: number }> {
  const { line, person, transcript, still, signal, times } = sitting;
  const over = Promise.withResolvers<string>();
  const end = (why: string) => over.resolve(why);
  const stop = new AbortController();
  const stopped = once(stop.signal, 'abort');
  const began = performance.now();
  let typedAt = began;
  let typed = 0;

  const show = async () => {
    for await (const bytes of line.output) {
      await transcript.add(bytes);
      if (!person.write(bytes) && !person.destroyed)
        await Promise.race([once(person, 'drain'), once(person, 'close'), stopped]);
    }
  };
  const hear = async () => {
    for await (const bytes of person) {
      typedAt = performance.now();
      typed += bytes.length;
      await line.type(bytes);
    }
  };
  const watch = async () => {
    while (!stop.signal.aborted) {
      await sleep(times.look, undefined, { signal: stop.signal }).catch(() => {});
      const now = performance.now();
      if (now - typedAt >= times.idle) end(`nobody typed for ${minutes(times.idle)}`);
      if (now - began >= times.most) end(`it lasted ${minutes(times.most)}`);
      // Whoever keeps the answer back keeps nobody in.
      await within(still(), 6 * times.look, 'nobody knows whether they still may: no answer');
    }
  };
  const failed = (error: unknown) => end(whyText(error));
  const shown = show().catch(failed);
  // Whoever closes the window leaves, too.
  const left = () => end('the person left');
  hear().then(left, left);
  // Also while the machine does not take what they typed.
  person.once('close', left);
  watch().catch(failed);
  line.ended.then(end, failed);
  signal.addEventListener('abort', () => failed(signal.reason), { once: true });
  if (signal.aborted) failed(signal.reason);
  const why = await over.promise;
  stop.abort();
  line.output.destroy();
  await shown;
  return { why, typed };
}

const minutes = (time: number) => `${Math.round(time / 60_000)} min`;

type Open = { by: string; at: number; stop: AbortController; done: Promise<void> };
/** Of this process, by node. */
const open = new Map<string, Open>();

/**
 * One person at a time for each node.
 * @param take ends the session of another person
 * @param work ends when its signal aborts
 * @throws BootwaveError `CONSOLE_TAKEN`, and what `work` throws
 */
export async function alone<T>(
  { id, name }: { id: string; name: string },
  { actor, at, take }: { actor: string; at: number; take: boolean },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  for (let other = open.get(id); other !== undefined; other = open.get(id)) {
    if (!take)
      throw refusal(
        'CONSOLE_TAKEN',
        `${other.by} has the console of ${name} since ${new Date(other.at).toISOString()}`,
        "'--take' ends their session",
      );
    other.stop.abort(new Error(`${actor} took it`));
    await other.done;
  }
  const stop = new AbortController();
  const done = Promise.withResolvers<void>();
  open.set(id, { by: actor, at, stop, done: done.promise });
  try {
    return await work(stop.signal);
  } finally {
    open.delete(id);
    done.resolve();
  }
}
