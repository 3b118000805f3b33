/**
 * Asks the nodes that are up what they use, each about once a minute, and keeps the last word of each. Of several
 * orchestrators one does it. A large fleet is asked less often, never faster.
 */
import { BootwaveError } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { Usage } from '../../protocol/link/usage.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { LinkPool } from '../transport/pool.ts';
import { keepLooking } from '../upkeep/look.ts';
import { Schedule } from './schedule.ts';
import { storeUsages } from './stored.ts';

export type UsageKeeperOptions = {
  fleet: Fleet;
  pool: Pick<LinkPool, 'request' | 'helloOf'>;
  log: Logger;
  signal: AbortSignal;
  times?: Partial<UsageTimes>;
};

/** Milliseconds; `rate` is asks a second. */
export type UsageTimes = { look: number; every: number; rate: number };

const TIMES: UsageTimes = { look: 1_000, every: 60_000, rate: 50 };
/** Nodes asked at the same time: those that do not answer hold their place for `silence`. */
const AT_ONCE = 64;
/** Milliseconds of silence. */
const SILENCE = 10_000;
/** Milliseconds before an image that knows no such question is asked again: a newer one may be there then. */
const OLDER = 10 * 60_000;

/** Runs until the signal aborts. Never rejects. */
export function startUsageKeeper(options: UsageKeeperOptions): Promise<void> {
  const { fleet, pool, log, signal } = options;
  const times = { ...TIMES, ...options.times };
  const schedule = new Schedule(times, Math.random);
  const busy = new Map<string, Promise<void>>();
  let told = new Map<string, { usage: Usage; heard: number }>();

  const ask = async (node: string): Promise<void> => {
    try {
      const { result } = await pool.request(node, 'usage', {}, { signal, timeout: SILENCE });
      told.set(node, { usage: result, heard: Date.now() });
    } catch (error) {
      const code = error instanceof BootwaveError ? error.code : '';
      if (code === 'LINK_OP_UNKNOWN') schedule.postpone(node, performance.now() + OLDER);
      else log.debug({ node, code }, 'it was not heard what a node uses');
    }
  };

  return keepLooking(
    { redis: fleet.redis, name: 'usage', every: times.look, longest: times.look, log, signal },
    async () => {
      // Written together: one write to the disk for all of them.
      const ready = told;
      told = new Map();
      await storeUsages(fleet.redis, ready);
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
