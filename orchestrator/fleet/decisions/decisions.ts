/**
 * Redis holds the fast copy of what people and policies have decided. What counts is the log of decisions, of which every
 * server has a copy on its disk and which only servers can write: a record that disagrees with it is not believed.
 */
import type { Redis } from 'ioredis';
import { BootwaveError } from '../../../base/error.ts';
import type { By } from '../acting.ts';
import { modelOf } from '../attestation.ts';
import type { BanSet } from '../bans/set.ts';
import { type Change, type Committed, commit, type RecordChange } from '../commit.ts';
import type { NodeRecord } from '../record.ts';
import { type Entry, type Membership, sealDecided, sealMembership } from './entry.ts';
import { type HeldAs, heldAs, sameAs } from './held-as.ts';
import { DecidedIncidents } from './incidents.ts';
import { appendOp } from './log.ts';
import { believed, placeOf, placeText } from './place.ts';
import { DecidedReservations } from './reservations.ts';
import { DecidedRestraints } from './restraints.ts';
import { DecidedRollouts, type RolloutDecision, rolloutEpoch, rolloutKey } from './rollouts.ts';
import type { Sealer } from './seal.ts';
import type { Decision, Standing } from './standing.ts';

/** This machine's copy of the log. */
export type Source = {
  set: BanSet;
  /** Reads what is new in Redis. */
  look(): Promise<void>;
  /** @throws BootwaveError `DECISIONS_DISK`: these bytes could not be written */
  room(bytes: number): Promise<void>;
  /** In force and on the disk when it resolves. */
  keep(entry: Entry): Promise<void>;
  /** Once for each thing that disagrees. */
  disagrees(what: string): void;
};

/** A record as it is believed. `found`: what a change of it has to expect in Redis. */
export type Stored = { body: string | null; found: { state: string; epoch: number } | null };

/** Milliseconds for which the key on disk is not read again. */
const FRESH = 10_000;

const attached = new WeakMap<Redis, Decisions>();

/** Those that a process keeps beside this connection; undefined: it keeps no log. */
export const decisionsOf = (redis: Redis): Decisions | undefined => attached.get(redis);

/** As `commit`, with what is decided by it where the process keeps the log of decisions. */
export function commitDecided(
  redis: Redis,
  change: Change,
  decisions: readonly Decision[],
): Promise<Committed> {
  return decisionsOf(redis)?.commit(change, decisions) ?? commit(redis, change);
}

const NOTHING_KNOWN = new DecidedRollouts();
const NO_INCIDENTS = new DecidedIncidents();
const NOTHING_RESTRAINED = new DecidedRestraints();
const NOTHING_RESERVED = new DecidedReservations();

export class Decisions {
  readonly #redis: Redis;
  readonly #sealer: Sealer;
  #source: Source | null = null;
  #seal: { read: Promise<(text: string) => string>; at: number } | null = null;

  constructor(redis: Redis, sealer: Sealer) {
    this.#redis = redis;
    this.#sealer = sealer;
  }

  /** Until then, and until a person has confirmed what Redis holds, Redis is believed. */
  attach(source: Source): void {
    this.#source = source;
    attached.set(this.#redis, this);
  }

  /** What this process knows of decisions about rollouts. */
  get rollouts(): DecidedRollouts {
    return this.#source?.set.decided.rollouts ?? NOTHING_KNOWN;
  }

  /** Of which the log on this server's disk tells. */
  get incidents(): Pick<DecidedIncidents, 'of' | 'holding' | 'all'> {
    return this.#source?.set.decided.incidents ?? NO_INCIDENTS;
  }

  /** The same about services that do harm. */
  get restraints(): DecidedRestraints {
    return this.#source?.set.decided.restraints ?? NOTHING_RESTRAINED;
  }

  /** The same about more of nodes for some hours. */
  get reservations(): DecidedReservations {
    return this.#source?.set.decided.reservations ?? NOTHING_RESERVED;
  }

  /** Reads what others have decided, and has it on the disk. */
  async look(): Promise<void> {
    await this.#source?.look();
  }

  /** A ban that was just committed: in force here and on the disk when it resolves, whatever Redis does with it. */
  async keep(entry: Entry): Promise<void> {
    await this.#source?.keep(entry);
  }

  /** What is known of bans, also of one of a moment ago; null: this process keeps no log. */
  async bans(): Promise<BanSet | null> {
    await this.look();
    return this.#source?.set ?? null;
  }

  /** Whether machines may be given this image: somebody has decided that, or decisions about rollouts have not begun. */
  async gave(version: string): Promise<boolean> {
    const may = () => !this.rollouts.begun || this.rollouts.gave(version);
    // Another server may have decided a moment ago.
    if (!may()) await this.look();
    return may();
  }

  /** What Redis says about this is not believed; logged once. */
  disagrees(what: string): void {
    this.#source?.disagrees(what);
  }

  /** Whether Redis is believed no more. */
  get confirmed(): boolean {
    return this.#standing !== null;
  }

  get #standing(): Standing | null {
    const decided = this.#source?.set.decided;
    return decided?.confirmed == null ? null : decided;
  }

  /**
   * The next decision about a node that has the place `after`, or no place, from now on; null: nothing was decided.
   * @param shown what it has just proved, as a member
   */
  placed(
    before: NodeRecord | null,
    after: NodeRecord,
    by: By,
    reason: string,
    shown?: HeldAs,
  ): Membership | null {
    const place = placeOf(after);
    const known = this.#source?.set.decided.node(after.id);
    const as = place === null ? undefined : heldAs(known, modelOf(after), shown);
    const isMore = shown !== undefined && !sameAs(as, known?.as);
    if (placeText(placeOf(before)) === placeText(place) && !isMore) return null;
    const number = (known?.number ?? 0) + 1;
    const held = as === undefined ? {} : { as };
    return sealMembership({ kind: 'membership', ...by, reason, node: after.id, number, place, ...held });
  }

  /** What a member is held against; undefined: that was not decided. */
  heldAs(id: string): HeldAs | undefined {
    return this.#standing?.node(id)?.as;
  }

  /** Whether what Redis says about that is believed no more. */
  get holds(): boolean {
    return this.confirmed && this.rollouts.configs.begun;
  }

  /** Models of all members of which that was decided, by id. */
  get models(): Map<string, string> {
    return new Map(this.#standing?.held.map(({ node, as }) => [node, as!.model]));
  }

  /** Whether somebody has let it in, and nobody has put it out since: whatever its record says. */
  isMember(id: string): boolean {
    return this.#standing?.node(id)?.place != null;
  }

  /** Id of the member to which people gave this name, in small letters; undefined: none has it, or that was not decided. */
  named(name: string): string | undefined {
    return this.#standing?.named(name);
  }

  /** When a node was put out last, milliseconds since the epoch; 0: it never was. */
  putOutAt(id: string): number {
    return this.#standing?.putOutAt(id) ?? 0;
  }

  /** A decision that is a whole record. */
  record({ key, next }: RecordChange, { actor, at }: By, reason: string): Decision {
    const { epoch, body } = next;
    return sealDecided({ kind: 'record', actor, at, reason, key, epoch, body });
  }

  rollout(id: string, decision: RolloutDecision, { actor, at }: By, reason: string): Decision {
    const [key, epoch] = [rolloutKey(id), rolloutEpoch(decision)];
    const body = JSON.stringify(decision);
    return sealDecided({ kind: 'record', actor, at, reason, key, epoch, body });
  }

  /**
   * As `commit`, with the decisions that are made by it. They are on this machine's disk when it resolves.
   * @throws BootwaveError `DECISIONS_DISK`, and nothing was committed; `DECISIONS_UNWRITTEN`
   */
  async commit(change: Change, decisions: readonly Decision[] = []): Promise<Committed> {
    const source = this.#source;
    if (source === null || decisions.length === 0) return commit(this.#redis, change);
    const seal = await this.#sealed();
    // Before anything is confirmed a decision without a seal counts as what stands in Redis does.
    if (seal === null) return commit(this.#redis, change);
    const ops = decisions.map((entry) => appendOp(entry, seal(entry.text)));
    await source.room(decisions.reduce((sum, { text }) => sum + Buffer.byteLength(text) + 1, 0));
    const done = await commit(this.#redis, { ...change, ops: [...(change.ops ?? []), ...ops] });
    if (done.result === 'done') await Promise.all(decisions.map((entry) => source.keep(entry)));
    return done;
  }

  async node(record: NodeRecord): Promise<NodeRecord> {
    return (await this.nodes([record]))[0]!;
  }

  /** Records as they are believed; the very same ones where nothing disagrees. */
  async nodes(records: readonly NodeRecord[]): Promise<NodeRecord[]> {
    const standing = this.#standing;
    if (standing === null) return [...records];
    const judged = () => records.map((record) => believed(record, standing.node(record.id)));
    let all = judged();
    // Another server may have decided a moment ago.
    const isOlder = (record: NodeRecord) => record.decided > (standing.node(record.id)?.number ?? 0);
    if (records.some((record, i) => all[i] !== record || isOlder(record))) {
      await this.#source?.look();
      all = judged();
    }
    for (const [i, record] of records.entries())
      if (all[i] !== record) this.#source?.disagrees(`node ${record.id}`);
    return all;
  }

  /** @param key of a record that is a decision as a whole */
  async stored(key: string): Promise<Stored> {
    const [body = null, state = null, epoch = null] = await this.#redis.hmget(key, 'body', 'state', 'epoch');
    const found = state === null ? null : { state, epoch: Number(epoch) };
    return { body: await this.body(key, body), found };
  }

  /** The body of a record as it is believed, of what stands in Redis. */
  async body(key: string, inRedis: string | null): Promise<string | null> {
    const standing = this.#standing;
    if (standing === null) return inRedis;
    const decided = () => standing.record(key)?.body ?? null;
    if (decided() === inRedis) return inRedis;
    await this.#source?.look();
    if (decided() !== inRedis) this.#source?.disagrees(key);
    return decided();
  }

  /** Names of such records that were decided on and may be missing in Redis. @param key of the record with this name */
  names(key: (name: string) => string): string[] {
    const beginning = key('');
    return (this.#standing?.keys(beginning) ?? []).map((found) => found.slice(beginning.length));
  }

  /** Null: there is no key here, and none is needed yet. @throws BootwaveError `KEYS_MISSING` */
  async #sealed(): Promise<((text: string) => string) | null> {
    const now = performance.now();
    if (this.#seal === null || now - this.#seal.at > FRESH) this.#seal = { read: this.#sealer(), at: now };
    try {
      return await this.#seal.read;
    } catch (error) {
      this.#seal = null;
      if (this.#standing === null && error instanceof BootwaveError && error.code === 'KEYS_MISSING')
        return null;
      throw error;
    }
  }
}
