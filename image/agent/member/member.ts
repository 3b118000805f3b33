/**
 * What this machine is beyond its certificate: the image on its disk, the orders that it obeys, and the link over which
 * the orchestrator asks. Lives as long as the agent; the link opens when the machine is a member.
 */
import { join } from 'node:path';
import { messageOf } from '../../../base/error.ts';
import { Turns } from '../../../base/turns.ts';
import { atMost, untilAborted } from '../../../base/wait.ts';
import type { AskConfig } from '../../../protocol/agent/config.ts';
import type { AskDisk } from '../../../protocol/agent/disk.ts';
import type { Remembered, Taken } from '../../../protocol/agent/machine.ts';
import type { AskServices } from '../../../protocol/agent/services.ts';
import type { Running } from '../../../protocol/enrolment/messages.ts';
import type { Logs, LogsArgs } from '../../../protocol/link/logs.ts';
import { type Hello, LINK_VERSION } from '../../../protocol/link/messages.ts';
import type { OrderPublicKeys } from '../../../protocol/order.ts';
import { type Machine, servedName } from '../../../protocol/release-target.ts';
import { bundleTarget, bundleUrlPath } from '../../../protocol/service/name.ts';
import { NodeConfig } from './config/node-config.ts';
import { configFile } from './config/record.ts';
import { Execs } from './execs.ts';
import { NodeFlows } from './flows/node-flows.ts';
import type { LinkHandlers } from './link/handlers.ts';
import { createLinkServer, type LinkLog } from './link/server.ts';
import { OrderBook } from './order-book.ts';
import { OwnLists } from './own-lists.ts';
import { Probation } from './probation.ts';
import { Release } from './release/handlers.ts';
import { recordFile } from './release/kept-record.ts';
import { MetadataMemory } from './release/metadata-memory.ts';
import { mustBeReleased, type ReleasedParts, releasedTarget } from './release/released.ts';
import { seldom } from './seldom.ts';
import { NodeSecrets, type NodeSecretsParts } from './services/node-secrets.ts';
import { NodeServices } from './services/node-services.ts';
import type { Probe } from './services/probe.ts';
import { readUsage, type UsagePlaces } from './usage/read.ts';
import { healthOf, UNKNOWN, type Vitals } from './vitals.ts';

export type AskOrders = {
  take(envelope: unknown): Promise<Taken>;
  memory(): Promise<Remembered>;
};

export type MemberParts = {
  askDisk: AskDisk;
  askConfig: AskConfig;
  services: {
    ask: AskServices;
    /** Whether root has begun any in this boot. */
    hasBegun(): Promise<boolean>;
    probe: Probe;
    secrets: Pick<NodeSecretsParts, 'ask' | 'server'>;
  };
  /** Names of the units that systemd counts as failed. */
  failedUnits(): Promise<readonly string[]>;
  /** Hands the firmware the Secure Boot lists that root prepared. */
  writeLists(): Promise<void>;
  /** The same with the lists of the running image. @returns names of variables */
  renewLists(): Promise<string[]>;
  restart(): Promise<void>;
  /** Whether something listens where the orchestrator connects. */
  reachable(): Promise<boolean>;
  running: Running;
  orderKeys: OrderPublicKeys;
  /** Asks root to judge orders. */
  orders: AskOrders;
  /** Where the kernel says what is used. */
  usage: UsagePlaces;
  /** What root says of what services have sent. */
  flows(): Promise<string>;
  /** What an instance has written. */
  logs(asked: LogsArgs): Promise<Logs>;
  /** Socket of root for commands in instances. */
  execs: string;
  /** The root of the fleet's release metadata that this image contains. */
  releaseRoot: Buffer;
  machine: Machine;
  /** Folders, see places.ts. */
  memory: string;
  downloads: string;
  socketPath: string;
  log: LinkLog;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds since the boot. */
  uptime(): number;
  signal: AbortSignal;
  /** For tests. */
  waits?: Partial<Waits>;
};

export class Member {
  readonly #parts: MemberParts;
  readonly #waits: Waits;
  readonly #release: Release;
  readonly #probation: Probation;
  readonly #ownLists: OwnLists;
  readonly #config: NodeConfig;
  readonly #services: NodeServices;
  readonly #flows: NodeFlows;
  readonly #metadata: MetadataMemory;
  readonly #released: ReleasedParts;
  readonly #reading = new Turns();
  readonly #execs: Execs;
  #vitals: Vitals = UNKNOWN;
  #pcr11: string | null = null;
  #images: string | null = null;
  #book: OrderBook | null = null;
  #guard: Remembered | null = null;
  #node = '';
  #linked = false;
  /** Who near this node has a file, by its SHA-256: what the orchestrator said last, forgotten with this process. */
  #mirrors = new Map<string, readonly string[]>();
  #asking: Promise<void> | null = null;
  /** The last reason of each thing that failed: the same reason is logged once. */
  readonly #said = new Map<string, string>();

  constructor(parts: MemberParts) {
    this.#parts = parts;
    this.#waits = { ...WAITS, ...parts.waits };
    this.#execs = new Execs(parts.execs);
    const self = this;
    const mirrors = (sha256: string) => ({ addresses: this.#mirrors.get(sha256) ?? [] });
    this.#metadata = new MetadataMemory(join(parts.memory, 'releases'));
    this.#released = {
      root: parts.releaseRoot,
      machine: parts.machine,
      memory: this.#metadata,
      images: () => this.#images,
      now: () => parts.now(),
    };
    this.#release = new Release({
      get node() {
        return self.#node;
      },
      get running() {
        return self.#running();
      },
      order: () => this.#book?.inForce ?? null,
      health: () => healthOf(this.#vitals),
      ask: parts.askDisk,
      records: recordFile(join(parts.memory, 'release.json')),
      downloads: parts.downloads,
      mustBeReleased: (image, order, signal) => mustBeReleased(image, order, this.#released, signal),
      imageUrl: ({ version, sha256 }) => this.#images && `${this.#images}/${servedName(version, sha256)}`,
      mirrors,
      writeLists: () => parts.writeLists(),
      warn: (text) => parts.log.warn({}, text),
      restart: () => parts.restart(),
      installed: () => this.#keep(),
      now: () => parts.now(),
    });
    this.#probation = new Probation({
      release: this.#release,
      vitals: () => this.#vitals,
      reachable: () => parts.reachable(),
      reached: (link) => {
        this.#vitals = { ...this.#vitals, link };
      },
      attempt: (failed, work) => this.#attempt(failed, work),
      log: parts.log,
      uptime: () => parts.uptime(),
      well: this.#waits.well,
    });
    this.#ownLists = new OwnLists({
      renew: () => parts.renewLists(),
      attempt: (failed, work) => this.#attempt(failed, work),
      log: parts.log,
    });
    this.#config = new NodeConfig({
      ask: parts.askConfig,
      records: configFile(join(parts.memory, 'config.json')),
      order: () => this.#book?.inForce ?? null,
    });
    this.#services = new NodeServices({
      ...parts.services,
      secrets: new NodeSecrets({ ...parts.services.secrets, signal: parts.signal }),
      order: () => this.#book?.inForce ?? null,
      release: (service, order, signal) =>
        releasedTarget(bundleTarget(service), order, this.#released, signal),
      bundleUrl: (sha256) => this.#images && new URL(bundleUrlPath(sha256), this.#images).href,
      mirrors,
      downloads: join(parts.downloads, 'bundles'),
      log: parts.log,
      now: () => parts.now(),
      signal: parts.signal,
    });
    this.#flows = new NodeFlows({
      read: () => parts.flows(),
      hasBegun: () => parts.services.hasBegun(),
      versions: () => new Map(this.#services.told().map(({ name, runs }) => [name, runs])),
      uptime: () => parts.uptime(),
      log: parts.log,
      signal: parts.signal,
    });
  }

  get vitals(): Vitals {
    return this.#vitals;
  }

  /**
   * Once per start of the agent, before it looks for a server. Never throws, and waits for no disk that hangs: a node
   * without its disk is still a node.
   */
  async start(): Promise<void> {
    const { signal, log } = this.#parts;
    const begun = this.#begin().then(() => true);
    if ((await atMost(begun, this.#waits.start)) !== true)
      log.warn({}, 'the disk does not answer: going on without it');
    const timer = setInterval(() => void this.#probation.look(), this.#waits.look);
    signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  }

  async #begin(): Promise<void> {
    const { askDisk, log } = this.#parts;
    await this.#attempt('the state partition was not mounted', async () => {
      const { mounted, sealed, why } = await askDisk({ operation: 'state-mount' });
      if (!mounted) this.#ownLists.diskless();
      if (mounted && why !== '') log.warn({ sealed, why }, 'the state partition was not just opened');
    });
    // Only when a disk came late is there an order book already.
    await this.#book?.load();
    await this.#probation.find();
    await this.#config.start();
  }

  /** PCR 11 as it was quoted when this boot enrolled. */
  quoted(pcr11: string | undefined): void {
    this.#pcr11 = pcr11 ?? this.#pcr11;
  }

  /** @param notice the reason, when it is not */
  connected(connected: boolean, notice: string): void {
    this.#vitals = { ...this.#vitals, connected, notice };
    if (!connected) this.#probation.lost();
  }

  /** The fleet refuses the running image: an image on trial is left at the next check, and not started again. */
  barred(reason: string): void {
    this.#vitals = { ...this.#vitals, barred: reason };
  }

  /** The machine has its certificate: from now on it obeys its orders, and the link opens. */
  async approved(node: string): Promise<void> {
    if (this.#linked) return;
    const { orderKeys: keys, memory, now, socketPath, log, signal } = this.#parts;
    this.#node = node;
    const book =
      this.#book ??
      new OrderBook({
        ...{ node, keys, path: join(memory, 'order.json'), now },
        take: (envelope) => this.#take(envelope),
      });
    await this.#attempt('the TPM was not asked what it remembers', async () => {
      this.#guard = await this.#parts.orders.memory();
    });
    const isEmpty = this.#guard?.memory === 'empty';
    // An order may still come later; a disk that hangs must not keep the node from being a member.
    await atMost(book.load(), this.#waits.health);
    this.#book = book;
    if (isEmpty && book.inForce !== null)
      log.warn(
        { epoch: book.inForce.order.epoch },
        'the TPM remembers no orders, but this disk does: it was cleared',
      );
    await createLinkServer({ socketPath, handlers: this.#handlers(book), log, signal });
    // Only now: what failed above is tried again at the next approval.
    this.#linked = true;
    this.#services.start();
    void this.#flows.start();
  }

  /**
   * A heartbeat was accepted.
   * @param images URL below which the boot server has its images
   * @param secrets number of the last change of any secret there
   */
  heard(images: string | undefined, secrets?: number): void {
    this.#images = images ?? this.#images;
    this.#services.heard(secrets);
    this.connected(true, '');
    void this.#probation.settle();
    void this.#ownLists.bring();
  }

  /** Checks this machine's own health. Answers that come late are used when they come. */
  async refresh(): Promise<void> {
    this.#asking ??= this.#parts
      .failedUnits()
      .catch(() => null)
      .then((failedUnits) => {
        this.#vitals = { ...this.#vitals, failedUnits };
        this.#asking = null;
      });
    await atMost(this.#asking, this.#waits.health);
  }

  /** Read again at most so often: whoever asks in a flood costs no more than the answers. */
  #usage = seldom(USAGE_LIFE, async () => {
    const { usage, uptime, running } = this.#parts;
    return readUsage(usage, { bootId: running.bootId, at: uptime() }, this.#services.told());
  });

  #running(): Hello['running'] {
    return { ...this.#parts.running, pcr11: this.#pcr11 };
  }

  #handlers(book: OrderBook): LinkHandlers {
    const release = this.#release;
    const epoch = () => book.inForce?.order.epoch ?? 0;
    return {
      fence: () => ({ epoch: epoch(), bootId: this.#parts.running.bootId }),
      hello: ({ version }) => ({
        version: Math.min(version, LINK_VERSION),
        node: this.#node,
        running: this.#running(),
        epoch: epoch(),
        state: release.state,
      }),
      order: async ({ envelope }) => {
        const accepted = await book.accept(envelope);
        void this.#services.look();
        return accepted;
      },
      status: async () => ({
        ...(await release.status()),
        config: this.#config.status(),
        services: this.#services.status(),
        slices: true as const,
        ...(this.#services.shared && { shared: this.#services.shared }),
        ...(this.#guard === null ? {} : { guard: this.#guard }),
      }),
      // The numbers may be of a moment ago; the clock may not.
      usage: async () => ({ ...(await this.#usage()), clock: this.#parts.now() }),
      flows: (args) => this.#flows.answer(args),
      // Whoever waits no more gives their place on the link back: orders need one.
      logs: (args, { signal }) =>
        untilAborted(
          this.#reading.take(async () => {
            signal.throwIfAborted();
            return this.#parts.logs(args);
          }),
          signal,
        ),
      ...this.#execs.handlers,
      config: (args) => this.#config.config(args),
      mirrors: ({ files }) => {
        this.#mirrors = new Map(files.map(({ sha256, at }) => [sha256, at]));
        return {};
      },
      stage: (args, context) => release.stage(args, context),
      activate: (args) => release.activate(args),
      cancel: () => release.cancel(),
      forgive: (args) => release.forgive(args),
      restart: () => release.restart(),
    };
  }

  async #take(envelope: unknown): Promise<void> {
    const { memory, epoch, floor } = await this.#parts.orders.take(envelope);
    this.#guard = { memory, epoch, floor };
  }

  /** What was kept in memory is written to the partition that is now mounted in its place. */
  async #keep(): Promise<void> {
    await this.#attempt('orders and records were not kept', async () => {
      await this.#book?.keep();
      await this.#release.keep();
      await this.#metadata.keep();
      await this.#config.keep();
    });
  }

  async #attempt(failed: string, work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
      this.#said.delete(failed);
    } catch (error) {
      const reason = messageOf(error);
      if (this.#said.get(failed) !== reason) this.#parts.log.warn({ reason }, failed);
      this.#said.set(failed, reason);
    }
  }
}

/** Milliseconds. */
const USAGE_LIFE = 1_000;

/** Milliseconds. */
export type Waits = { look: number; start: number; health: number; well: number };

const WAITS: Waits = {
  /** Between two checks of the node's own health. */
  look: 10_000,
  /** Wait for the disk, before the agent continues without it: longer than mounting takes. */
  start: 120_000,
  /** Wait for systemd's answer about its units, before a heartbeat is sent with the last answer. */
  health: 10_000,
  /**
   * Time of uninterrupted health before an image is good: a unit may fail later, and its state is asked twice a minute.
   */
  well: 45_000,
};
