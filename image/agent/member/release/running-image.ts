/** What happens to the running image: its trial ends with success, or with the reason why it failed. */
import { BootwaveError } from '../../../../base/error.ts';
import { atMost } from '../../../../base/wait.ts';
import type { AskDisk, MarkedBad } from '../../../../protocol/agent/disk.ts';
import { readSlots } from '../../../../protocol/agent/slots.ts';
import type { Status } from '../../../../protocol/link/messages.ts';
import type { DiskTurn } from './disk-turn.ts';
import { afterBoot, blessed, noteUnhealthy } from './failures.ts';
import type { KeptRecord } from './kept-record.ts';

/**
 * Milliseconds to wait for the disk, before a restart happens without it: longer than checking and mounting the ESP
 * takes.
 */
const LAST_WAIT = 30_000;

export type RunningImageParts = {
  running: Status['running'];
  health(): Status['health'];
  ask: AskDisk;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds, for tests. */
  lastWait?: number | undefined;
};

export class RunningImage {
  readonly #parts: RunningImageParts;
  readonly #disk: DiskTurn;
  readonly #record: KeptRecord;

  constructor(parts: RunningImageParts, disk: DiskTurn, record: KeptRecord) {
    this.#parts = parts;
    this.#disk = disk;
    this.#record = record;
  }

  /**
   * Once per start of the agent, before the link opens: finds out how the last activation ended.
   * @returns whether the image that runs is on trial: started from the disk and not blessed, also not earlier in this
   * boot
   */
  async afterBoot(): Promise<boolean> {
    return this.#disk.take(async () => {
      const { running, now } = this.#parts;
      const { files, loader } = await this.#disk.look();
      const slots = readSlots(files);
      await this.#record.change((record) =>
        afterBoot(record, {
          running: running.version,
          bootId: running.bootId,
          slots,
          fromDisk: loader.fromDisk,
          now: now(),
        }),
      );
      // The loader's variable lasts as long as the boot; the name on the disk shows what happened to the image since.
      const { version } = running;
      const isGood = slots.some((slot) => slot.version === version && slot.state === 'good');
      // The agent was killed after the blessing and before it was recorded.
      if (loader.fromDisk && isGood)
        await this.#record.change((record) =>
          record.trial?.version === version ? blessed(record, version) : record,
        );
      return loader.fromDisk && loader.counted !== null && !isGood;
    });
  }

  /**
   * Call it whenever the agent is a healthy member: removes the counter from the running image's name.
   * @returns the version that was blessed now, or null
   */
  async confirm(): Promise<string | null> {
    return this.#disk.take(async () => {
      if (!this.#parts.health().healthy) return null;
      const answer = await this.#parts.ask({ operation: 'release-bless' });
      const { version } = this.#parts.running;
      if (answer.blessed !== null || answer.reason === 'blessed already')
        await this.#record.change((record) => blessed(record, version));
      return answer.blessed;
    });
  }

  /**
   * Called before an image that cannot become healthy restarts by itself.
   * @throws BootwaveError `RELEASE_DISK_SILENT`
   */
  async unhealthy(reason: string): Promise<void> {
    await this.#briefly(() =>
      this.#record.change((record) => noteUnhealthy(record, this.#parts.running.version, reason)),
    );
  }

  /**
   * The fleet refuses the running image: has root remove its remaining tries, if it is on trial. Call it after
   * `unhealthy`, so that the next boot knows why.
   * @throws BootwaveError `RELEASE_DISK_SILENT`, and what the operation `release-mark-bad` throws
   */
  async refused(): Promise<MarkedBad> {
    return this.#briefly(() => this.#parts.ask({ operation: 'release-mark-bad' }));
  }

  /** A disk that hangs is not waited for: it must not delay the restart that comes next. */
  async #briefly<T>(work: () => Promise<T>): Promise<T> {
    const { lastWait = LAST_WAIT } = this.#parts;
    const done = await this.#disk.take(() =>
      atMost(
        work().then((result) => ({ result })),
        lastWait,
      ),
    );
    if (done !== null) return done.result;
    throw new BootwaveError({
      code: 'RELEASE_DISK_SILENT',
      what: `the disk did not answer within ${lastWait} ms`,
      unchanged: 'the image on trial may keep its tries and its reason may be lost',
      next: 'nothing: the node restarts all the same',
    });
  }
}
