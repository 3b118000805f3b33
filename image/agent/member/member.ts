/**
 * What this machine is beyond its certificate: the image on its disk, the orders that it obeys, and the link over which
 * the orchestrator asks. Lives as long as the agent; the link opens when the machine is a member.
 */
import { join } from 'node:path';
import { atMost } from '../../../base/wait.ts';
import { type Assembled, assemble, type MemberParts } from './assemble.ts';
import { Complaints } from './complaints.ts';
import { type Known, NOTHING_KNOWN } from './known.ts';
import { answers } from './link/answers.ts';
import { createLinkServer } from './link/server.ts';
import { OrderBook } from './order-book.ts';
import type { Vitals } from './vitals.ts';

export class Member {
  readonly #parts: MemberParts;
  readonly #waits: Waits;
  readonly #known: Known = { ...NOTHING_KNOWN };
  readonly #complaints: Complaints;
  readonly #made: Assembled;
  #linked = false;
  #asking: Promise<void> | null = null;

  /** @param waits for tests */
  constructor(parts: MemberParts, waits?: Partial<Waits>) {
    this.#parts = parts;
    this.#waits = { ...WAITS, ...waits };
    this.#complaints = new Complaints(parts.log);
    this.#made = assemble(parts, this.#known, this.#complaints, this.#waits.well);
  }

  get vitals(): Vitals {
    return this.#known.vitals;
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
    const timer = setInterval(() => void this.#made.probation.look(), this.#waits.look);
    signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  }

  async #begin(): Promise<void> {
    const { askDisk, log } = this.#parts;
    await this.#complaints.attempt('the state partition was not mounted', async () => {
      const { mounted, sealed, why } = await askDisk({ operation: 'state-mount' });
      if (!mounted) this.#made.ownLists.diskless();
      if (mounted && why !== '') log.warn({ sealed, why }, 'the state partition was not just opened');
    });
    // Only when a disk came late is there an order book already.
    await this.#known.book?.load();
    await this.#made.probation.find();
    await this.#made.config.start();
  }

  /** PCR 11 as it was quoted when this boot enrolled. */
  quoted(pcr11: string | undefined): void {
    this.#known.pcr11 = pcr11 ?? this.#known.pcr11;
  }

  /** @param notice the reason, when it is not */
  connected(connected: boolean, notice: string): void {
    this.#known.vitals = { ...this.#known.vitals, connected, notice };
    if (!connected) this.#made.probation.lost();
  }

  /** The fleet refuses the running image: an image on trial is left at the next check, and not started again. */
  barred(reason: string): void {
    this.#known.vitals = { ...this.#known.vitals, barred: reason };
  }

  /** The machine has its certificate: from now on it obeys its orders, and the link opens. */
  async approved(node: string): Promise<void> {
    if (this.#linked) return;
    const { orderKeys: keys, memory, now, socketPath, log, signal } = this.#parts;
    this.#known.node = node;
    const book =
      this.#known.book ??
      new OrderBook({
        ...{ node, keys, path: join(memory, 'order.json'), now },
        take: (envelope) => this.#take(envelope),
      });
    await this.#complaints.attempt('the TPM was not asked what it remembers', async () => {
      this.#known.guard = await this.#parts.orders.memory();
    });
    const isEmpty = this.#known.guard?.memory === 'empty';
    // An order may still come later; a disk that hangs must not keep the node from being a member.
    await atMost(book.load(), this.#waits.health);
    this.#known.book = book;
    if (isEmpty && book.inForce !== null)
      log.warn(
        { epoch: book.inForce.order.epoch },
        'the TPM remembers no orders, but this disk does: it was cleared',
      );
    const handlers = answers(this.#parts, this.#known, book, this.#made);
    await createLinkServer({ socketPath, handlers, log, signal });
    // Only now: what failed above is tried again at the next approval.
    this.#linked = true;
    this.#made.services.start();
    void this.#made.flows.start();
  }

  /**
   * A heartbeat was accepted.
   * @param images URL below which the boot server has its images
   * @param secrets number of the last change of any secret there
   */
  heard(images: string | undefined, secrets?: number): void {
    this.#known.images = images ?? this.#known.images;
    this.#made.services.heard(secrets);
    this.connected(true, '');
    void this.#made.probation.settle();
    void this.#made.ownLists.bring();
  }

  /** Checks this machine's own health. Answers that come late are used when they come. */
  async refresh(): Promise<void> {
    this.#asking ??= this.#parts
      .failedUnits()
      .catch(() => null)
      .then((failedUnits) => {
        this.#known.vitals = { ...this.#known.vitals, failedUnits };
        this.#asking = null;
      });
    await atMost(this.#asking, this.#waits.health);
  }

  async #take(envelope: unknown): Promise<void> {
    const { memory, epoch, floor } = await this.#parts.orders.take(envelope);
    this.#known.guard = { memory, epoch, floor };
  }
}

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
