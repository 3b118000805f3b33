import { type EventEmitter, once } from 'node:events';

/** Waits for the first of these events, and leaves no listener behind. @throws the emitter's error; the reason of the signal */
export async function firstEvent(
  emitter: EventEmitter,
  events: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  const done = new AbortController();
  const over = signal === undefined ? done.signal : AbortSignal.any([done.signal, signal]);
  await Promise.race(events.map((event) => once(emitter, event, { signal: over }))).finally(() =>
    done.abort(),
  );
}
