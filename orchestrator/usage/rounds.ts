/**
 * Asks the nodes that are up something, each once in a round. Of several orchestrators one does it. A large fleet is asked
 * less often, never faster.
 */
import { codeOf, messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { NodeRefusal } from '../transport/errors.ts';
import type { LinkPool } from '../transport/pool.ts';
import { keepLooking } from '../upkeep/look.ts';
import { Schedule } from './schedule.ts';

export type RoundOptions = {
  fleet: Fleet;
  pool: Pick<LinkPool, 'request' | 'helloOf'>;
  log: Logger;
  signal: AbortSignal;
  times?: Partial<RoundTimes>;
};

/** Milliseconds; `rate` is asks a second. */
export type RoundTimes = { look: number; every: number; rate: number };

/** Nodes asked at the same time: those that do not answer hold their place for `SILENCE`. */
const AT_ONCE = 64;
/** Milliseconds of silence. */
export const SILENCE = 10_000;
/** Milliseconds before an image that knows no such question is asked again: a newer one may be there then. */
const OLDER = 10 * 60_000;

export type Round = {
  /** Of the lease. */
  name: string;
  times: RoundTimes;
  ask(node: string): Promise<void>;
  /** At every turn, before others are asked. */
  turn(): Promise<void>;
};

/** Runs until the signal aborts. Never rejects. */
export function askInRounds(round: Round, options: RoundOptions): Promise<void> {
  const { fleet, pool, log, signal } = options;
  const times = { ...round.times, ...options.times };
  const schedule = new Schedule(times, Math.random);
  const busy = new Map<string, Promise<void>>();
  let said = '';

  const ask = async (node: string): Promise<void> => {
    try {
      await round.ask(node);
    } catch (error) {
      const code = codeOf(error, '');
      if (code === 'LINK_OP_UNKNOWN') schedule.postpone(node, performance.now() + OLDER);
      else if (code.startsWith('LINK_') || error instanceof NodeRefusal)
        log.debug({ node, code, asked: round.name }, 'a node was not heard');
      // It is not the node: as where the disk is full. Said once, not for each node.
      else if (said !== messageOf(error)) {
        said = messageOf(error);
        log.warn({ node, asked: round.name, reason: said }, 'what a node told was not kept');
      }
    }
  };

  return keepLooking(
    { redis: fleet.redis, name: round.name, every: times.look, longest: times.look, log, signal },
    async () => {
      await round.turn();
      const [healthy, degraded, updating] = await Promise.all(
        (['healthy', 'degraded', 'updating'] as const).map((state) => fleet.nodes.ids({ state })),
      );
      // One that restarts for its rollout is not dialled: the pool would wait before the rollout may dial it.
      const up = [...healthy!, ...degraded!, ...updating!.filter((node) => pool.helloOf(node) !== null)];
      const room = Math.min(AT_ONCE - busy.size, Math.ceil((times.rate * times.look) / 1000));
      for (const node of schedule.take(up, room, performance.now())) {
        if (busy.has(node)) continue;
        busy.set(
          node,
          ask(node).finally(() => busy.delete(node)),
        );
      }
    },
    () => Promise.allSettled(busy.values()),
  );
}
