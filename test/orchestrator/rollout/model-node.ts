/**
 * A node as the real one behaves (files on an ESP, boot counting, blessing, epochs), written without the engine's
 * records, so that it can contradict them. Times are milliseconds of the simulation.
 */
import type { EngineEvent, NodeCommand, Report } from '../../../orchestrator/rollout/event.ts';
import type { Random } from './random.ts';

export const FAULTS = [
  'slow',
  'hang',
  'panic',
  'reboot-loop',
  'sick',
  'flap',
  'lies-staged',
  'lies-running',
  'vanish',
  'vanish-early',
  'revert',
  'cannot-stage',
  'restarts-staged',
] as const;
export type Fault = (typeof FAULTS)[number] | 'none';

export class ModelNode {
  readonly id: string;
  readonly fault: Fault;
  readonly violations: string[] = [];
  running: string;
  /** Files on the ESP; the blessed ones boot without being counted. */
  readonly files = new Map<string, 'good' | 'new'>();
  /** The version that it can always go back to. */
  lastGood: string;
  epoch: number;
  up = true;
  gone = false;
  /** When it became what it is not meant to be any more, by its own doing. */
  strayedAt = Number.POSITIVE_INFINITY;
  /** When it was told to go back. */
  sentBackAt = Number.POSITIVE_INFINITY;
  bootedAt = 0;
  readonly everRan = new Set<string>();
  #boots = 0;
  #seq = 0;
  readonly #failed = new Set<string>();
  readonly #effects = new Map<number, string>();
  readonly #random: Random;
  #restarts = 0;

  constructor(id: string, running: string, epoch: number, fault: Fault, random: Random) {
    this.id = id;
    this.running = running;
    this.lastGood = running;
    this.epoch = epoch;
    this.fault = fault;
    this.#random = random;
    this.files.set(running, 'good');
  }

  get bootId(): string {
    return `${this.id}-boot-${this.#boots}`;
  }

  /** The bad behaviour belongs to the new version only. */
  get #bad(): boolean {
    return this.running === '2.0';
  }

  healthy(now: number): boolean {
    if (!this.#bad) return true;
    if (this.fault === 'sick') return false;
    return this.fault !== 'flap' || Math.floor((now - this.bootedAt) / 45_000) % 2 === 0;
  }

  report(now: number): Report {
    this.#seq += 1;
    const lies = this.fault === 'lies-running' && this.files.has('2.0') && this.running !== '2.0';
    const version = lies ? '2.0' : this.running;
    return {
      seq: this.#seq,
      bootId: this.bootId,
      image: version,
      config: null,
      epoch: this.epoch,
      healthy: this.healthy(now),
      reason: this.healthy(now) ? '' : 'model is sick',
      services: {},
      failed: [...this.#failed],
    };
  }

  /** @returns what it answers, and after how long; null when no answer comes */
  obey(command: NodeCommand, now: number): { event: EngineEvent; after: number } | null {
    if (this.gone || !this.up) return null;
    const effect = JSON.stringify([
      command.kind,
      command.kind === 'rollback' ? command.drop : '',
      command.version,
    ]);
    const refuse = (code: 'stale-epoch' | 'other-boot' | 'refuses-version' | 'cannot') => ({
      event: {
        type: 'refused' as const,
        node: this.id,
        epoch: command.epoch,
        code,
        why: code,
        has: this.epoch,
      },
      after: this.#random.between(500, 5_000),
    });
    if (command.epoch < this.epoch) return refuse('stale-epoch');
    const known = this.#effects.get(command.epoch);
    if (known !== undefined && known !== effect) {
      this.violations.push(`epoch ${command.epoch} meant ${known} and now ${effect}`);
      return refuse('stale-epoch');
    }
    if (command.kind === 'activate' && command.bootId !== this.bootId) {
      // Done already, or restarted since: its report says which.
      return known === undefined ? refuse('other-boot') : null;
    }
    const { version } = command;
    if (command.kind !== 'rollback' && version !== null && this.#failed.has(version)) {
      return refuse('refuses-version');
    }
    if (known === undefined && command.epoch === this.epoch) return refuse('stale-epoch');
    this.epoch = command.epoch;
    this.#effects.set(command.epoch, effect);
    const slow = this.fault === 'slow' ? 6 : 1;
    switch (command.kind) {
      case 'stage': {
        // It may have started it by itself since: nothing to write then.
        if (command.version === this.running) {
          return { event: { type: 'staged', node: this.id, epoch: command.epoch }, after: 1_000 };
        }
        if (command.version === this.lastGood) {
          this.violations.push(`stage would overwrite the last good ${command.version}`);
        }
        if (command.keep !== this.lastGood) {
          this.violations.push(`stage keeps ${command.keep}, but the last good is ${this.lastGood}`);
        }
        if (this.fault === 'cannot-stage') return refuse('cannot');
        if (this.fault === 'vanish-early') {
          this.gone = true;
          return null;
        }
        if (this.fault !== 'lies-staged' || command.version !== '2.0') this.files.set(command.version, 'new');
        if (this.fault === 'restarts-staged') this.#restart(command.version, now);
        return {
          event: { type: 'staged', node: this.id, epoch: command.epoch },
          after: this.#random.between(5_000, 25_000) * slow,
        };
      }
      case 'activate':
        if (this.fault === 'lies-running' && command.version === '2.0') return null;
        if (known === undefined) this.#restart(command.version, now);
        return null;
      case 'rollback':
        if (known !== undefined) return null;
        this.files.delete(command.drop);
        // One that only had the file may have it again.
        if (this.running === command.drop || this.everRan.has(command.drop)) this.#failed.add(command.drop);
        this.strayedAt = Number.POSITIVE_INFINITY;
        this.sentBackAt = now;
        if (command.version !== null && this.running !== command.version) this.#restart(command.version, now);
        return null;
    }
  }

  #restart(version: string, now: number): void {
    const slow = this.fault === 'slow' ? 5 : 1;
    this.up = false;
    this.#restarts = now + this.#random.between(20_000, 70_000) * slow;
    this.#next = this.files.has(version) ? version : this.lastGood;
    if (this.#next === '2.0' && this.fault === 'hang') this.gone = true;
    if (this.#next === '2.0' && this.fault === 'panic') {
      // Three tries, then systemd-boot takes the last good one.
      this.#restarts += 90_000;
      this.#boots += 3;
      this.files.delete(this.#next);
      this.#failed.add(this.#next);
      this.#next = this.lastGood;
    }
  }
  #next = '';

  /** What happens by itself. */
  pass(now: number): void {
    if (this.gone) return;
    if (!this.up) {
      if (now < this.#restarts) return;
      this.up = true;
      this.#boots += 1;
      this.running = this.#next;
      this.bootedAt = now;
      this.everRan.add(this.running);
      return;
    }
    if (this.files.get(this.running) === 'new' && this.healthy(now) && now - this.bootedAt > 30_000) {
      this.files.set(this.running, 'good');
      // On the way there, the version that was passed through is the one to go back to.
      if (this.running !== '2.0') this.lastGood = this.running;
    }
    if (!this.#bad) return;
    const age = now - this.bootedAt;
    if (this.fault === 'reboot-loop' && age > 40_000) this.#restart(this.running, now);
    if (this.fault === 'vanish' && age > 60_000) this.gone = true;
    if (this.fault === 'revert' && age > 150_000) {
      this.files.delete(this.running);
      this.strayedAt = now;
      this.#restart(this.lastGood, now);
    }
  }
}
