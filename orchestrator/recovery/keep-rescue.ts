import type { OrderKeeping } from '../orders/deliver.ts';
import { keepOrders } from '../orders/keep.ts';

/** Brings nodes what was decided about their rescue. */
export function startRescueKeeper(keeping: OrderKeeping): Promise<void> {
  const { decisions, nodes } = keeping.fleet;
  return keepOrders(keeping, {
    ...{ name: 'rescues', by: 'rescue-keeper', race: 'RESCUE_ORDER_RACE', always: true },
    ...{ what: 'what was decided about its rescue', times: { look: 1_000, again: 5_000 }, atOnce: 16 },
    isRight: ({ isRescued }) => isRescued === true,
    async concerned() {
      const incidents = decisions.incidents.all.filter(({ rescue }) => rescue !== undefined);
      const epochs = new Map(incidents.map(({ node, epoch }) => [node, epoch]));
      const records = epochs.size === 0 ? [] : await nodes.getMany([...epochs.keys()]);
      // In its next boot it has no order.
      return new Map(
        records.map(({ id, observed: { bootId } }) => [id, `${epochs.get(id)} ${bootId}`] as const),
      );
    },
    refused: {
      action: 'incident',
      reason: 'its image knows no rescue: it refuses every order that says so, and goes on',
    },
  });
}
