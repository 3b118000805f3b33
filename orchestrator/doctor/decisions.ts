import type { DataPaths } from '../../base/paths.ts';
import { type Check, ok, warn } from './check.ts';
import { checkRecords } from './records.ts';

const NAME = 'decisions';

/** Is Redis believed only what was decided? Not so in a fleet that is older than its log of decisions. */
export const checkDecisions = (paths: DataPaths): Promise<Check> =>
  checkRecords(paths, NAME, 'nothing was decided yet', async ({ decisions }) => {
    if (!decisions.confirmed)
      return warn(
        NAME,
        'whoever can write to Redis can approve machines: its records were not yet confirmed',
        "look at 'bootwave node list' and 'bootwave site list', then 'bootwave audit confirm'; in a new fleet 'bootwave up' does it",
      );
    if (!decisions.rollouts.begun)
      return warn(
        NAME,
        'whoever can write to Redis can start rollouts: those of this fleet were not yet confirmed',
        "look at 'bootwave rollout list', then 'bootwave audit confirm'",
      );
    if (!decisions.rollouts.configs.begun)
      return warn(
        NAME,
        'whoever can write to Redis can give nodes any published configuration: those of this fleet were not yet confirmed',
        "look at 'bootwave config list', then 'bootwave audit confirm'",
      );
    return ok(NAME, 'a record in Redis counts only as it was decided');
  });
