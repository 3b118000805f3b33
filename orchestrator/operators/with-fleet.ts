import { createLogger } from '../../base/log.ts';
import type { DataPaths } from '../../base/paths.ts';
import { sealerOf } from '../fleet/decisions/seal.ts';
import { Fleet } from '../fleet/fleet.ts';
import { type ConnectOptions, connect } from '../redis/connect.ts';
import { bansOf } from './bans-of.ts';

/**
 * Opens the fleet's records, with what this machine knows of decisions, for as long as `act` runs; starts the embedded Redis
 * when none runs.
 */
export async function withFleet<T>(
  paths: DataPaths,
  act: (fleet: Fleet) => Promise<T>,
  options: ConnectOptions = {},
): Promise<T> {
  const connection = await connect(paths, options);
  try {
    const fleet = new Fleet(connection.redis, sealerOf(paths.keys));
    const bans = await bansOf(paths, fleet, createLogger('bootwave', 'error'));
    await bans.look();
    return await act(fleet);
  } finally {
    await connection.close();
  }
}
