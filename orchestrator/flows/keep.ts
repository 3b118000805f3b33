/** Asks each node about every five minutes what its services have sent, and keeps that on this server's disk. */
import { messageOf } from '../../base/error.ts';
import { askInRounds, type RoundOptions, SILENCE } from '../usage/rounds.ts';
import type { HabitKeeper } from './keep-habits.ts';
import { type Hour, lineOf } from './line.ts';
import type { FlowStore } from './store.ts';

const TIMES = { look: 1_000, every: 5 * 60_000, rate: 50 } as const;
/** Answers of one node in a turn: what is left comes in the next. */
const ANSWERS = 16;
/** Milliseconds. */
const TIDY = 3600_000;

/** Runs until the signal aborts. Never rejects. */
export function startFlowKeeper(
  options: RoundOptions & { store: FlowStore; habits: HabitKeeper },
): Promise<void> {
  const { store, habits, pool, log, signal } = options;
  const kept = new Map<string, { life: string; number: number }>();
  const hours = new Map<string, Hour>();
  let tidied = Number.NEGATIVE_INFINITY;

  const ask = async (node: string): Promise<void> => {
    const hour = hours.get(node) ?? { hour: 0, kept: new Map() };
    hours.set(node, hour);
    for (let i = 0, more = true; more && i < ANSWERS && !signal.aborted; i += 1) {
      const before = kept.get(node) ?? null;
      const { result } = await pool.request(node, 'flows', { kept: before }, { signal, timeout: SILENCE });
      const { life, number } = result;
      // It came twice: a node that says so again and again has nothing more to say.
      if (before?.life === life && number <= before.number) return;
      const heard = Date.now();
      await store.add(node, lineOf(result, heard, hour));
      kept.set(node, { life, number });
      // What is usual is counted of all, not of what is kept.
      await habits.hear(node, lineOf(result, heard, null));
      more = result.more;
    }
  };

  const tidy = async (): Promise<void> => {
    try {
      await store.tidy(Date.now(), signal);
      await habits.tidy(Date.now());
    } catch (error) {
      log.warn({ reason: messageOf(error) }, 'what services have sent was not tidied up');
    }
  };

  return askInRounds(
    {
      ...{ name: 'flows', times: TIMES },
      ask,
      async turn() {
        if (performance.now() - tidied < TIDY) return;
        tidied = performance.now();
        await tidy();
      },
    },
    options,
  );
}
