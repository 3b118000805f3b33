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

/** Lines of the log that a start may read beside those of the snapshot, before a server writes another one. */
const SNAPSHOT = 500;

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
  /** All that stood in Redis once was compared since this process began. */
  #compared = false;
  /** That no snapshot can be written was said. */
  #complained = false;
  /** Something in Redis was not believed, or not understood. A later start may know better, and looks at all of it. */
  #ignored = false;
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
    const { entries, torn, older, tip, unused } = await options.journal.read();
    keeper.#imports = older;
    if (tip !== null && !older) {
      keeper.#tip = tip;
      keeper.#looked = true;
    }
    if (unused !== null && entries.length >= SNAPSHOT)
      options.log.warn(
        { code: 'DECISIONS_SNAPSHOT', file: options.journal.path, reason: unused },
        'the snapshot of the log of decisions is not used, and all of the log is read',
      );
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

  room(bytes: number): Promise<void> {
    return this.#options.journal.room(bytes);
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

  /**
   * Compares all of Redis with what is known here. A start that has a snapshot looks only at what is new there; this is for
   * afterwards. Others act meanwhile. @throws the error of Redis or of the disk
   */
  async compare(signal: AbortSignal): Promise<void> {
    if (this.#compared) return;
    const known = new Set(this.set.entries.map(({ id }) => id));
    const there = new Set<string>();
    for await (const found of this.#options.fleet.decisionLog.pages()) {
      if (signal.aborted) return;
      this.#learn(await this.#sound(found, there));
    }
    const repaired = this.#turn.then(async () => {
      await this.#repair(there, known);
      await this.#write();
    });
    this.#turn = repaired.catch(() => {});
    await repaired;
    this.#compared = true;
  }

  /** Lets a later start read less. What fails is logged; nothing depends on it. */
  async keepSnapshot(): Promise<void> {
    const { journal, log } = this.#options;
    const kept = this.#turn.then(async () => {
      if (!this.#looked || this.#unwritten.size > 0 || (await journal.sinceSnapshot()) < SNAPSHOT) return;
      await journal.snapshot(this.#ignored ? null : this.#tip);
    });
    this.#turn = kept.catch((error: unknown) => {
      if (!this.#complained)
        log.warn(
          { code: 'DECISIONS_SNAPSHOT', file: journal.path, reason: messageOf(error) },
          'no snapshot of the log of decisions can be written; the log itself is whole',
        );
      this.#complained = true;
    });
    await this.#turn;
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
      ({ whole } = read);
      const there = whole ? new Set<string>() : undefined;
      this.#ignored = (this.#ignored && !whole) || read.unread > 0;
      this.#learn(await this.#sound(read.found, there));
      for (const { entry } of read.found)
        for (const expected of [this.#added, this.#unseen]) expected.delete(entry.id);
      if (there !== undefined) await this.#repair(there);
      this.#tip = read.tip;
      this.#looked = true;
      this.#compared ||= whole;
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

  /**
   * Without what nobody of this fleet signed, and what changes nothing.
   * @param there gets the ids of those that count and that a server would believe that reads them for the first time
   */
  async #sound(found: readonly Found[], there?: Set<string>): Promise<Entry[]> {
    const { holds, sealed } = this.#options;
    const sound: Entry[] = [];
    for (const { entry, seal } of found) {
      const isKnown = this.set.has(entry);
      if (isKnown ? there === undefined : !this.set.isNews(entry)) continue;
      const isLift = entry.kind === 'lift';
      const isSealed = isLift || (await sealed(entry.text, seal));
      if (isSealed) there?.add(entry.id);
      const isImported = this.#imports && seal === '' && !isDecision(entry);
      if (isKnown) continue;
      if (isLift ? await holds(entry, this.#now()) : isSealed || isImported) sound.push(entry);
      else this.#ignore(entry);
    }
    return sound;
  }

  #ignore(entry: Entry): void {
    this.#ignored = true;
    if (this.#forged.has(entry.id) || this.#forged.size >= NAMED) return;
    this.#forged.add(entry.id);
    const what =
      entry.kind === 'lift'
        ? 'a lift that two people did not sign is ignored'
        : 'an entry of the log of decisions that no server of this fleet signed is ignored: who can write to Redis?';
    this.#options.log.error({ code: 'BAN_LOG_FORGED', [entry.kind]: entry.id }, what);
  }

  /** Adds to Redis what it lacks, of `known` or of all, and fences banned machines that are members there. */
  async #repair(there: ReadonlySet<string>, known?: ReadonlySet<string>): Promise<void> {
    const { fleet, log } = this.#options;
    await this.#putBack(this.set.entries.filter(({ id }) => !there.has(id) && known?.has(id) !== false));
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
