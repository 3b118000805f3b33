import type { Clock } from './clock.ts';
import { abortedBy } from './errors.ts';
import { type PaceLimits, Pacer } from './pace.ts';

/** The pacer with a clock: wait at the gate, open a connection, leave. */
export class Gate {
  readonly #pacer: Pacer;
  readonly #clock: Clock;
  readonly #hasRoom: (opening: number) => boolean;
  readonly #starts = new Map<string, () => void>();
  #stopTimer: (() => void) | null = null;

  /** @param hasRoom asked before each start; when it returns false, `pump` must be called once it may return true */
  constructor(limits: PaceLimits, clock: Clock, hasRoom: (opening: number) => boolean) {
    this.#pacer = new Pacer(limits, clock.now());
    this.#clock = clock;
    this.#hasRoom = hasRoom;
  }

  get waiting(): number {
    return this.#pacer.waiting;
  }

  get opening(): number {
    return this.#pacer.opening;
  }

  /** Resolves when `id` may open; then `leave` must follow, whatever comes of it. */
  enter(id: string, group: string, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(abortedBy(signal));
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#starts.delete(id);
        this.#pacer.leave(id, group);
        reject(abortedBy(signal));
        this.pump();
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#starts.set(id, () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      });
      this.#pacer.want(id, group);
      this.pump();
    });
  }

  leave(group: string): void {
    this.#pacer.opened(group);
    this.pump();
  }

  /** Starts those that may start now, and runs again when another may start by time alone. */
  pump(): void {
    this.#stopTimer?.();
    this.#stopTimer = null;
    // Read once: with two readings, "too early" and "already time" could fall between each other, and nobody would be
    // woken.
    const now = this.#clock.now();
    while (this.#pacer.waiting > 0 && this.#hasRoom(this.#pacer.opening)) {
      const id = this.#pacer.take(now);
      if (id === null) break;
      const start = this.#starts.get(id);
      this.#starts.delete(id);
      start?.();
    }
    const wakeAt = this.#pacer.wakeAt(now);
    if (wakeAt !== null) this.#stopTimer = this.#clock.after(wakeAt - now, () => this.pump());
  }
}
