import { createLogger } from '../../base/log.ts';
import type { DataPaths } from '../../base/paths.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { type ConnectOptions, connect } from '../redis/connect.ts';
import { openFleet } from './bans-of.ts';

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
    const { fleet } = await openFleet(paths, connection.redis, createLogger('bootwave', 'error'));
    return await act(fleet);
  } finally {
    await connection.close();
  }
}
