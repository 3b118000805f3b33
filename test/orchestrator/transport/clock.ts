import type { Clock } from '../../../orchestrator/transport/clock.ts';

/** A clock whose hands only `pass` turns. */
export class HandClock implements Clock {
  #now = 0;
  #timers: { at: number; call: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, call: () => void): () => void {
    const timer = { at: this.#now + ms, call };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  get timers(): number {
    return this.#timers.length;
  }

  /** Lets `ms` pass, calling whom it is due to in order, and lets the promises that follow run. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#now = Math.max(this.#now, next.at);
      this.#timers = this.#timers.filter((other) => other !== next);
      next.call();
      await settle();
    }
    this.#now = end;
    await settle();
  }
}

/** A clock that goes on while it is read, as a real one does: every reading is later than the one before. */
export class RunningClock extends HandClock {
  readonly #steps: readonly number[];
  #reads = 0;
  #ran = 0;

  /** @param steps milliseconds between two readings, over and over */
  constructor(steps: readonly number[]) {
    super();
    this.#steps = steps;
  }

  override now(): number {
    this.#ran += this.#steps[this.#reads % this.#steps.length] ?? 0;
    this.#reads += 1;
    return super.now() + this.#ran;
  }
}

export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
