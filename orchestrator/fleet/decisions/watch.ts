import { messageOf } from '../../../base/error.ts';
import type { Logger } from '../../../base/log.ts';
import type { Fleet } from '../fleet.ts';
import type { DecisionKeeper } from './keeper.ts';

export type WatchOptions = {
  signal: AbortSignal;
  log: Logger;
  /** Milliseconds between two reads when no message comes. */
  every?: number;
};

/** Half of the second within which a ban must take effect, in case the message about it was lost. */
const EVERY = 500;

/** Keeps a keeper up to date until the signal fires: at once after a message, and regularly without one. */
export async function watchDecisions(
  keeper: DecisionKeeper,
  fleet: Fleet,
  options: WatchOptions,
): Promise<void> {
  const { signal, log, every = EVERY } = options;
  let wake = () => {};
  let woken = false;
  const unsubscribe = await fleet.decisionLog
    .subscribe(() => {
      woken = true;
      wake();
    })
    .catch((error: unknown) => {
      log.warn({ reason: messageOf(error) }, 'bans are looked up only from time to time');
      return async () => {};
    });
  const rest = () =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, every);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
      if (woken || signal.aborted) wake();
    });
  signal.addEventListener('abort', () => wake(), { once: true });
  let failed = false;
  let comparing: Promise<void> | null = null;
  while (!signal.aborted) {
    woken = false;
    try {
      await keeper.look();
      failed = false;
      comparing ??= keeper.compare(signal).catch((error: unknown) => {
        log.warn({ reason: messageOf(error) }, 'the log of decisions cannot be compared; it is tried again');
        comparing = null;
      });
      await keeper.keepSnapshot();
    } catch (error) {
      if (!failed)
        log.error({ reason: messageOf(error) }, 'bans cannot be looked up; those known still count');
      failed = true;
    }
    await rest();
  }
  await comparing;
  await unsubscribe();
}
