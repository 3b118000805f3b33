/**
 * Brings nodes what was decided about services that do harm: a new order with nothing else changed, which their signer has
 * stamped. Also to nodes that a rollout moves: it finds an order above its own, and takes the next number.
 */
import { BootwaveError, messageOf } from '../../base/error.ts';
import { EVERYWHERE } from '../fleet/decisions/restraints.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { UP } from '../fleet/transitions.ts';
import type { OrderKeeping } from '../orders/deliver.ts';
import { renew } from '../orders/renew.ts';
import { keepNodes } from '../upkeep/nodes.ts';
import { runningOn } from './running.ts';

const KEEPER = 'restraint-keeper';
const TIMES = { look: 1_000, again: 15_000 };
const AT_ONCE = 32;

/** Runs until the signal aborts; of several orchestrators one at a time does the work. Never rejects. */
export function startRestraintKeeper(options: OrderKeeping): Promise<void> {
  const { fleet, log, signal, times = TIMES } = options;
  /** Nodes that lack nothing of what was decided up to this change. */
  const settled = new Map<string, number>();
  let concerned: { changes: number; nodes: ReadonlySet<string> } | null = null;
  const changesNow = () => fleet.decisions.restraints.changes;

  return keepNodes({
    ...{ redis: fleet.redis, name: 'restraints', every: times.look, atOnce: AT_ONCE, log, signal },
    async find() {
      const changes = changesNow();
      if (concerned?.changes !== changes) concerned = { changes, nodes: await concernedBy(fleet) };
      const open = [...concerned.nodes].filter((id) => settled.get(id) !== changes);
      if (open.length === 0) return [];
      const records = await fleet.nodes.getMany(open);
      return records.filter(({ state }) => UP.includes(state));
    },
    async work({ id, name }) {
      const changes = changesNow();
      if (await bring(options, id))
        log.info({ id, node: name }, 'a node was brought what was decided about its services');
      settled.set(id, changes);
    },
    async failed({ id, name }, error, waited) {
      const reason = messageOf(error);
      log[waited === 0 ? 'warn' : 'debug'](
        { id, node: name, reason },
        'a node was not brought what was decided about its services',
      );
      const isRefused = error instanceof BootwaveError && error.code === 'ORDER_MALFORMED';
      if (waited === 0 && isRefused)
        await fleet.audit
          .append({
            ...{ at: Date.now(), actor: KEEPER, node: id, action: 'restraint' },
            reason: 'its image is from before services could be frozen: it refuses every order that says so',
          })
          .catch(() => {});
      return times.again;
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

/** @returns false: it has what was decided already */
const bring = (keeping: OrderKeeping, id: string): Promise<boolean> =>
  renew(keeping, id, {
    ...{ by: KEEPER, race: 'RESTRAINT_ORDER_RACE' },
    isRight: ({ isRestrained }) => isRestrained === true,
  });
