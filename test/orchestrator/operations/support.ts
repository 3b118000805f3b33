/** A server's door on a data directory: the real door, the real Redis, no wire and no orchestrator behind it. */

import type { ExecutionContext } from 'ava';
import type { DataPaths } from '../../../base/paths.ts';
import { sealerOf } from '../../../orchestrator/fleet/decisions/seal.ts';
import { watchDecisions } from '../../../orchestrator/fleet/decisions/watch.ts';
import { Fleet } from '../../../orchestrator/fleet/fleet.ts';
import { find } from '../../../orchestrator/operations/catalogue.ts';
import { openDoor } from '../../../orchestrator/operations/door.ts';
import type { House } from '../../../orchestrator/operations/operation.ts';
import { bansOf } from '../../../orchestrator/operators/bans-of.ts';
import { connect } from '../../../orchestrator/redis/connect.ts';
import { silent } from '../fleet/support.ts';

export type Standing<T> = T & { close(): Promise<void> };

/** What operations are performed on, as a server has it, until it is closed or the test ends. */
export async function houseOf(t: ExecutionContext, paths: DataPaths): Promise<Standing<House>> {
  const connection = await connect(paths, { url: '' });
  const stop = new AbortController();
  const fleet = new Fleet(connection.redis, sealerOf(paths.keys));
  const bans = await bansOf(paths, fleet, silent);
  const watched = watchDecisions(bans, fleet, { signal: stop.signal, log: silent });
  let closed: Promise<void> | null = null;
  const close = () => {
    closed ??= (async () => {
      stop.abort();
      await watched;
      await connection.close();
    })();
    return closed;
  };
  t.teardown(close);
  return {
    ...{ paths, log: silent, signal: stop.signal, now: Date.now, find, close },
    records: async () => ({ fleet, bans }),
    wires: () => undefined,
    links: () => undefined,
  };
}

/** Commands on this data directory find a server, until it is closed or the test ends. */
export async function doorOf(t: ExecutionContext, paths: DataPaths): Promise<Standing<object>> {
  const house = await houseOf(t, paths);
  const stop = new AbortController();
  const { done } = await openDoor({ ...house, signal: stop.signal });
  const close = async () => {
    stop.abort();
    await done;
    await house.close();
  };
  t.teardown(close);
  return { close };
}
