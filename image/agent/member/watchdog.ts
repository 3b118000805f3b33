import { spawn } from 'node:child_process';

/** Milliseconds without an event after which the agent counts as hung: above its longest wait. */
const SILENCE = 15 * 60_000;

/**
 * Tells PID 1 that the agent lives (sd_notify(3)). NOTIFY_SOCKET is a unix datagram socket, which Node cannot open, so
 * systemd's own `systemd-notify` is started: once when ready, then three times per watchdog period.
 */
export class Watchdog {
  readonly #environment: NodeJS.ProcessEnv;
  readonly #lastEvent: () => number;

  /** @param lastEvent monotonic milliseconds of the last thing that happened in the agent */
  constructor(environment: NodeJS.ProcessEnv, lastEvent: () => number) {
    this.#environment = environment;
    this.#lastEvent = lastEvent;
  }

  start(signal: AbortSignal): void {
    if (this.#environment.NOTIFY_SOCKET === undefined) return;
    this.#notify('READY=1');
    const period = Number(this.#environment.WATCHDOG_USEC ?? 0) / 1000;
    if (!(period > 0)) return;
    const timer = setInterval(() => {
      if (performance.now() - this.#lastEvent() < SILENCE) this.#notify('WATCHDOG=1');
    }, period / 3);
    signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  }

  #notify(message: string): void {
    spawn('systemd-notify', [message], { env: this.#environment, stdio: 'ignore' }).on('error', () => {});
  }
}
