/** Asks root now and then what disks foretell of themselves, beside the heartbeats, which must not wait for a disk. */
import { messageOf } from '../../../base/error.ts';
import type { AskSmart } from '../../../protocol/agent/smart.ts';
import type { DiskSmart } from '../../../protocol/enrolment/heartbeat.ts';

/** Milliseconds. */
const EVERY = 3600_000;

export class SmartWatch {
  readonly #ask: AskSmart;
  readonly #now: () => number;
  #next = Number.NEGATIVE_INFINITY;
  #told: DiskSmart[] | undefined;

  /** @param now milliseconds of a clock that only goes forward */
  constructor(ask: AskSmart, now: () => number) {
    this.#ask = ask;
    this.#now = now;
  }

  /** What was answered last; undefined: nothing is known. Never waits, never throws. */
  now(): DiskSmart[] | undefined {
    if (this.#now() >= this.#next) {
      this.#next = this.#now() + EVERY;
      void this.#look();
    }
    return this.#told;
  }

  async #look(): Promise<void> {
    try {
      this.#told = (await this.#ask({ operation: 'disk-smart' })).disks;
    } catch (error) {
      this.#told = undefined;
      console.error(`bootwave-agent: disks were not asked how they are: ${messageOf(error)}`);
    }
  }
}
