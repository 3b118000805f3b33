/** The guard of a running server: nodes are read now and then, incidents are counted at each question. */
import { messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { lookAgain } from '../upkeep/look.ts';
import type { Breaker } from './breaker.ts';
import { Guard, readGuard } from './guard.ts';

export type GuardOptions = {
  fleet: Fleet;
  /** When this server heard the node itself; null: it did not. */
  heardAt?: (node: string) => number | null;
  log: Logger;
  signal: AbortSignal;
  /** Milliseconds between two looks at the nodes, at least. */
  every?: number;
};

const EVERY = 5_000;
const UNKNOWN = 'nobody has looked yet whether many nodes have signals';

/**
 * @returns `stopped`: why this is not done to a node now, by all incidents of this moment, so that of many at once none is done too
 * many; until the first look everything stands still. `done` resolves after the signal fired
 */
export function keepGuard({ fleet, heardAt, log, signal, every = EVERY }: GuardOptions) {
  let guard: Guard | null = null;
  let counted = -1;
  const told = new Set<string>();

  const stopped: Breaker = (act, { id }, opening = []) => {
    if (guard === null) return UNKNOWN;
    const { all } = fleet.decisions.incidents;
    // Each step of an incident raises its epoch, and none ever goes away.
    const count = all.reduce((sum, { epoch }) => sum + epoch, 0);
    if (count !== counted) guard = new Guard({ ...guard.world, alarms: all }, guard);
    counted = count;
    const now =
      opening.length === 0 ? guard : new Guard({ ...guard.world, alarms: [...all, ...opening] }, guard);
    // Of one that was not there at the last look nobody knows what else goes on where it is.
    if (act !== 'fence' && !now.isMember(id)) return UNKNOWN;
    return now.stopped(id, act);
  };

  const tell = ({ trips }: Guard) => {
    const now = new Map(
      trips.map((trip) => [`${trip.code} ${trip.act} ${trip.site} ${trip.rack} ${trip.image}`, trip]),
    );
    for (const [key, { act, site, why, nodes }] of now)
      if (!told.has(key))
        log.error(
          { code: 'RECOVERY_STOPPED', act, site, nodes: nodes.length, reason: why },
          'the automation stands still',
        );
    for (const key of told)
      if (!now.has(key)) log.warn({ code: 'RECOVERY_RESUMED', what: key }, 'the automation goes on');
    told.clear();
    for (const key of now.keys()) told.add(key);
  };

  const look = async (): Promise<void> => {
    try {
      guard = await readGuard(fleet, Date.now(), heardAt);
      counted = -1;
      tell(guard);
    } catch (error) {
      // What was known last counts on: fewer members make it stand still sooner.
      if (!signal.aborted)
        log.debug({ reason: messageOf(error) }, 'nobody looks whether many nodes have signals');
    }
  };
  return { stopped, done: lookAgain({ every, signal }, look) };
}
