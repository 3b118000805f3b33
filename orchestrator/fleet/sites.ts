import type { Redis } from 'ioredis';
import { BootwaveError } from '../../base/error.ts';
import { auditLine } from './audit.ts';
import { commit } from './commit.ts';
import { KEYS } from './keys.ts';
import { checkName } from './names.ts';
import { readStored } from './read-stored.ts';
import { DEFAULT_POLICY, DEFAULT_SITE, type Policy, policySchema, type Site, siteSchema } from './site.ts';

type By = { actor: string; at: number };

export class SiteStore {
  readonly #redis: Redis;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /** @throws BootwaveError `SITE_UNKNOWN`; the default site is always there */
  async get(name: string): Promise<Site> {
    const body = await this.#redis.hget(KEYS.site(name), 'body');
    const site = body === null ? null : readStored(siteSchema, body);
    if (site !== null) return site;
    if (body !== null)
      throw new BootwaveError({
        code: 'SITE_UNREADABLE',
        what: `the record of site '${name}' cannot be read, so nobody knows its rules`,
        unchanged: 'nothing was changed',
        next: 'was it written by a newer version of bootwave? Use that one; else restore a backup of the data directory',
      });
    if (name === DEFAULT_SITE) return unwritten();
    throw new BootwaveError({
      code: 'SITE_UNKNOWN',
      what: `there is no site '${name}'`,
      unchanged: 'nothing was changed',
      next: `make it: bootwave site add ${name}`,
    });
  }

  async list(): Promise<Site[]> {
    const names = await this.#redis.smembers(KEYS.sites);
    const all = [...new Set([DEFAULT_SITE, ...names])].sort();
    return Promise.all(all.map((name) => this.get(name)));
  }

  /** @throws BootwaveError `SITE_EXISTS`, `NAME_INVALID` */
  async add(name: string, policy: Partial<Policy>, by: By): Promise<Site> {
    checkName(name, 'site');
    const site: Site = { ...unwritten(), name, policy: policySchema.parse(policy), createdAt: by.at };
    const done = name === DEFAULT_SITE ? null : await this.#write(null, site, by, 'site-add');
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
    for (;;) {
      const before = await this.get(name);
      const wanted = policySchema.parse({ ...before.policy, ...policy });
      if (JSON.stringify(wanted) === JSON.stringify(before.policy)) return before;
      const written = await this.#redis.exists(KEYS.site(name));
      const after: Site = { ...before, epoch: before.epoch + 1, policy: wanted };
      const done = await this.#write(written === 0 ? null : before, after, by, 'site-set');
      if (done.result === 'done') return after;
    }
  }

  #write(before: Site | null, after: Site, by: By, action: string) {
    const reason = `site ${after.name}: ${Object.entries(after.policy)
      .map(([key, value]) => `${key} ${value}`)
      .join(', ')}`;
    return commit(this.#redis, {
      records: [
        {
          key: KEYS.site(after.name),
          expect: before,
          next: { state: after.state, epoch: after.epoch, body: JSON.stringify(after) },
        },
      ],
      ops: [{ op: 'join', key: KEYS.sites, value: after.name }],
      audit: [auditLine({ ...by, action, reason, detail: { site: after.name } })],
    });
  }
}

function unwritten(): Site {
  return { name: DEFAULT_SITE, state: 'active', epoch: 1, policy: DEFAULT_POLICY, createdAt: 0 };
}
