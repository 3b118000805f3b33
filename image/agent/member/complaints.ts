import { messageOf } from '../../../base/error.ts';
import type { LinkLog } from './link/server.ts';

/** Logs what fails: the same reason once, until it has worked again. */
export class Complaints {
  readonly #log: LinkLog;
  readonly #reasons = new Map<string, string>();

  constructor(log: LinkLog) {
    this.#log = log;
  }

  /** Runs work that may fail. @param failed the line to log */
  async attempt(failed: string, work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
      this.worked(failed);
    } catch (error) {
      this.failed(failed, error);
    }
  }

  worked(failed: string): void {
    this.#reasons.delete(failed);
  }

  failed(failed: string, error: unknown): void {
    const reason = messageOf(error);
    if (this.#reasons.get(failed) !== reason) this.#log.warn({ reason }, failed);
    this.#reasons.set(failed, reason);
  }
}
