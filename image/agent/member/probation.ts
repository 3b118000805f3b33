/**
 * While the running image is on trial: blesses it when the node has been healthy for long enough, gives it up when it
 * has no hope.
 */
import type { LinkLog } from './link/server.ts';
import type { Release } from './release/handlers.ts';
import { BEGINNING, judge } from './trial.ts';
import { healthOf, trialHealth, type Vitals } from './vitals.ts';

export type ProbationParts = {
  release: Pick<Release, 'image' | 'state' | 'restart'>;
  vitals(): Vitals;
  /** Whether something listens where the orchestrator connects. */
  reachable(): Promise<boolean>;
  /** The last result of `reachable`. */
  reached(link: boolean): void;
  /** Runs work that may fail; a failure is logged once. */
  attempt(failed: string, work: () => Promise<unknown>): Promise<void>;
  log: LinkLog;
  /** Milliseconds since the boot. */
  uptime(): number;
  /** Milliseconds of health without a break, before an image is good. */
  well: number;
};

export class Probation {
  readonly #parts: ProbationParts;
  #trial = BEGINNING;
  /** Null until the disk was looked at. */
  #onTrial: boolean | null = null;
  #settling = false;
  #leaving = false;
  /** Milliseconds of uptime since when it has been healthy without a break. */
  #wellSince: number | null = null;

  constructor(parts: ProbationParts) {
    this.#parts = parts;
  }

  /** Looks at the disk: whether there is a trial at all. Never throws. */
  async find(): Promise<void> {
    await this.#parts.attempt('the disk was not looked at', async () => {
      this.#onTrial = await this.#parts.release.image.afterBoot();
    });
  }

  /** The connection is gone: the time of health starts again. */
  lost(): void {
    this.#wellSince = null;
  }

  /**
   * A heartbeat was accepted. Runs beside the heartbeats: a disk that takes minutes for a rename must not make the node
   * count as lost.
   */
  async settle(): Promise<void> {
    if (this.#settling || this.#onTrial === false) return;
    this.#settling = true;
    if (this.#onTrial === null) await this.find();
    const { release, reachable, reached, log, attempt, vitals } = this.#parts;
    await attempt('the image was not confirmed', async () => {
      if (this.#onTrial !== true || !this.#isWell()) return;
      reached(await reachable());
      if (!trialHealth(vitals()).healthy) return;
      const blessed = await release.image.confirm();
      if (blessed !== null) log.info({ version: blessed }, 'this image is good');
      this.#onTrial = false;
    });
    this.#settling = false;
  }

  #isWell(): boolean {
    const uptime = this.#parts.uptime();
    this.#wellSince = healthOf(this.#parts.vitals()).healthy ? (this.#wellSince ?? uptime) : null;
    return this.#wellSince !== null && uptime - this.#wellSince >= this.#parts.well;
  }

  /** To be called every few seconds: ends the trial when it has no hope. Never throws. */
  async look(): Promise<void> {
    const { release, vitals, uptime } = this.#parts;
    // A disk that is too slow to store the last words is asked once.
    if (this.#onTrial !== true || this.#leaving || release.state === 'restarting') return;
    const { trial, giveUp } = judge(this.#trial, vitals(), uptime());
    this.#trial = trial;
    if (giveUp === null) return;
    this.#leaving = true;
    await this.#leave(giveUp);
    this.#leaving = false;
  }

  /** In this order: the power may fail in between, and whatever fails, the machine restarts. */
  async #leave({ reason, isFinal }: { reason: string; isFinal: boolean }): Promise<void> {
    const { release, log, attempt } = this.#parts;
    log.warn({ reason }, 'this image does not become healthy: restarting');
    await attempt('its last words were not kept', () => release.image.unhealthy(reason));
    if (isFinal)
      await attempt('its tries were not taken off it', async () => {
        const { bad, reason } = await release.image.refused();
        if (bad === null) log.warn({ reason }, 'this image keeps its tries');
        else log.info({ file: bad }, 'this image is not started again');
      });
    await attempt('the restart failed', () => release.restart());
  }
}
