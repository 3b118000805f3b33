/**
 * What the services of this node have sent: read of the kernel about once a minute, through root, and told to the server that
 * asks. A server that is away for long gets sums over longer times, and no less.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Flows, FlowsArgs } from '../../../../protocol/link/flows.ts';
import { Complaints } from '../complaints.ts';
import type { LinkLog } from '../link/server.ts';
import { FlowBook } from './flow-book.ts';
import { countedFlows } from './kernel-text.ts';

export type FlowsParts = {
  /** What root says: text of nft(8). */
  read(): Promise<string>;
  /** Whether root has begun any service in this boot. */
  hasBegun(): Promise<boolean>;
  /** Versions that run now, by name of service. */
  versions(): ReadonlyMap<string, string | null>;
  /** Milliseconds since the boot. */
  uptime(): number;
  log: LinkLog;
  signal: AbortSignal;
};

/** Milliseconds between two looks, a tenth more or less; and after one, before whoever asks has it look again. */
const EVERY = 60_000;
const FRESH = 5_000;

export class NodeFlows {
  readonly #parts: FlowsParts;
  readonly #book = new FlowBook(randomUUID());
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | null = null;
  readonly #complaints: Complaints;

  constructor(parts: FlowsParts) {
    this.#parts = parts;
    this.#complaints = new Complaints(parts.log);
  }

  /** Runs until the signal aborts. Never rejects. */
  async start(): Promise<void> {
    const { signal } = this.#parts;
    while (!signal.aborted) {
      await this.#look();
      await sleep(EVERY * (0.9 + 0.2 * Math.random()), undefined, { signal }).catch(() => {});
    }
  }

  /** What a look could not find is missing in it, and its times say so. */
  async answer(args: FlowsArgs): Promise<Flows> {
    if (this.#parts.uptime() - this.#lookedAt >= FRESH) await this.#look();
    return this.#book.answer(args, this.#now());
  }

  #now(): number {
    return Math.floor(this.#parts.uptime());
  }

  #look(): Promise<void> {
    this.#looking ??= this.#read().finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  async #read(): Promise<void> {
    const { hasBegun, read, versions } = this.#parts;
    this.#lookedAt = this.#parts.uptime();
    // What is sent while it is read may be missing in it.
    const at = this.#now();
    await this.#complaints.attempt('it was not read what services have sent', async () => {
      const flows = (await hasBegun()) ? countedFlows(await read()) : [];
      if (flows === null) throw new Error('root gave no answer of nft');
      this.#book.look(flows, at, versions());
    });
  }
}
