import type { DataPaths } from '../../base/paths.ts';
import { type ConnectOptions, connect } from '../redis/connect.ts';
import { sealerOf } from './bans/seal.ts';
import { Fleet } from './fleet.ts';

/** Opens the fleet's records for as long as `act` runs; starts the embedded Redis when none runs. */
export async function withFleet<T>(
  paths: DataPaths,
  act: (fleet: Fleet) => Promise<T>,
  options: ConnectOptions = {},
): Promise<T> {
  const connection = await connect(paths, options);
  try {
    return await act(new Fleet(connection.redis, sealerOf(paths.keys)));
  } finally {
    await connection.close();
  }
}
