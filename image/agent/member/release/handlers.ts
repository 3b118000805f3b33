/**
 * The node's side of stage, activate, cancel, forgive and status: requests that come over the link; the files beside do
 * the work.
 */
import { BootwaveError } from '../../../../base/error.ts';
import { untilAborted } from '../../../../base/wait.ts';
import type { Placed, RequestedImage } from '../../../../protocol/agent/disk.ts';
import { readSlots } from '../../../../protocol/agent/slots.ts';
import type { Status } from '../../../../protocol/link/messages.ts';
import type { Order } from '../../../../protocol/order.ts';
import type { HandlerContext, LinkHandlers } from '../link/handlers.ts';
import { bringLists, type ListsParts } from './bring-lists.ts';
import { DiskTurn } from './disk-turn.ts';
import { beginTrial, forgive, refusalOf } from './failures.ts';
import type { Mirrors } from './from-mirrors.ts';
import { type MustBeReleased, ReleaseGate } from './gate.ts';
import { KeptRecord, type RecordStore } from './kept-record.ts';
import { RunningImage } from './running-image.ts';
import { type StageParts, type Staging, stage } from './stage.ts';
import { progressOf, StagingRuns } from './staging-runs.ts';

export type OrderInForce = { order: Order; digest: string };

/** Everything that the release code touches outside itself. */
export type ReleaseParts = ListsParts & {
  node: string;
  running: Status['running'];
  /** Verified; null before the first. */
  order(): OrderInForce | null;
  health(): Status['health'];
  records: RecordStore;
  /** Folder for downloads, writable by the agent. */
  downloads: string;
  mustBeReleased: MustBeReleased;
  /** HTTP URL of an image on the boot server; null while none is known. */
  imageUrl(image: RequestedImage): string | null;
  /** Near this node. */
  mirrors(sha256: string): Mirrors;
  /** Asks PID 1 for a restart; answers before it happens. */
  restart(): Promise<void>;
  /** The disk was made bootable, and its state partition is mounted. */
  installed?(): Promise<void>;
  /** Milliseconds since the epoch. */
  now(): number;
  pace?: NonNullable<StageParts['pace']>;
  /** Milliseconds, for tests: see RunningImage. */
  lastWait?: number;
};

export type ReleaseHandlers = Pick<
  LinkHandlers,
  'status' | 'stage' | 'activate' | 'cancel' | 'forgive' | 'restart'
>;

export class Release implements ReleaseHandlers {
  readonly #parts: ReleaseParts;
  readonly #gate: ReleaseGate;
  readonly #record: KeptRecord;
  #state: Status['state'] = 'idle';
  readonly #disk: DiskTurn;
  /** The one that runs. */
  readonly image: RunningImage;
  readonly #runs = new StagingRuns(() => this.#enter('idle'));

  constructor(parts: ReleaseParts) {
    this.#parts = parts;
    this.#disk = new DiskTurn(parts.ask);
    this.#record = new KeptRecord(parts.records);
    this.image = new RunningImage(parts, this.#disk, this.#record);
    this.#gate = new ReleaseGate(parts.mustBeReleased);
  }

  get state(): Status['state'] {
    return this.#state;
  }

  /** Writes the record again: the place where it is kept has become another one. */
  async keep(): Promise<void> {
    await this.#record.keep();
  }

  async status(): Promise<Status> {
    const { node, running, order, health } = this.#parts;
    const inForce = order();
    const { files, loader, disk, lasting } = await this.#disk.glance();
    const record = await this.#record.read();
    const reasons = new Map(record.refused.map(({ version, reason }) => [version, reason]));
    return {
      node,
      running,
      mode: disk === null ? 'netboot' : 'installed',
      ...(lasting !== '' && { disk: lasting }),
      state: this.#state,
      order:
        inForce === null
          ? null
          : { epoch: inForce.order.epoch, digest: inForce.digest, expires: inForce.order.expires },
      slots: readSlots(files)
        .slice(0, 16)
        .map(({ size: _, ...slot }) => ({
          ...slot,
          booted: loader.fromDisk && slot.version === running.version,
          reason: slot.state === 'failed' ? (reasons.get(slot.version) ?? '') : '',
        })),
      staging: this.#runs.shown,
      refused: record.refused,
      health: health(),
    };
  }

  async stage({ epoch }: { epoch: number }, context: HandlerContext) {
    const order = this.#inForce(epoch).order;
    const wanted = wantedOf(order);
    const refused = refusalOf(await this.#record.read(), wanted.version);
    if (refused !== null) throw refusedBefore(wanted.version, refused);
    const run = this.#runs.begin(epoch, wanted, (staging, signal) => {
      this.#enter('staging');
      return this.#stage(order, wanted, staging, signal);
    });
    const tell = setInterval(() => context.progress(progressOf(run)), 500);
    try {
      const { file, already } = await untilAborted(run.result, context.signal);
      context.progress(progressOf(run));
      return { version: wanted.version, file, already };
    } finally {
      clearInterval(tell);
    }
  }

  async activate({ epoch }: { epoch: number; bootId: string }) {
    const { order } = this.#inForce(epoch);
    const wanted = wantedOf(order);
    const { version } = wanted;
    if (version !== this.#parts.running.version) await this.#gate.passAgain(wanted, order);
    return this.#disk.take(async () => {
      if (this.#state === 'restarting') return { restarting: true };
      const record = await this.#record.read();
      const refused = refusalOf(record, version);
      if (refused !== null && version !== this.#parts.running.version) throw refusedBefore(version, refused);
      if (version !== this.#parts.running.version) await bringLists(this.#parts, version);
      const { needed } = await this.#parts.ask({ operation: 'release-activate', version });
      if (!needed) return { restarting: false };
      // After the disk is ready and before the restart: a power cut in between costs an attempt, but never hides one.
      await this.#record.change((now) => beginTrial(now, version, this.#parts.running.bootId));
      return this.#restart();
    });
  }

  async restart() {
    return this.#disk.take(() => this.#restart());
  }

  async cancel() {
    const cancelled = await this.#runs.stop();
    await this.#stay();
    return { cancelled };
  }

  /** The order names the version that already runs: an image staged under another order must not win the next boot. */
  async #stay(): Promise<void> {
    const order = this.#parts.order()?.order;
    const { version } = this.#parts.running;
    if (order?.mode !== 'installed' || order.image?.version !== version) return;
    await this.#disk.take(async () => {
      const { disk, loader } = await this.#disk.look();
      if (disk !== null && loader.fromDisk) await this.#parts.ask({ operation: 'release-activate', version });
    });
  }

  async forgive({ epoch }: { epoch: number }) {
    const { order } = this.#inForce(epoch);
    await this.#disk.take(() => this.#record.change((record) => forgive(record, order.forgiven, epoch)));
    return { forgiven: [...order.forgiven] };
  }

  async #restart() {
    this.#state = 'restarting';
    try {
      await this.#parts.restart();
    } catch (error) {
      this.#state = 'idle';
      throw error;
    }
    return { restarting: true };
  }

  /** A requested restart remains what the node is doing. */
  #enter(state: Status['state']): void {
    if (this.#state !== 'restarting') this.#state = state;
  }

  async #stage(order: Order, wanted: RequestedImage, staging: Staging, signal: AbortSignal): Promise<Placed> {
    signal.throwIfAborted();
    await this.#gate.pass(wanted, order, signal);
    const { downloads, imageUrl, pace, warn } = this.#parts;
    const { disk, files } = await this.#disk.take(() => this.#disk.look());
    const there = readSlots(files).some(
      ({ version, size }) => version === wanted.version && size === wanted.size,
    );
    // Nothing is fetched that is on the disk already; root compares the content.
    if (there) {
      const placed = await this.#place(wanted).catch(unlessNotFetched);
      if (placed !== null) {
        staging.done = staging.total;
        return placed;
      }
    }
    const url = imageUrl(wanted);
    if (url === null)
      throw new BootwaveError({
        code: 'STAGE_UNREACHABLE',
        what: 'this node knows no boot server now',
        unchanged: 'no image on the disk was touched',
        next: 'stage it again when the node is connected',
      });
    const place = (image: RequestedImage) => (disk === null ? this.#install(image) : this.#place(image));
    const mirrors = { ...this.#parts.mirrors(wanted.sha256), tell: warn };
    const parts = { folder: downloads, url, place, mirrors, ...(pace && { pace }) };
    return stage(wanted, parts, signal, (done) => {
      staging.done = done;
    });
  }

  #place(image: RequestedImage): Promise<Placed> {
    return this.#disk.take(() => this.#parts.ask({ operation: 'release-place', image }));
  }

  async #install(image: RequestedImage): Promise<Placed> {
    const { ask } = this.#parts;
    this.#enter('installing');
    return this.#disk.take(async () => {
      const { file } = await ask({ operation: 'disk-install', disk: null, image });
      await ask({ operation: 'state-mount' });
      await this.#parts.installed?.();
      return { file, already: false, dropped: [] };
    });
  }

  #inForce(epoch: number): OrderInForce {
    const inForce = this.#parts.order();
    if (inForce?.order.epoch === epoch) {
      if (inForce.order.expires > this.#parts.now()) return inForce;
      // Its epoch still counts; but its content, wiping included, does not hold any more.
      throw new BootwaveError({
        code: 'ORDER_EXPIRED',
        what: `the order in force, of epoch ${epoch}, has expired`,
        unchanged: 'nothing was done',
        next: 'have a new order issued',
      });
    }
    throw new BootwaveError({
      code: 'RELEASE_NO_ORDER',
      what: `no order of epoch ${epoch} is in force`,
      unchanged: 'nothing was done',
      next: 'deliver the order first',
    });
  }
}

function wantedOf(order: Order): RequestedImage {
  if (order.mode === 'installed' && order.image !== null) return order.image;
  throw new BootwaveError({
    code: 'RELEASE_NOT_INSTALLED',
    what: 'the order in force names no image for the disk',
    unchanged: 'nothing was done',
    next: 'order mode installed with an image',
  });
}

function refusedBefore(version: string, reason: string): BootwaveError {
  return new BootwaveError({
    code: 'RELEASE_REFUSED',
    what: `this node refuses image ${version}, which failed here: ${reason}`,
    unchanged: 'nothing was done',
    next: 'find out why; an order that names it as forgiven lets the node try again',
  });
}

function unlessNotFetched(error: unknown): null {
  if (error instanceof BootwaveError && error.code === 'STAGE_NOT_FETCHED') return null;
  throw error;
}
