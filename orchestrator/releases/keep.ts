import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import { type PublishPaths, renew } from '../../image/publish/publish.ts';

/** Milliseconds between two looks: far less than half of a timestamp's life. */
const EVERY = 10 * 60_000;

/**
 * Signs timestamp and snapshot again before they expire, from the start on: a node must be able to see that metadata is
 * recent. Runs until the signal fires; a failure is tried again at the next look, and the doctor reports it.
 */
export async function keepReleases(
  paths: PublishPaths,
  { log, signal, every = EVERY }: { log: Logger; signal: AbortSignal; every?: number },
): Promise<void> {
  let said = '';
  while (!signal.aborted) {
    try {
      if (await renew({ paths })) log.info('release metadata signed anew');
      said = '';
    } catch (error) {
      const reason = messageOf(error);
      if (reason !== said) log.error({ reason }, 'release metadata cannot be signed anew');
      said = reason;
    }
    await sleep(every, undefined, { signal }).catch(() => {});
  }
}
