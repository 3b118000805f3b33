import type { Redis } from 'ioredis';
import { BootwaveError, refusal } from '../../base/error.ts';
import { isPlaceholder, macOf, serialKey } from '../../formats/identifiers.ts';
import { bodiesOf } from '../redis/bodies.ts';
import { auditLine } from './audit/audit.ts';
import type { AuditEntry } from './audit/entry.ts';
import type { Op, RecordChange } from './commit.ts';
import type { Decisions } from './decisions/decisions.ts';
import type { HeldAs } from './decisions/held-as.ts';
import type { Decision } from './decisions/standing.ts';
import { indexOps, scriptFields } from './indexes.ts';
import { KEYS } from './keys.ts';
import { contended, type Outcome, type Refusal, ROUNDS } from './outcome.ts';
import { type NodeRecord, neverIn, readRecord } from './record.ts';
import type { State } from './transitions.ts';

/** The result of `update`. `taken`: a unique value (a name) belongs to another record. */
export type Updated =
  | { kind: 'changed'; record: NodeRecord }
  | { kind: 'same'; record: NodeRecord | null }
  | { kind: 'taken'; field: string; owner: string }
  | Refusal;

/** What is written together with an outcome, or not at all. */
export type Extras = {
  /** Other records that change in the same transaction. */
  records?: readonly RecordChange[];
  ops?: readonly Op[];
  /** Owners from whom names and MACs may be taken over. */
  from?: readonly string[];
  outbox?: readonly { topic: string; body: string }[];
  /** Made with it, beside what is decided about this node. */
  decisions?: readonly Decision[];
  /** What the node has just proved, as a member. */
  shown?: HeldAs;
};

export type Decide = (
  record: NodeRecord | null,
) => Promise<{ outcome: Outcome; extras?: Extras }> | { outcome: Outcome; extras?: Extras };

/** A text that could be the beginning of an id, as people abbreviate it. */
const ID_LIKE = /^(?:tpm-|dev-|[0-9a-f]{4})/;

export class NodeStore {
  readonly #redis: Redis;
  readonly #decisions: Decisions;

  constructor(redis: Redis, decisions: Decisions) {
    this.#redis = redis;
    this.#decisions = decisions;
  }

  async get(id: string): Promise<NodeRecord | null> {
    return (await this.#look(id))?.record ?? null;
  }

  /** `found`: as it stands in Redis, which is the very same one if it agrees with what was decided. */
  async #look(id: string): Promise<{ record: NodeRecord; found: NodeRecord } | null> {
    const body = await this.#redis.hget(KEYS.node(id), 'body');
    if (body === null) return null;
    const found = readRecord(id, body);
    if (found instanceof BootwaveError) throw found;
    return { found, record: await this.#decisions.node(found) };
  }

  /**
   * Records that vanish in between are left out. So are those that cannot be read: one of them, written by a newer version or by
   * somebody else, must not hide or stop all others.
   * @param odd is told of each of these
   */
  async getMany(
    ids: readonly string[],
    odd: (error: BootwaveError) => void = () => {},
  ): Promise<NodeRecord[]> {
    const found: NodeRecord[] = [];
    for (const [n, body] of (await bodiesOf(this.#redis, ids.map(KEYS.node))).entries()) {
      if (body === null) continue;
      const read = readRecord(ids[n] ?? '', body);
      if (read instanceof BootwaveError) odd(read);
      else found.push(read);
    }
    return this.#decisions.nodes(found);
  }

  async ids(where: { site?: string | undefined; state?: State | undefined } = {}): Promise<string[]> {
    const keys = [
      ...(where.site === undefined ? [] : [KEYS.nodesOfSite(where.site)]),
      ...(where.state === undefined ? [] : [KEYS.nodesInState(where.state)]),
    ];
    return this.#redis.sinter(...(keys.length === 0 ? [KEYS.nodes] : keys));
  }

  async count(state: State, site?: string): Promise<number> {
    return site === undefined
      ? this.#redis.scard(KEYS.nodesInState(state))
      : this.#redis.sintercard(2, KEYS.nodesInState(state), KEYS.nodesOfSite(site));
  }

  async idOfMac(mac: string): Promise<string | null> {
    return this.#redis.hget(KEYS.macs, mac);
  }

  async ownedMacs(): Promise<Set<string>> {
    return new Set(await this.#redis.hkeys(KEYS.macs));
  }

  /** Owners in the order of `macs`, null where a MAC belongs to nobody. */
  async ownersOf(macs: readonly string[]): Promise<(string | null)[]> {
    return macs.length === 0 ? [] : this.#redis.hmget(KEYS.macs, ...macs);
  }

  /** Ids of all records that show each of these MACs, in their order: several if it is not unique or a machine lies. */
  async showing(macs: readonly string[]): Promise<string[][]> {
    const owners = await this.ownersOf(macs);
    return Promise.all(
      macs.map(async (mac, i) => {
        const shown = await this.#redis.smembers(KEYS.showing('mac', mac));
        const owner = owners[i] ?? null;
        // A record that an older version wrote stands here from its next change on.
        return owner === null || shown.includes(owner) ? shown : [...shown, owner];
      }),
    );
  }

  /**
   * The living records that show this MAC or serial number, however it is spelled; if there are none, the retired ones.
   */
  async withHardware(word: string): Promise<NodeRecord[]> {
    const mac = macOf(word);
    const keys = [
      KEYS.showing('serial', serialKey(word)),
      ...(mac === null ? [] : [KEYS.showing('mac', mac)]),
    ];
    const [shown, owner, serial] = await Promise.all([
      this.#redis.sunion(...keys),
      mac === null ? null : this.idOfMac(mac),
      this.#redis.hget(KEYS.olderSerials, word.trim()),
    ]);
    // Records that an older version wrote stand in the sets from their next change on.
    const ids = new Set([...shown, ...[owner, serial].filter((id) => id !== null)]);
    const records = await this.getMany([...ids]);
    const living = records.filter((record) => record.state !== 'retired' && !neverIn(record));
    return living.length > 0 ? living : records;
  }

  /**
   * Finds a node by its name, id, MAC, hardware serial number, or the unique beginning of its id. A value that
   * several living nodes show identifies none of them; neither does a placeholder serial number, because the next board
   * shows it too.
   * @throws BootwaveError `NODE_UNKNOWN`, `NODE_AMBIGUOUS`
   */
  async resolve(word: string): Promise<NodeRecord> {
    const text = word.trim();
    const lower = text.toLowerCase();
    const name = await this.#redis.hget(KEYS.names, lower);
    const owner = name === null ? null : await this.get(name);
    // The index is only the way there.
    const named = owner?.name === lower ? owner : null;
    // People choose names: a name that looks like the beginning of another node's id must not stand for that node.
    if (named !== null && !ID_LIKE.test(lower)) return named;
    const whole = await this.get(lower);
    if (whole !== null) return whole;
    // And a machine chooses what MAC and serial number it claims.
    const hardware = text === '' ? [] : await this.withHardware(text);
    const chosen = named === null ? hardware.map(({ id }) => id) : [named.id];
    const fits = [...new Set([...chosen, ...(text.length < 4 ? [] : await this.#beginningWith(lower))])];
    const records = await this.getMany(fits.slice(0, 10));
    const [only] = records;
    if (only !== undefined && fits.length === 1 && !(hardware.length > 0 && isPlaceholder(text))) return only;
    if (fits.length > 0) {
      throw refusal(
        'NODE_AMBIGUOUS',
        `'${text}' fits ${fits.length === 1 ? 'any board whose maker filled in nothing, now' : `${fits.length} nodes`}: ${records.map((r) => `${r.name} (${r.id.slice(0, 20)})`).join(', ')}`,
        'write its name or more of the id',
      );
    }
    throw refusal('NODE_UNKNOWN', `there is no node '${text}'`, `'bootwave node list' shows all of them`);
  }

  /**
   * Whether this name could be confused with another node, or with what another machine claims.
   * @param id of the node that will have the name; null: no node has it yet
   * @returns id of the other node
   */
  async readsLike(name: string, id: string | null): Promise<string | null> {
    const [hardware, begins] = await Promise.all([this.withHardware(name), this.#beginningWith(name)]);
    return [...hardware.map((other) => other.id), ...begins].find((other) => other !== id) ?? null;
  }

  /** Ids that begin with it, or whose digest does. */
  async #beginningWith(text: string): Promise<string[]> {
    if (!ID_LIKE.test(text)) return [];
    return (await this.ids()).filter(
      (id) => id.startsWith(text) || id.slice(id.indexOf('-') + 1).startsWith(text),
    );
  }

  /**
   * Reads, decides, and writes by one compare-and-set; reads again when another writer was faster. `decide` may
   * therefore run several times and must have no side effects.
   * @throws BootwaveError `FLEET_CONTENDED` after 50 lost rounds
   */
  async update(id: string, decide: Decide): Promise<Updated> {
    for (let round = 0; round < ROUNDS; round += 1) {
      const { record: before, found } = (await this.#look(id)) ?? { record: null, found: null };
      const { outcome, extras = {} } = await decide(before);
      if (outcome.kind === 'refused') return outcome;
      if (outcome.kind === 'same') return { kind: 'same', record: before };
      const { at, actor, reason } = outcome.audit.at(-1) ?? {
        at: outcome.record.changedAt,
        actor: '',
        reason: '',
      };
      const placed = this.#decisions.placed(before, outcome.record, { at, actor }, reason, extras.shown);
      const record = placed === null ? outcome.record : { ...outcome.record, decided: placed.number };
      const change = {
        records: [nodeChange(found, record), ...(extras.records ?? [])],
        ops: [...indexOps(found, record, extras.from), ...(extras.ops ?? [])],
        audit: [...(before === found ? [] : [disagreed(id, at)]), ...outcome.audit].map(auditLine),
        outbox: extras.outbox ?? [],
      };
      const decisions = [...(placed === null ? [] : [placed]), ...(extras.decisions ?? [])];
      const done = await this.#decisions.commit(change, decisions);
      if (done.result === 'done') return { kind: 'changed', record };
      if (done.result === 'taken') return { kind: 'taken', field: done.field, owner: done.owner };
    }
    throw contended(`node ${id}`, ROUNDS);
  }
}

const disagreed = (node: string, at: number): AuditEntry => ({
  ...{ at, node, actor: 'decisions', action: 'decide' },
  reason: 'its record said something else than was decided about it; what was decided counts',
});

function nodeChange(before: NodeRecord | null, after: NodeRecord): RecordChange {
  return {
    key: KEYS.node(after.id),
    expect: before === null ? null : { state: before.state, epoch: before.epoch },
    next: {
      state: after.state,
      epoch: after.epoch,
      body: JSON.stringify(after),
      fields: scriptFields(after),
    },
  };
}
