import type { DataPaths } from '../../base/paths.ts';
import { silences } from '../fleet/listening.ts';
import { type Check, fail, ok, warn } from './check.ts';
import { checkRecords } from './records.ts';

const NAME = 'listening';

/** Does a boot server listen to the nodes that there are? Without one they look as they did when it ended. */
export const checkListening = (paths: DataPaths, now: number = Date.now()): Promise<Check> =>
  checkRecords(paths, NAME, 'there are no nodes yet', async (fleet) => {
    const silent = await silences(fleet, now);
    if (silent.length === 0) return ok(NAME, 'a boot server listens to every site that has nodes');
    const when = (since: number | null) =>
      since === null ? 'so far' : `since ${new Date(since).toISOString().slice(0, 19)}Z`;
    // One that never listened, as far as anybody knows, has not ended.
    const judge = silent.some(({ since }) => since !== null) ? fail : warn;
    return judge(
      NAME,
      `nobody listens to the nodes of ${silent.map(({ site, since }) => `site ${site} ${when(since)}`).join(', ')}`,
      "start 'bootwave up' there; if it should run, its log says why it ended",
    );
  });
