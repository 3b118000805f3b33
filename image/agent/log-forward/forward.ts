/**
 * Sends the journal on, in order. While the log server is unreachable nothing is read, so the journal itself is the
 * buffer: only what it drops meanwhile (journald.conf, RuntimeMaxUse) is lost.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../../base/error.ts';
import type { Way } from './send.ts';
import { toSyslog } from './syslog.ts';

export type ForwardOptions = {
  /** Lines of `journalctl --output=json`; ends when journalctl does. */
  lines: AsyncIterable<string>;
  open(): Promise<Way>;
  /** Everything up to this entry was sent. */
  sent(cursor: string): void;
  /** Logged when the log server is lost and when it is found, not for each message: that would feed the journal. */
  say(text: string): void;
  signal: AbortSignal;
  /** Milliseconds between two tries; doubles up to `most`. */
  pace?: { first: number; most: number };
};

export async function forward(options: ForwardOptions): Promise<void> {
  const { lines, open, sent, say, signal, pace = { first: 1_000, most: 60_000 } } = options;
  let way: Way | null = null;
  let wait = pace.first;
  let lost = true;
  const failed = async (error: unknown): Promise<void> => {
    way?.close();
    way = null;
    if (!lost) say(`the log server is lost: ${messageOf(error)}`);
    else if (wait === pace.first) say(`the log server cannot be reached: ${messageOf(error)}`);
    lost = true;
    await sleep(wait, undefined, { signal });
    wait = Math.min(wait * 2, pace.most);
  };
  try {
    for await (const line of lines) {
      for (let done = false; !done; ) {
        signal.throwIfAborted();
        try {
          way ??= await open();
          const entry = toSyslog(line, way.host);
          if (entry !== null) {
            await way.send(entry.message);
            sent(entry.cursor);
            if (lost) say('the log server takes the journal');
            lost = false;
            wait = pace.first;
          }
          done = true;
        } catch (error) {
          await failed(error);
        }
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    (way as Way | null)?.close();
  }
}
