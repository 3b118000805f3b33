import type { NodeRecord } from '../fleet/record.ts';
import { keepLooking, type LookOptions } from './look.ts';

/** A wish that is kept true for each node by itself: nodes that lack it are found by looking, never by an event. */
export type NodeUpkeep = LookOptions & {
  /** Nodes that one process works on at the same time. */
  atOnce: number;
  /** The nodes that lack it now. */
  find(): Promise<NodeRecord[]>;
  /**
   * One step for one node. It may happen twice, and from several orchestrators.
   * @param record of the last look: a node may have waited for its turn since
   */
  work(record: NodeRecord): Promise<void>;
  /**
   * A step failed.
   * @param waited milliseconds that it waited before this try; 0: it was the first one
   * @returns milliseconds until it is tried again
   */
  failed(record: NodeRecord, error: unknown, waited: number): Promise<number>;
};

/** Runs until the signal aborts, and until the steps under way have ended. Never rejects. */
export async function keepNodes(options: NodeUpkeep): Promise<void> {
  const { atOnce, find, work, failed, signal } = options;
  const busy = new Map<string, Promise<void>>();
  const later = new Map<string, { due: number; wait: number }>();
  /**
   * Counts the tries. The node tried longest ago comes first, so that a thousand dead nodes keep no living one waiting.
   */
  const tried = new Map<string, number>();
  let tries = 0;

  const attempt = async (record: NodeRecord): Promise<void> => {
    const { id } = record;
    try {
      await work(record);
      later.delete(id);
    } catch (error) {
      if (signal.aborted) return;
      const wait = await failed(record, error, later.get(id)?.wait ?? 0);
      later.set(id, { due: performance.now() + wait, wait });
    }
  };

  /** Of the last look: whoever is done makes room for the next one, because the next look may be far. */
  let waiting: NodeRecord[] = [];
  const begin = (): void => {
    while (busy.size < atOnce && !signal.aborted) {
      const record = waiting.shift();
      if (record === undefined) return;
      const { id } = record;
      if (busy.has(id) || (later.get(id)?.due ?? 0) > performance.now()) continue;
      tries += 1;
      tried.set(id, tries);
      const done = attempt(record).finally(() => {
        busy.delete(id);
        begin();
      });
      busy.set(id, done);
    }
  };

  const look = async (): Promise<void> => {
    const found = await find();
    const here = new Set(found.map(({ id }) => id));
    for (const known of [later, tried]) for (const id of known.keys()) if (!here.has(id)) known.delete(id);
    waiting = found.sort((a, b) => (tried.get(a.id) ?? 0) - (tried.get(b.id) ?? 0));
    begin();
  };
  await keepLooking(options, look, () => Promise.allSettled(busy.values()));
}
