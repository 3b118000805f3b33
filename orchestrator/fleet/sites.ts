import type { Redis } from 'ioredis';
import { BootwaveError, refusal } from '../../base/error.ts';
import type { By } from './acting.ts';
import { auditLine } from './audit/audit.ts';
import type { Change, RecordChange } from './commit.ts';
import type { Decisions, Stored } from './decisions/decisions.ts';
import { KEYS } from './keys.ts';
import { checkName } from './names.ts';
import { contended, ROUNDS } from './outcome.ts';
import { readStored } from './read-stored.ts';
import { DEFAULT_POLICY, DEFAULT_SITE, type Policy, policySchema, type Site, siteSchema } from './site.ts';

export class SiteStore {
  readonly #redis: Redis;
  readonly #decisions: Decisions;

  constructor(redis: Redis, decisions: Decisions) {
    this.#redis = redis;
    this.#decisions = decisions;
  }

  /** @throws BootwaveError `SITE_UNKNOWN`; the default site is always there */
  async get(name: string): Promise<Site> {
    return (await this.#look(name)).site ?? Promise.reject(unknownSite(name));
  }

  /** `site` null: nobody made it, whatever stands in Redis under its name. */
  async #look(name: string): Promise<{ site: Site | null; found: Stored['found'] }> {
    const { body, found } = await this.#decisions.stored(KEYS.site(name));
    if (body === null) return { site: name === DEFAULT_SITE ? unwritten() : null, found };
    const site = readStored(siteSchema, body);
    if (site === null)
      throw refusal(
        'SITE_UNREADABLE',
        `the record of site '${name}' cannot be read, so nobody knows its rules`,
        'was it written by a newer version of bootwave? Use that one; else restore a backup of the data directory',
      );
    return { site, found };
  }

  async list(): Promise<Site[]> {
    const names = await this.#redis.smembers(KEYS.sites);
    const all = [...new Set([DEFAULT_SITE, ...names, ...this.#decisions.names(KEYS.site)])].sort();
    const looks = await Promise.all(all.map((name) => this.#look(name)));
    return looks.flatMap(({ site }) => site ?? []);
  }

  /** @throws BootwaveError `SITE_EXISTS`, `NAME_INVALID` */
  async add(name: string, policy: Partial<Policy>, by: By): Promise<Site> {
    checkName(name, 'site');
    const site: Site = { ...unwritten(), name, policy: policySchema.parse(policy), createdAt: by.at };
    const { site: known, found } = await this.#look(name);
    const done = known === null ? await this.#write(found, site, by, 'site-add') : null;
    if (done?.result !== 'done') {
      throw new BootwaveError({
        code: 'SITE_EXISTS',
        what: `the site '${name}' exists already`,
        unchanged: 'its policy',
        next: `change it: bootwave site set ${name} ...`,
      });
    }
    return site;
  }

  /** @throws BootwaveError `SITE_UNKNOWN` */
  async set(name: string, policy: Partial<Policy>, by: By): Promise<Site> {
    for (let round = 0; round < ROUNDS; round += 1) {
      const { site: before, found } = await this.#look(name);
      if (before === null) throw unknownSite(name);
      const wanted = policySchema.parse({ ...before.policy, ...policy });
      if (JSON.stringify(wanted) === JSON.stringify(before.policy)) return before;
      const after: Site = { ...before, epoch: before.epoch + 1, policy: wanted };
      const done = await this.#write(found, after, by, 'site-set');
      if (done.result === 'done') return after;
    }
    throw contended(`site '${name}'`, ROUNDS);
  }

  #write(expect: Stored['found'], after: Site, by: By, action: string) {
    const reason = `site ${after.name}: ${Object.entries(after.policy)
      .map(
        ([key, value]) =>
          `${key} ${typeof value === 'object' && value !== null ? JSON.stringify(value) : value}`,
      )
      .join(', ')}`;
    const record: RecordChange = {
      ...{ key: KEYS.site(after.name), expect },
      next: { state: after.state, epoch: after.epoch, body: JSON.stringify(after) },
    };
    const change: Change = {
      records: [record],
      ops: [{ op: 'join', key: KEYS.sites, value: after.name }],
      audit: [auditLine({ ...by, action, reason, detail: { site: after.name } })],
    };
    return this.#decisions.commit(change, [this.#decisions.record(record, by, reason)]);
  }
}

function unknownSite(name: string): BootwaveError {
  return refusal('SITE_UNKNOWN', `there is no site '${name}'`, `make it: bootwave site add ${name}`);
}

function unwritten(): Site {
  return { name: DEFAULT_SITE, state: 'active', epoch: 1, policy: DEFAULT_POLICY, createdAt: 0 };
}
