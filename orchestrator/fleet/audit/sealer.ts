import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../../base/error.ts';
import type { Logger } from '../../../base/log.ts';
import type { AuditLog } from './audit.ts';
import type { SealFile } from './seals.ts';
import { type Known, sealAudit } from './verify.ts';

/**
 * Milliseconds between two seals: a balance between what an attacker may cut off without a trace, and the cost of a
 * line in the file.
 */
const INTERVAL = 60_000;

export type SealerOptions = {
  audit: AuditLog;
  file: SealFile;
  /** Asked at each seal, because CAs change, and other servers move entries to files. */
  known?: () => Promise<Partial<Known>>;
  /** After each seal of a whole history. */
  sealed?: () => Promise<unknown>;
  log: Logger;
  signal: AbortSignal;
  /** Milliseconds. */
  interval?: number;
};

/** Seals the history at once, then every minute in which it grew, until the signal aborts. */
export async function startSealer(options: SealerOptions): Promise<void> {
  const { audit, file, known = async () => ({}), sealed, log, signal, interval = INTERVAL } = options;
  let said = '';
  while (!signal.aborted) {
    try {
      const fault = await sealAudit(audit, file, Date.now(), await known());
      if (fault === null) await sealed?.();
      // Logged once: it stays broken until a person has looked, and must not fill the log.
      if (fault !== null && fault.what !== said) {
        said = fault.what;
        log.error({ ...fault }, `audit: ${fault.what}; 'bootwave audit verify' says more`);
      }
    } catch (error) {
      if (!signal.aborted) log.error({ reason: messageOf(error) }, 'the audit could not be sealed');
    }
    await sleep(interval, undefined, { signal }).catch(() => {});
  }
}
