/** Brings nodes what was reserved, long before it begins. */
import { BootwaveError } from '../../../base/error.ts';
import { sliceOf } from '../../../protocol/service/name.ts';
import { isAlive } from '../../fleet/decisions/slices.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import type { OrderKeeping } from '../../orders/deliver.ts';
import { readIssued } from '../../orders/issued.ts';
import { keepOrders } from '../../orders/keep.ts';

/** Milliseconds of silence. */
const SILENCE = 15_000;
/** Milliseconds before a node whose image knows no reservations is asked again: it may have got another one. */
const OLD = 10 * 60_000;

export function startReservationKeeper(keeping: OrderKeeping): Promise<void> {
  const { fleet, pool, signal } = keeping;
  return keepOrders(keeping, {
    ...{ name: 'reservations', by: 'reservation-keeper', race: 'RESERVATION_ORDER_RACE' },
    ...{ what: 'what is reserved on it', times: { look: 2_000, again: 15_000 }, atOnce: 32 },
    isRight: ({ isReserved }) => isReserved === true,
    concerned: () => concernedBy(fleet, Date.now()),
    async prepare(id) {
      await mustKnow(id);
      // Which they are its signer reads of the log; this says that the node knows them.
      const [first] = fleet.decisions.reservations.ahead(Date.now());
      if (first === undefined) return {};
      const { slice, from, until, cpu, memory } = first;
      return { reservations: [{ slice, from, until, cpu, memory }] };
    },
    again: (error) =>
      error instanceof BootwaveError && error.code === 'RESERVATION_IMAGE' ? OLD : undefined,
  });

  /** An image from before would refuse the order as a whole, and every one after it. */
  async function mustKnow(id: string): Promise<void> {
    const { result } = await pool.request(id, 'usage', {}, { signal, timeout: SILENCE });
    if (result.clock !== undefined) return;
    throw new BootwaveError({
      code: 'RESERVATION_IMAGE',
      what: 'its image knows no reservations',
      unchanged: 'it goes on with the share of the slice',
      next: 'roll out an image that knows them',
    });
  }
}

/**
 * Nodes of slices with reservations that are not over, or that somebody has ended since, and what may have to reach each.
 * @returns by node a text that is another one whenever it has to be looked at
 */
async function concernedBy({ decisions, redis }: Fleet, now: number): Promise<Map<string, string>> {
  const { reservations, rollouts } = decisions;
  const names = new Set(reservations.all.filter(({ until }) => until > now).map(({ slice }) => slice));
  const found = new Map<string, Set<string>>();
  for (const name of names) {
    const slice = rollouts.slices.of(name);
    if (slice === undefined || !isAlive(slice, now)) continue;
    for (const id of slice.nodes) found.set(id, (found.get(id) ?? new Set()).add(name));
  }
  const orders = await readIssued(redis, [...found.keys()]);
  return new Map(
    [...found].flatMap(([id, mine]) => {
      const order = orders.get(id)?.order;
      const runs = order?.services.some(({ name }) => mine.has(sliceOf(name) ?? '')) === true;
      return order === undefined || !runs ? [] : [[id, `${reservations.changes} ${order.epoch}`] as const];
    }),
  );
}
