/** The BMC's hand on one machine: the power button, and what the next start tries first. */
import { Turns } from '../../base/turns.ts';

export type Machine = {
  uuid: string;
  serial: string;
  isOn(): Promise<boolean>;
  /** @param boot what this start tries first; absent: as the firmware has it */
  on(boot?: 'network' | 'disk'): Promise<void>;
  off(): Promise<void>;
  /** The reset button. */
  reset(): Promise<void>;
};

export class Board {
  readonly machine: Machine;
  readonly #turns = new Turns();
  readonly #onError: (error: unknown) => void;
  /** What it was told and has not done yet: a BMC answers at once, and a machine takes a moment. */
  #coming: boolean | undefined;
  #pending = 0;
  next: 'network' | 'disk' | null = null;

  constructor(machine: Machine, onError: (error: unknown) => void = () => {}) {
    this.machine = machine;
    this.#onError = onError;
  }

  async isOn(): Promise<boolean> {
    return this.#coming ?? this.machine.isOn();
  }

  on(): void {
    this.#do(true, async () => {
      if (!(await this.machine.isOn())) await this.#start();
    });
  }

  off(): void {
    this.#do(false, () => this.machine.off());
  }

  cycle(): void {
    this.#do(true, async () => {
      await this.machine.off();
      await this.#start();
    });
  }

  reset(): void {
    this.#do(true, async () => {
      if (!(await this.machine.isOn())) return;
      // QEMU takes another boot order at its start only.
      if (this.next === null) return this.machine.reset();
      await this.machine.off();
      await this.#start();
    });
  }

  /** Resolves when all that it was told is done. */
  settled(): Promise<void> {
    return this.#turns.take(async () => {});
  }

  async #start(): Promise<void> {
    const { next } = this;
    this.next = null;
    await this.machine.on(next ?? undefined);
  }

  #do(coming: boolean, work: () => Promise<void>): void {
    this.#coming = coming;
    this.#pending += 1;
    this.#turns
      .take(work)
      .catch(this.#onError)
      .finally(() => {
        this.#pending -= 1;
        if (this.#pending === 0) this.#coming = undefined;
      });
  }
}
