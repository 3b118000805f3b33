import { messageOf } from '../../../base/error.ts';
import type { Logger } from '../../../base/log.ts';
import type { BanList, Bearer } from '../../../bootserver/enroll/bans.ts';
import { refence, restore } from '../bans/act.ts';
import { BanSet } from '../bans/set.ts';
import type { Fleet } from '../fleet.ts';
import { putBackDecisions } from './append.ts';
import type { Ban, Entry, Lift } from './entry.ts';
import type { DecisionJournal } from './journal.ts';
import type { Found, Tip } from './log.ts';
import type { SealJudge } from './seal.ts';
import { isDecision } from './standing.ts';

export type KeeperOptions = {
  fleet: Fleet;
  journal: DecisionJournal;
  /**
   * Whether two people signed it (`orchestrator/operators/lifts.ts`): somebody who can write to Redis can add any line.
   * `counting`: now, in milliseconds since the epoch; null for entries of this machine's own journal, which were
   * checked already.
   */
  holds: (lift: Lift, counting: number | null) => Promise<boolean>;
  /** Whether a server of this fleet wrote an entry of another kind (`seal.ts`). */
  sealed: SealJudge;
  log: Logger;
  /** Milliseconds since the epoch. */
  now?: () => number;
};

/** Forged entries that are named in the log: who writes to Redis must not fill it. */
const NAMED = 100;

/** The actor to whom restored bans are attributed. */
const ACTOR = 'bans';

/**
 * What one process knows of the bans: the union of its own journal and of the log in Redis, which it keeps equal.
 * What is missing on either side is added there; nothing is ever removed, so a Redis that was restored to an older
 * state learns again from every server what it has lost.
 */
export class DecisionKeeper implements BanList {
  readonly set = new BanSet();
  readonly #options: KeeperOptions;
  readonly #listeners: ((bans: readonly Ban[]) => void)[] = [];
  readonly #others: ((entries: readonly Entry[]) => void)[] = [];
  /** Entries that nobody of this fleet signed; logged once. */
  readonly #forged = new Set<string>();
  /** Known, and not yet in the journal. */
  readonly #unwritten = new Map<string, Entry>();
  /** Added by this process just now: a read that has begun may not find it in Redis yet. */
  readonly #added = new Map<string, Entry>();
  /** The same, and the next read should find it: from then on its loss is seen as any other. */
  readonly #unseen = new Map<string, Entry>();
  #tip: Tip | null = null;
  #looked = false;
  /** The journal is older than seals: what stands in Redis when it is first read is taken as it is. */
  #imports = false;
  /** One read after the other. */
  #turn: Promise<void> = Promise.resolve();

  private constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** Loads what the journal contains. */
  static async open(options: KeeperOptions): Promise<DecisionKeeper> {
    const keeper = new DecisionKeeper(options);
    const { entries, torn, older } = await options.journal.read();
    keeper.#imports = older;
    if (torn > 0)
      options.log.warn({ file: options.journal.path, torn }, 'lines of the log of decisions cannot be read');
    for (const entry of entries) {
      if (entry.kind !== 'lift' || (await options.holds(entry, null))) keeper.set.add(entry);
      else keeper.#ignore(entry);
    }
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

  /**
   * What this process has just added itself: in force and in the journal when it resolves, whatever becomes of it in Redis.
   * There the next look puts it back if it is missing.
   */
  keep(entry: Entry): Promise<void> {
    if (!this.set.has(entry)) this.#added.set(entry.id, entry);
    this.#learn([entry]);
    const kept = this.#turn.then(async () => {
      if (this.#added.delete(entry.id)) this.#unseen.set(entry.id, entry);
      // Of many that wait here the first writes for all.
      await this.#write();
    });
    this.#turn = kept.catch(() => {});
    return kept;
  }

  /** What Redis says about this is not believed; logged once. */
  disagrees(what: string): void {
    if (this.#forged.has(what) || this.#forged.size >= NAMED) return;
    this.#forged.add(what);
    this.#options.log.error(
      { code: 'RECORD_DISAGREES', record: what },
      'Redis says something else about it than was decided; what was decided counts',
    );
  }

  async #look(): Promise<void> {
    const { decisionLog } = this.#options.fleet;
    const tip = await decisionLog.tip();
    let whole = false;
    if (!this.#looked || tip?.key !== this.#tip?.key || tip?.text !== this.#tip?.text) {
      const read = await decisionLog.read(this.#looked ? this.#tip : null);
      this.#learn(await this.#sound(read.found));
      for (const { entry } of read.found)
        for (const expected of [this.#added, this.#unseen]) expected.delete(entry.id);
      ({ whole } = read);
      if (whole) await this.#repair(read.found);
      this.#tip = read.tip;
      this.#looked = true;
      if (this.#imports) await this.#write().then(() => this.#options.journal.markSealed());
      this.#imports = false;
    }
    if (!whole) await this.#putBack([...this.#unseen.values()]);
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

  /** Without what nobody of this fleet signed. */
  async #sound(found: readonly Found[]): Promise<Entry[]> {
    const sound: Entry[] = [];
    for (const { entry, seal } of found) {
      if (this.set.has(entry) || (await this.#isOurs(entry, seal))) sound.push(entry);
      else this.#ignore(entry);
    }
    return sound;
  }

  async #isOurs(entry: Entry, seal: string): Promise<boolean> {
    const { holds, sealed } = this.#options;
    if (entry.kind === 'lift') return holds(entry, this.#now());
    return (this.#imports && seal === '' && !isDecision(entry)) || sealed(entry.text, seal);
  }

  #ignore(entry: Entry): void {
    if (this.#forged.has(entry.id) || this.#forged.size >= NAMED) return;
    this.#forged.add(entry.id);
    const what =
      entry.kind === 'lift'
        ? 'a lift that two people did not sign is ignored'
        : 'an entry of the log of decisions that no server of this fleet signed is ignored: who can write to Redis?';
    this.#options.log.error({ code: 'BAN_LOG_FORGED', [entry.kind]: entry.id }, what);
  }

  /** Adds to Redis what it lacks, and fences banned machines that are members there. */
  async #repair(found: readonly Found[]): Promise<void> {
    const { fleet, log, sealed } = this.#options;
    const there = new Set<string>();
    // One without a seal is believed by nobody who reads it for the first time.
    for (const { entry, seal } of found)
      if (entry.kind === 'lift' || (await sealed(entry.text, seal))) there.add(entry.id);
    await this.#putBack(this.set.entries.filter(({ id }) => !there.has(id)));
    for (const entry of this.set.bans) {
      if (!there.has(entry.id) || this.set.isLifted(entry.id)) continue;
      const by = { actor: ACTOR, at: this.#now() };
      if (await refence(fleet, entry, by)) log.warn({ ban: entry.id }, 'a banned node was a member');
    }
  }

  async #putBack(entries: readonly Entry[]): Promise<void> {
    const { fleet, log } = this.#options;
    const by = { actor: ACTOR, at: this.#now() };
    const decisions = entries.filter(isDecision);
    if (decisions.length > 0) {
      log.warn({ decisions: decisions.length }, 'Redis has lost decisions; they are put back');
      await putBackDecisions(fleet, decisions, by);
    }
    for (const entry of entries) {
      if (isDecision(entry)) continue;
      log.warn({ [entry.kind]: entry.id }, 'Redis has lost an entry of the log of decisions; it is put back');
      await restore(fleet, this.set, entry, by);
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
export async function watchDecisions(
  keeper: DecisionKeeper,
  fleet: Fleet,
  options: WatchOptions,
): Promise<void> {
  const { signal, log, every = EVERY } = options;
  let wake = () => {};
  let woken = false;
  const unsubscribe = await fleet.decisionLog
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
