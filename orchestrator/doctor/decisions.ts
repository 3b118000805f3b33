import { BootwaveError } from '../../base/error.ts';
import { exists } from '../../base/files.ts';
import type { DataPaths } from '../../base/paths.ts';
import { withFleet } from '../operators/with-fleet.ts';
import { externalUrl } from '../redis/url.ts';
import { type Check, ok, warn } from './check.ts';

const NAME = 'decisions';

/** Is Redis believed only what was decided? Not so in a fleet that is older than its log of decisions. */
export async function checkDecisions(paths: DataPaths): Promise<Check> {
  if (externalUrl() === '' && !(await exists(paths.redis))) return ok(NAME, 'nothing was decided yet');
  try {
    if (await withFleet(paths, async ({ decisions }) => decisions.confirmed))
      return ok(NAME, 'a record in Redis counts only as it was decided');
    return warn(
      NAME,
      'whoever can write to Redis can approve machines: its records were not yet confirmed',
      "look at 'bootwave node list' and 'bootwave site list', then 'bootwave audit confirm'; in a new fleet 'bootwave up' does it",
    );
  } catch (error) {
    if (!(error instanceof BootwaveError)) throw error;
    return warn(NAME, `not asked: ${error.what}`, error.next ?? '');
  }
}
