import { BootwaveError, messageOf } from '../../../../base/error.ts';
import { flat } from '../../../../base/line.ts';
import type { Placed, RequestedImage } from '../../../../protocol/agent/disk.ts';
import type { Progress } from '../../../../protocol/link/messages.ts';
import type { Staging } from './stage.ts';

export type Run = {
  epoch: number;
  staging: Staging;
  stop: AbortController;
  result: Promise<Placed>;
  state: 'going' | 'done' | 'failed';
};

/** At most one image is being staged: the one that the newest order names. */
export class StagingRuns {
  #run: Run | null = null;
  readonly #onIdle: () => void;

  /** @param onIdle called when the last run that was begun has ended */
  constructor(onIdle: () => void) {
    this.#onIdle = onIdle;
  }

  /** What to report about it: nothing about a run that succeeded. */
  get shown(): Staging | null {
    return this.#run === null || this.#run.state === 'done' ? null : { ...this.#run.staging };
  }

  /**
   * Two requests under one epoch share one run; a request under a newer epoch stops the older run, and begins after it.
   */
  begin(
    epoch: number,
    wanted: RequestedImage,
    work: (staging: Staging, signal: AbortSignal) => Promise<Placed>,
  ): Run {
    const last = this.#run;
    if (last?.epoch === epoch && last.state === 'going') return last;
    last?.stop.abort(
      new BootwaveError({ code: 'STAGE_SUPERSEDED', what: 'a newer order names what to stage now' }),
    );
    const staging: Staging = { version: wanted.version, done: 0, total: wanted.size, error: '' };
    const stop = new AbortController();
    const before = last?.result.then(ignore, ignore) ?? Promise.resolve();
    const result = before.then(() => work(staging, stop.signal));
    const run: Run = { epoch, staging, stop, result, state: 'going' };
    this.#run = run;
    // It continues without anyone waiting for it; `status` reports how it ended.
    result.then(
      () => this.#ended(run, 'done'),
      (error) => {
        staging.error = flat(messageOf(error));
        this.#ended(run, 'failed');
      },
    );
    return run;
  }

  /** @returns whether one was stopped */
  async stop(): Promise<boolean> {
    const run = this.#run;
    // A complete download is being written to the disk, which must not be left half done.
    if (run?.state !== 'going' || run.staging.done === run.staging.total) return false;
    run.stop.abort(
      new BootwaveError({
        code: 'STAGE_CANCELLED',
        what: `staging ${run.staging.version} was cancelled`,
        unchanged: 'what was fetched is kept',
      }),
    );
    await run.result.catch(ignore);
    return true;
  }

  #ended(run: Run, state: 'done' | 'failed'): void {
    run.state = state;
    if (this.#run === run) this.#onIdle();
  }
}

export function progressOf({ staging: { version, done, total } }: Run): Progress {
  return { version, done, total };
}

function ignore(): void {}
