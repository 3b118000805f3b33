/** Brings nodes what was decided about them: a new order with nothing else changed, which their signer has stamped. */
import { BootwaveError, messageOf } from '../../base/error.ts';
import { UP } from '../fleet/transitions.ts';
import { keepNodes } from '../upkeep/nodes.ts';
import type { OrderKeeping } from './deliver.ts';
import { type Renewal, renew } from './renew.ts';

export type Keeper = Omit<Renewal, 'reservations'> & {
  /** Of its lease, and in logs. */
  name: string;
  /** In words, behind "a node was brought". */
  what: string;
  /** Milliseconds between two looks, and before a node that was not reached is asked again. */
  times: { look: number; again: number };
  /** Nodes that one process brings it at the same time. */
  atOnce: number;
  /** By node that it concerns a text that is another one whenever the node may lack something. */
  concerned(): Promise<ReadonlyMap<string, string>>;
  /** Before its order is made. @returns what the order says beside what is stamped @throws BootwaveError why it gets none */
  prepare?(id: string): Promise<Pick<Renewal, 'reservations'>>;
  /** Written into the history of a node whose image refuses every such order. */
  refused?: { action: string; reason: string };
  /** Milliseconds before it is asked again after this error; absent: as `times` says. */
  again?(error: unknown): number | undefined;
};

/** Runs until the signal aborts; of several orchestrators one at a time does the work. Never rejects. */
export function keepOrders(keeping: OrderKeeping, keeper: Keeper): Promise<void> {
  const { fleet, log, signal, times = keeper.times } = keeping;
  const { name, what, atOnce, by } = keeper;
  /** Nodes that lack nothing, as of this news. */
  const settled = new Map<string, string>();
  let concerned: ReadonlyMap<string, string> = new Map();

  return keepNodes({
    ...{ redis: fleet.redis, name, every: times.look, atOnce, log, signal },
    async find() {
      concerned = await keeper.concerned();
      for (const id of settled.keys()) if (!concerned.has(id)) settled.delete(id);
      const open = [...concerned].flatMap(([id, news]) => (settled.get(id) === news ? [] : [id]));
      if (open.length === 0) return [];
      const records = await fleet.nodes.getMany(open);
      return records.filter(({ state }) => UP.includes(state));
    },
    async work({ id, name: node }) {
      const news = concerned.get(id);
      const isNew = await renew(keeping, id, { ...keeper, ...(await keeper.prepare?.(id)) });
      if (isNew) log.info({ id, node }, `a node was brought ${what}`);
      if (news !== undefined) settled.set(id, news);
    },
    async failed({ id, name: node }, error, waited) {
      const isFirst = waited === 0;
      log[isFirst ? 'warn' : 'debug'](
        { id, node, reason: messageOf(error) },
        `a node was not brought ${what}`,
      );
      const isRefused = error instanceof BootwaveError && error.code === 'ORDER_MALFORMED';
      if (isFirst && isRefused && keeper.refused !== undefined)
        await fleet.audit.append({ at: Date.now(), actor: by, node: id, ...keeper.refused }).catch(() => {});
      return keeper.again?.(error) ?? times.again;
    },
  });
}
