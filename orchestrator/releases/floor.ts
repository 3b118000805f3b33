/** The release floor: no rollout goes below it, not even an intended downgrade. Sites may have a higher one. */
import type { Redis } from 'ioredis';
import { BootwaveError } from '../../base/error.ts';
import { compareVersions } from '../../formats/version.ts';
import type { By } from '../fleet/acting.ts';
import { auditLine } from '../fleet/audit/audit.ts';
import { commit } from '../fleet/commit.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { at } from '../fleet/keys.ts';

/** The fleet's release floor, a record. */
export const FLOOR = at('rollouts', 'floor');

type Stored = { version: string | null };

async function read(redis: Redis): Promise<{ epoch: number; version: string | null }> {
  const [epoch, body] = await redis.hmget(FLOOR, 'epoch', 'body');
  return { epoch: Number(epoch ?? 0), version: body == null ? null : (JSON.parse(body) as Stored).version };
}

/** Floor of the whole fleet; null: there is none. */
export async function readFloor(redis: Redis): Promise<string | null> {
  return (await read(redis)).version;
}

/**
 * @param version null removes it
 * @param lower the caller explicitly allows a lower floor: versions below the old one become possible again
 * @throws BootwaveError `FLOOR_LOWER`, `FLOOR_UNKNOWN` when no such version is published, `FLEET_CONTENDED`
 */
export async function setFloor(
  redis: Redis,
  version: string | null,
  by: By,
  options: { published: readonly string[]; lower: boolean },
): Promise<void> {
  const before = await read(redis);
  if (before.version === version) return;
  if (version !== null && !options.published.includes(version)) {
    throw refusal('FLOOR_UNKNOWN', `version ${version} is not published`, `'bootwave image list' shows all`);
  }
  if (!options.lower) refuseSinking(before.version, version);
  const next: Stored = { version };
  const done = await commit(redis, {
    records: [
      {
        key: FLOOR,
        expect: before.epoch === 0 ? null : { state: 'set', epoch: before.epoch },
        next: { state: 'set', epoch: before.epoch + 1, body: JSON.stringify(next) },
      },
    ],
    audit: [
      auditLine({
        ...by,
        action: 'floor',
        reason: `release floor ${version ?? 'none'}, was ${before.version ?? 'none'}`,
      }),
    ],
  });
  if (done.result !== 'done') {
    throw refusal('FLEET_CONTENDED', 'somebody else changed the floor at the same moment', 'try again');
  }
}

/** @throws BootwaveError `FLOOR_LOWER` */
export function refuseSinking(before: string | null, after: string | null): void {
  if (before === null || (after !== null && compareVersions(after, before) >= 0)) return;
  const what = `the floor is ${before}: versions that it fences off would come back`;
  throw refusal('FLOOR_LOWER', what, 'say --lower if that is meant');
}

/** Floors of the sites that have one. */
export async function siteFloors(fleet: Fleet): Promise<Map<string, string>> {
  const sites = await fleet.sites.list();
  return new Map(sites.flatMap(({ name, policy }) => (policy.floor === null ? [] : [[name, policy.floor]])));
}

function refusal(code: string, what: string, next: string): BootwaveError {
  return new BootwaveError({ code, what, unchanged: 'the floor', next });
}
