/** Asks the nodes that are up what they use, each about once a minute, and keeps the last word of each. */
import type { Usage } from '../../protocol/link/usage.ts';
import { askInRounds, type RoundOptions, SILENCE } from './rounds.ts';
import { storeUsages } from './stored.ts';

const TIMES = { look: 1_000, every: 60_000, rate: 50 };

/** Runs until the signal aborts. Never rejects. */
export function startUsageKeeper(options: RoundOptions): Promise<void> {
  const { fleet, pool, signal } = options;
  let told = new Map<string, { usage: Usage; heard: number }>();
  return askInRounds(
    {
      ...{ name: 'usage', times: TIMES },
      async ask(node) {
        const { result } = await pool.request(node, 'usage', {}, { signal, timeout: SILENCE });
        told.set(node, { usage: result, heard: Date.now() });
      },
      async turn() {
        // Written together: one write to the disk for all of them.
        const ready = told;
        told = new Map();
        await storeUsages(fleet.redis, ready);
      },
    },
    options,
  );
}
