import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { type BootwaveError, refusal } from '../../base/error.ts';
import { bodiesOf } from '../redis/bodies.ts';
import type { By } from './acting.ts';
import { auditLine } from './audit/audit.ts';
import type { Op, RecordChange } from './commit.ts';
import type { Decisions } from './decisions/decisions.ts';
import type { Decision } from './decisions/standing.ts';
import {
  type Criteria,
  commonFact,
  criteriaKeys,
  criteriaSchema,
  describe,
  type Expectation,
  expectationSchema,
  indexOf,
  matches,
  type Shown,
  spelled,
} from './expectation.ts';
import { KEYS } from './keys.ts';
import { checkName } from './names.ts';
import { readStored } from './read-stored.ts';

export type NewExpectation = {
  site: string;
  name?: string | undefined;
  criteria: Criteria;
  expiresAt: number | null;
};

export class ExpectationStore {
  readonly #redis: Redis;
  readonly #decisions: Decisions;

  constructor(redis: Redis, decisions: Decisions) {
    this.#redis = redis;
    this.#decisions = decisions;
  }

  /** @throws BootwaveError `EXPECT_INVALID`, `EXPECT_EXISTS`, `NAME_TAKEN`, `NAME_INVALID` */
  async add(wanted: NewExpectation, by: By): Promise<Expectation> {
    const criteria = criteriaSchema.safeParse(spelled(wanted.criteria));
    if (!criteria.success) {
      throw refusal(
        'EXPECT_INVALID',
        `nothing can be expected by ${JSON.stringify(wanted.criteria)}`,
        'a MAC is written 52:54:00:aa:bb:cc, an EK digest has 64 hex digits',
      );
    }
    const common = commonFact(criteria.data);
    if (common !== null) {
      throw refusal(
        'EXPECT_INVALID',
        `${common} names no machine: every one whose maker filled in nothing shows it`,
        'expect it by the MAC of one of its cards, by --ek, or with --token',
      );
    }
    if (wanted.name !== undefined) checkName(wanted.name);
    const expectation: Expectation = {
      id: `expected-${randomBytes(4).toString('hex')}`,
      state: 'open',
      epoch: 1,
      site: wanted.site,
      name: wanted.name ?? null,
      criteria: criteria.data,
      by: by.actor,
      at: by.at,
      expiresAt: wanted.expiresAt,
      usedBy: null,
    };
    const { id } = expectation;
    await this.#dropExpired(by.at);
    const ops: Op[] = [{ op: 'join', key: KEYS.expectations, value: id }];
    for (const field of indexOf(criteria.data))
      ops.push({ op: 'claim', key: KEYS.expected, field, owner: id });
    if (wanted.name !== undefined) ops.push({ op: 'claim', key: KEYS.names, field: wanted.name, owner: id });
    const record = recordChange(null, expectation);
    const reason = `${describe(criteria.data)} at site ${wanted.site}`;
    const detail = { expectation: id, ...(wanted.name === undefined ? {} : { name: wanted.name }) };
    const audit = [auditLine({ ...by, action: 'expect', reason, detail })];
    const decision = this.#decisions.record(record, by, `expected: ${reason}`);
    const done = await this.#decisions.commit({ records: [record], ops, audit }, [decision]);
    if (done.result === 'done') return expectation;
    if (done.result === 'taken' && done.key === KEYS.names) throw nameTaken(done.field, done.owner);
    throw refusal(
      'EXPECT_EXISTS',
      `a machine with ${done.result === 'taken' ? done.field.replace(':', ' ') : 'these facts'} is expected already`,
      `'bootwave node expect --list' shows it; 'bootwave node expect --withdraw ID' takes it back`,
    );
  }

  /** Open ones, the newest last. */
  async list(): Promise<Expectation[]> {
    const ids = await this.#redis.smembers(KEYS.expectations);
    return (await this.#get(ids)).sort((a, b) => a.at - b.at);
  }

  /** The open expectation that lets this machine in at this site, if any. */
  async find(shown: Shown, site: string, now: number): Promise<Expectation | null> {
    const keys = criteriaKeys(shown);
    if (keys.length === 0) return null;
    const ids = await this.#redis.hmget(KEYS.expected, ...keys);
    const found = await this.#get([...new Set(ids.filter((id) => id !== null))]);
    return found.find((expectation) => matches(expectation, shown, site, now)) ?? null;
  }

  /** Whether an open expectation of this site names the MAC: nothing else is known before a machine has booted. */
  async expectsMac(mac: string, site: string, now: number): Promise<boolean> {
    const id = await this.#redis.hget(KEYS.expected, `mac:${mac}`);
    const [found] = id === null ? [] : await this.#get([id]);
    return found !== undefined && found.site === site && (found.expiresAt === null || now < found.expiresAt);
  }

  /** @throws BootwaveError `EXPECT_UNKNOWN` */
  async withdraw(id: string, by: By): Promise<Expectation> {
    const [found] = await this.#get([id]);
    if (found !== undefined && found.state === 'open') {
      const { record, ops, decisions } = this.close(found, 'withdrawn', null, by);
      const audit = [
        auditLine({
          ...by,
          action: 'unexpect',
          reason: describe(found.criteria),
          detail: { expectation: id },
        }),
      ];
      const change = { records: [record], ops: [...ops, ...releaseName(found)], audit };
      const done = await this.#decisions.commit(change, decisions);
      if (done.result === 'done') return { ...found, state: 'withdrawn' };
    }
    throw refusal(
      'EXPECT_UNKNOWN',
      `no open expectation has the id '${id}'`,
      `'bootwave node expect --list' shows the open ones`,
    );
  }

  /** An expired expectation must not keep its name or its MAC from a new one. */
  async #dropExpired(now: number): Promise<void> {
    for (const old of await this.list()) {
      if (old.expiresAt !== null && old.expiresAt <= now)
        await this.withdraw(old.id, { actor: 'policy', at: now });
    }
  }

  async #get(ids: readonly string[]): Promise<Expectation[]> {
    const keys = ids.map(KEYS.expectation);
    const found: Expectation[] = [];
    for (const [n, inRedis] of (await bodiesOf(this.#redis, keys)).entries()) {
      const body = await this.#decisions.body(keys[n] ?? '', inRedis);
      const read = body === null ? null : readStored(expectationSchema, body);
      if (read !== null) found.push(read);
    }
    return found;
  }

  /** Ends an expectation inside the transaction that admits a node, so that it lets exactly one in. */
  close(
    expectation: Expectation,
    state: 'used' | 'withdrawn',
    usedBy: string | null,
    by: By,
  ): { record: RecordChange; ops: Op[]; decisions: Decision[] } {
    const { id } = expectation;
    const after: Expectation = { ...expectation, state, epoch: expectation.epoch + 1, usedBy };
    const record = recordChange(expectation, after);
    return {
      record,
      ops: [
        { op: 'leave', key: KEYS.expectations, value: id },
        ...indexOf(expectation.criteria).map(
          (field): Op => ({ op: 'release', key: KEYS.expected, field, owner: id }),
        ),
      ],
      decisions: [this.#decisions.record(record, by, `expectation ${state}`)],
    };
  }
}

export function nameTaken(name: string, owner: string): BootwaveError {
  return refusal('NAME_TAKEN', `the name '${name}' belongs to ${owner.slice(0, 20)}`, 'choose another name');
}

function releaseName(expectation: Expectation): Op[] {
  const { name, id } = expectation;
  return name === null ? [] : [{ op: 'release', key: KEYS.names, field: name, owner: id }];
}

function recordChange(before: Expectation | null, after: Expectation): RecordChange {
  return {
    key: KEYS.expectation(after.id),
    expect: before,
    next: { state: after.state, epoch: after.epoch, body: JSON.stringify(after) },
  };
}
