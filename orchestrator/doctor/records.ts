import { BootwaveError } from '../../base/error.ts';
import { exists } from '../../base/files.ts';
import type { DataPaths } from '../../base/paths.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { withFleet } from '../operators/with-fleet.ts';
import { externalUrl } from '../redis/url.ts';
import { type Check, ok, warn } from './check.ts';

/** A check of the fleet's records. @param nothing what is said where no fleet was ever begun */
export async function checkRecords(
  paths: DataPaths,
  name: string,
  nothing: string,
  check: (fleet: Fleet) => Promise<Check>,
): Promise<Check> {
  if (externalUrl() === '' && !(await exists(paths.redis))) return ok(name, nothing);
  try {
    return await withFleet(paths, check);
  } catch (error) {
    if (!(error instanceof BootwaveError)) throw error;
    return warn(name, `not asked: ${error.what}`, error.next ?? '');
  }
}
