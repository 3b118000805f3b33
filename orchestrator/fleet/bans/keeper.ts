import { messageOf } from '../../../base/error.ts';
import type { Logger } from '../../../base/log.ts';
import type { BanList, Bearer } from '../../../bootserver/enroll/bans.ts';
import type { Fleet } from '../fleet.ts';
import { refence, restore } from './act.ts';
import type { Ban, Entry, Lift } from './entry.ts';
import type { BanJournal } from './journal.ts';
import type { Tip } from './log.ts';
import { BanSet } from './set.ts';

export type KeeperOptions = {
  fleet: Fleet;
  journal: BanJournal;
  /**
   * Whether two people signed it (`orchestrator/operators/lifts.ts`): somebody who can write to Redis can add any line.
   * `counting`: now, in milliseconds since the epoch; null for entries of this machine's own journal, which were
   * checked already.
   */
  holds: (lift: Lift, counting: number | null) => Promise<boolean>;
  log: Logger;
  /** Milliseconds since the epoch. */
  now?: () => number;
};

/** The actor to whom restored bans are attributed. */
const ACTOR = 'bans';

/**
 * What one process knows of the bans: the union of its own journal and of the log in Redis, which it keeps equal.
 * What is missing on either side is added there; nothing is ever removed, so a Redis that was restored to an older
 * state learns again from every server what it has lost.
 */
export class BanKeeper implements BanList {
  readonly set = new BanSet();
  readonly #options: KeeperOptions;
  readonly #listeners: ((bans: readonly Ban[]) => void)[] = [];
  readonly #others: ((entries: readonly Entry[]) => void)[] = [];
  /** Lifts without valid signatures; logged once. */
  readonly #forged = new Set<string>();
  /** Known, and not yet in the journal. */
  readonly #unwritten = new Map<string, Entry>();
  #tip: Tip | null = null;
  #looked = false;
  /** One read after the other. */
  #turn: Promise<void> = Promise.resolve();

  private constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** Loads what the journal contains. */
  static async open(options: KeeperOptions): Promise<BanKeeper> {
    const keeper = new BanKeeper(options);
    const { entries, torn } = await options.journal.read();
    if (torn > 0)
      options.log.warn({ file: options.journal.path, torn }, 'lines of the log of bans cannot be read');
    for (const entry of await keeper.#sound(entries, null)) keeper.set.add(entry);
    return keeper;
  }

  banOf(bearer: Bearer): Ban | null {
    return this.set.banOf(bearer);
  }

  onBan(listener: (bans: readonly Ban[]) => void): void {
    this.#listeners.push(listener);
  }

  /** `listener` is called with everything that is new, bans and other entries. */
  onEntry(listener: (entries: readonly Entry[]) => void): void {
    this.#others.push(listener);
  }

  /**
   * Reads what is new. One cheap question when nothing is.
   * @throws the error of Redis or of the disk; what was read still counts, and the rest is read next time
   */
  look(): Promise<void> {
    const look = this.#turn.then(() => this.#look());
    this.#turn = look.catch(() => {});
    return look;
  }

  async #look(): Promise<void> {
    const { bans } = this.#options.fleet;
    const tip = await bans.tip();
    if (!this.#looked || tip?.key !== this.#tip?.key || tip?.text !== this.#tip?.text) {
      const read = await bans.read(this.#tip);
      this.#learn(await this.#sound(read.entries, this.#now()));
      if (read.whole) await this.#repair(new Set(read.entries.map(({ id }) => id)));
      this.#tip = read.tip;
      this.#looked = true;
    }
    await this.#write();
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }

  /** Refuses at once, and writes afterwards. */
  #learn(entries: readonly Entry[]): void {
    const fresh = entries.filter((entry) => this.set.add(entry));
    for (const entry of fresh) this.#unwritten.set(entry.id, entry);
    const bans = fresh.filter((entry) => entry.kind === 'ban');
    if (bans.length > 0) for (const listener of this.#listeners) listener(bans);
    if (fresh.length > 0) for (const listener of this.#others) listener(fresh);
  }

  /** Without lifts that have no valid signatures. */
  async #sound(entries: readonly Entry[], counting: number | null): Promise<Entry[]> {
    const sound: Entry[] = [];
    for (const entry of entries) {
      if (entry.kind !== 'lift' || this.set.has(entry.id) || (await this.#options.holds(entry, counting)))
        sound.push(entry);
      else if (!this.#forged.has(entry.id)) {
        this.#forged.add(entry.id);
        this.#options.log.error(
          { lift: entry.id, ban: entry.ban },
          'a lift that two people did not sign is ignored',
        );
      }
    }
    return sound;
  }

  /** Adds to Redis what it lacks, and fences banned machines that are members there. */
  async #repair(there: ReadonlySet<string>): Promise<void> {
    const { fleet, log } = this.#options;
    const by = { actor: ACTOR, at: this.#now() };
    for (const entry of this.set.entries) {
      if (!there.has(entry.id)) {
        log.warn({ [entry.kind]: entry.id }, 'Redis has lost an entry of the log of bans; it is put back');
        await restore(fleet, this.set, entry, by);
      } else if (entry.kind === 'ban' && !this.set.isLifted(entry.id)) {
        if (await refence(fleet, entry, by)) log.warn({ ban: entry.id }, 'a banned node was a member');
      }
    }
  }

  async #write(): Promise<void> {
    const entries = [...this.#unwritten.values()];
    await this.#options.journal.append(entries);
    for (const { id } of entries) this.#unwritten.delete(id);
  }
}

export type WatchOptions = {
  signal: AbortSignal;
  log: Logger;
  /** Milliseconds between two reads when no message comes. */
  every?: number;
};

/** Half of the second within which a ban must take effect, in case the message about it was lost. */
const EVERY = 500;

/** Keeps a keeper up to date until the signal fires: at once after a message, and regularly without one. */
export async function watchBans(keeper: BanKeeper, fleet: Fleet, options: WatchOptions): Promise<void> {
  const { signal, log, every = EVERY } = options;
  let wake = () => {};
  let woken = false;
  const unsubscribe = await fleet.bans
    .subscribe(() => {
      woken = true;
      wake();
    })
    .catch((error: unknown) => {
      log.warn({ reason: messageOf(error) }, 'bans are looked up only from time to time');
      return async () => {};
    });
  const rest = () =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, every);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
      if (woken || signal.aborted) wake();
    });
  signal.addEventListener('abort', () => wake(), { once: true });
  let failed = false;
  while (!signal.aborted) {
    woken = false;
    try {
      await keeper.look();
      failed = false;
    } catch (error) {
      if (!failed)
        log.error({ reason: messageOf(error) }, 'bans cannot be looked up; those known still count');
      failed = true;
    }
    await rest();
  }
  await unsubscribe();
}
