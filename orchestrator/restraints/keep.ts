/**
 * Brings nodes what was decided about services that do harm. Also to nodes that a rollout moves: it finds an order above its
 * own, and takes the next number.
 */
import { EVERYWHERE } from '../fleet/decisions/restraints.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { OrderKeeping } from '../orders/deliver.ts';
import { keepOrders } from '../orders/keep.ts';
import { runningOn } from './running.ts';

export function startRestraintKeeper(keeping: OrderKeeping): Promise<void> {
  const { fleet } = keeping;
  let known: { changes: number; nodes: ReadonlyMap<string, string> } | null = null;
  return keepOrders(keeping, {
    ...{ name: 'restraints', by: 'restraint-keeper', race: 'RESTRAINT_ORDER_RACE' },
    ...{ what: 'what was decided about its services', times: { look: 1_000, again: 15_000 }, atOnce: 32 },
    isRight: ({ isRestrained }) => isRestrained === true,
    async concerned() {
      const { changes } = fleet.decisions.restraints;
      if (known?.changes !== changes) {
        const nodes = [...(await concernedBy(fleet))].map((id) => [id, `${changes}`] as const);
        known = { changes, nodes: new Map(nodes) };
      }
      return known.nodes;
    },
    refused: {
      action: 'restraint',
      reason: 'its image is from before services could be frozen: it refuses every order that says so',
    },
  });
}

/** Also by what was let go: those nodes may still have the order before. */
async function concernedBy(fleet: Fleet): Promise<Set<string>> {
  const { all } = fleet.decisions.restraints;
  const named = all.filter(({ node }) => node !== EVERYWHERE).map(({ node }) => node);
  const everywhere = new Set(all.filter(({ node }) => node === EVERYWHERE).map(({ service }) => service));
  if (everywhere.size === 0) return new Set(named);
  return new Set([...named, ...(await runningOn(fleet, everywhere))]);
}
