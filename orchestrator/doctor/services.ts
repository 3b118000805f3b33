import type { DataPaths } from '../../base/paths.ts';
import { releasedServices } from '../../image/publish/services.ts';
import { parseServiceVersion } from '../../protocol/service/name.ts';
import { NOT_DRAINED } from '../rollout/run/retire.ts';
import { affectedBy, warningsFor } from '../services/affected.ts';
import { stateOf } from '../services/life.ts';
import { listLives } from '../services/lives.ts';
import { membersOf } from '../services/members.ts';
import { type Check, ok, warn } from './check.ts';
import { checkRecords } from './records.ts';

const NAME = 'services';
/** Milliseconds before the day of a version from which on it is told what stands in its way. */
const SOON = 14 * 24 * 3600_000;
/** Versions that are named at most. */
const MOST = 5;

/** Do nodes stay on versions whose day has come, or will they? */
export const checkServices = (paths: DataPaths, now = Date.now()): Promise<Check> =>
  checkRecords(paths, NAME, 'no service was ever given an end', async (fleet) => {
    const lives = await listLives(fleet);
    const ending = [...lives.values()].filter(({ on }) => on !== null && on <= now + SOON);
    if (ending.length === 0) return ok(NAME, 'no version ends within 14 days');
    const [members, released, waits] = await Promise.all([
      membersOf(fleet),
      releasedServices(paths),
      fleet.redis.hgetall(NOT_DRAINED),
    ]);
    const house = { members, released, lives, rollouts: [], templates: [] };
    const troubles = ending.flatMap((life) => {
      const service = parseServiceVersion(life.service);
      if (service === null) return [];
      const affected = affectedBy(service, house);
      if (affected.nodes.wanted === 0) return [];
      const why =
        stateOf(life, now) === 'obsolete'
          ? (waits[life.service] ?? '')
          : warningsFor(service, life, house, affected).join('; ');
      return why === '' ? [] : [`${life.service} (${affected.nodes.wanted} nodes): ${why}`];
    });
    if (troubles.length === 0)
      return ok(NAME, 'nodes of every version that ends are, or will be, brought to its successor');
    const more = troubles.length > MOST ? `; and ${troubles.length - MOST} more` : '';
    return warn(
      NAME,
      `nodes stay on versions that end: ${troubles.slice(0, MOST).join('; ')}${more}`,
      "'bootwave service show NAME:VERSION' says whom it concerns",
    );
  });
