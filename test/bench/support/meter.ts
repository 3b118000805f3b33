/** What a machine has cost the processor at any moment of its boot, however busy the host is. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab } from '../../../lab/lab.ts';
import { statOf } from '../../../lab/process.ts';

/** Milliseconds between two looks. */
const LOOK = 50;
const TICKS_A_SECOND = 100;

export class Meter {
  readonly #samples: { at: number; cpu: number }[] = [];
  readonly #stop = new AbortController();
  #done: Promise<void> = Promise.resolve();

  /** Follows the emulator of a node that is on. */
  static async start(lab: Lab, node: string): Promise<Meter> {
    const meter = new Meter();
    const power = (await lab.status()).nodes.find(({ name }) => name === node)?.power;
    if (power?.on !== true) throw new Error(`${node} is off`);
    meter.#done = meter.#follow(power.qemu.pid);
    return meter;
  }

  async #follow(pid: number): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const stat = statOf(pid);
      if (stat === undefined) return;
      this.#samples.push({ at: Date.now(), cpu: stat.cpuTicks / TICKS_A_SECOND });
      await sleep(LOOK);
    }
  }

  /** @returns CPU seconds, user and system, that had been used at a time, in milliseconds since the epoch */
  at(time: number): number {
    return this.#samples.find((sample) => sample.at >= time)?.cpu ?? this.#samples.at(-1)?.cpu ?? Number.NaN;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }
}
