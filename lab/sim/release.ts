/** The images of a simulated node: which are on its disk, which it refuses, and what it is told to stage and activate. */
import { BootwaveError } from '../../base/error.ts';
import type { Status } from '../../protocol/link/messages.ts';
import type { Order } from '../../protocol/order.ts';
import type { Fault } from './fault.ts';
import { Cut } from './ssh.ts';

export type SimReleaseParts = {
  /** Milliseconds. */
  stage: number;
  order(): Order | null;
  running(): string;
  fault(version: string): Fault | null;
  wait(milliseconds: number): Promise<void>;
  wrote(version: string): void;
  vanish(): void;
};

export class SimRelease {
  readonly #parts: SimReleaseParts;
  /** The ESP. Survives restarts, as orders and refusals do. */
  readonly #disk = new Map<string, 'good' | 'trying' | 'half'>();
  readonly #refused = new Map<string, { reason: string; attempts: number; at: number }>();
  #lastGood: string;
  #staging: Promise<void> | null = null;

  constructor(version: string, parts: SimReleaseParts) {
    this.#parts = parts;
    this.#lastGood = version;
    this.#disk.set(version, 'good');
  }

  get lastGood(): string {
    return this.#lastGood;
  }

  get isStaging(): boolean {
    return this.#staging !== null;
  }

  has(version: string): boolean {
    const state = this.#disk.get(version);
    return state === 'good' || state === 'trying';
  }

  tries(version: string): boolean {
    return this.#disk.get(version) === 'trying';
  }

  bless(version: string): void {
    this.#disk.set(version, 'good');
    this.#lastGood = version;
  }

  refuse(version: string, reason: string): void {
    this.#disk.delete(version);
    this.#refused.set(version, { reason, attempts: 3, at: Date.now() });
  }

  /** What the order forgives. */
  forgive(): string[] {
    const forgiven = this.#parts.order()?.forgiven ?? [];
    for (const version of forgiven) this.#refused.delete(version);
    return [...forgiven];
  }

  /** What is neither wanted nor running nor the way back is not started by any later restart. */
  tidy(wanted: string | undefined): void {
    for (const [file, state] of this.#disk)
      if (state !== 'good' && file !== wanted && file !== this.#parts.running()) this.#disk.delete(file);
  }

  slots(): Status['slots'] {
    return [...this.#disk].map(([version, state]) => ({
      version,
      file: `bootwave_${version}${state === 'good' ? '' : '+3'}.efi`,
      state: state === 'good' ? 'good' : 'trying',
      triesLeft: state === 'good' ? null : 3,
      triesDone: state === 'good' ? null : 0,
      booted: version === this.#parts.running(),
      reason: '',
    }));
  }

  refused(): Status['refused'] {
    return [...this.#refused].map(([version, entry]) => ({ version, ...entry }));
  }

  #wanted(): string {
    const version = this.#parts.order()?.image?.version;
    if (version === undefined) throw refusal('SIM_NO_IMAGE', 'the order names no image');
    const refused = this.#refused.get(version);
    if (refused !== undefined) throw refusal('SIM_REFUSED', `${version} is refused here: ${refused.reason}`);
    return version;
  }

  async stage() {
    const version = this.#wanted();
    const result = { version, file: `bootwave_${version}+3.efi`, already: this.has(version) };
    if (result.already) return result;
    const fault = this.#parts.fault(version);
    this.#staging ??= this.#write(version, fault).finally(() => {
      this.#staging = null;
    });
    await this.#staging;
    return result;
  }

  async #write(version: string, fault: Fault | null): Promise<void> {
    const { stage, wait } = this.#parts;
    await wait(stage * (fault === 'slow' ? 6 : 1));
    if (fault === 'vanishes') {
      this.#parts.vanish();
      throw new Cut('gone');
    }
    if (fault === 'half-write' && !this.#disk.has(version)) {
      this.#disk.set(version, 'half');
      throw new Cut('in the middle of the file');
    }
    if (fault === 'lies-installed') return;
    this.#parts.wrote(version);
    this.#disk.set(version, 'trying');
  }

  /** @returns the version to start; null: it runs, or is being started, already */
  activate(isRestarting: boolean): string | null {
    const version = this.#wanted();
    const running = this.#parts.running();
    if (version === running || isRestarting) return null;
    if (!this.has(version) && this.#parts.fault(version) !== 'lies-installed') {
      throw refusal('SIM_NOT_STAGED', `${version} is not on the disk`);
    }
    // Going back: the newer one must not win at the next restart.
    if (this.#disk.get(version) === 'good' && this.#disk.get(running) !== 'good') {
      this.#disk.delete(running);
    }
    return version;
  }
}

export function refusal(code: string, what: string, next?: string): BootwaveError {
  return new BootwaveError({ code, what, unchanged: 'nothing was done', next });
}
