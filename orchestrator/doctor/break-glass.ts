import type { DataPaths } from '../../base/paths.ts';
import { knownOperators } from '../operators/known.ts';
import { BREAK_GLASS } from '../operators/request.ts';
import { Requests } from '../operators/requests.ts';
import { type Check, ok, warn } from './check.ts';
import { checkRecords } from './records.ts';

const NAME = 'break-glass';
/** Milliseconds for which it is told after two people agreed to it, so that it is seen the next morning. */
const TOLD = 24 * 3600_000;

/** Did somebody get what only admins may? Whoever was asleep must learn of it. */
export const checkBreakGlass = (paths: DataPaths, now = Date.now()): Promise<Check> =>
  checkRecords(paths, NAME, 'never used', async ({ redis }) => {
    const all = await new Requests(redis, await knownOperators(paths)).list(now);
    const used = all.filter(
      ({ wish, record }) => wish.operation === BREAK_GLASS && record.approve !== null && now - wish.at < TOLD,
    );
    if (used.length === 0) return ok(NAME, 'not used in the last 24 h');
    const each = used.map(({ wish, standing }) => {
      const { reason } = wish.input as { reason?: unknown };
      const since = new Date(wish.at).toISOString();
      return `${wish.actor} since ${since} (${standing === 'in force' ? standing : 'over'}): ${reason}`;
    });
    return warn(
      NAME,
      `used in the last 24 h: ${each.join('; ')}`,
      `'bootwave audit list' shows what was done by it; 'bootwave request deny' ends it`,
    );
  });
