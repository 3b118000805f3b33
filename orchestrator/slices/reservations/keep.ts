/** Brings nodes what was reserved, long before it begins: a new order with nothing else changed, which their signer has stamped. */
import { BootwaveError, messageOf } from '../../../base/error.ts';
import { sliceOf } from '../../../protocol/service/name.ts';
import { isAlive } from '../../fleet/decisions/slices.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import { UP } from '../../fleet/transitions.ts';
import type { OrderKeeping } from '../../orders/deliver.ts';
import { readIssued } from '../../orders/issued.ts';
import { renew } from '../../orders/renew.ts';
import { keepNodes } from '../../upkeep/nodes.ts';

const KEEPER = 'reservation-keeper';
const TIMES = { look: 2_000, again: 15_000 };
const AT_ONCE = 32;
/** Milliseconds of silence. */
const SILENCE = 15_000;
/** Milliseconds before a node whose image knows no reservations is asked again: it may have got another one. */
const OLD = 10 * 60_000;

/** Runs until the signal aborts; of several orchestrators one at a time does the work. Never rejects. */
export function startReservationKeeper(options: OrderKeeping): Promise<void> {
  const { fleet, pool, log, signal, times = TIMES } = options;
  /** Nodes that have what was decided, as of this news. */
  const settled = new Map<string, string>();
  let concerned = new Map<string, string>();

  return keepNodes({
    ...{ redis: fleet.redis, name: 'reservations', every: times.look, atOnce: AT_ONCE, log, signal },
    async find() {
      concerned = await concernedBy(fleet, Date.now());
      for (const id of settled.keys()) if (!concerned.has(id)) settled.delete(id);
      const open = [...concerned].flatMap(([id, news]) => (settled.get(id) === news ? [] : [id]));
      if (open.length === 0) return [];
      const records = await fleet.nodes.getMany(open);
      return records.filter(({ state }) => UP.includes(state));
    },
    async work({ id, name }) {
      const news = concerned.get(id);
      await mustKnow(id);
      const { decisions } = fleet;
      // Which they are its signer reads of the log; this says that the node knows them.
      const reservations = decisions.reservations.ahead(Date.now()).slice(0, 1);
      const isNew = await renew(options, id, {
        ...{ by: KEEPER, race: 'RESERVATION_ORDER_RACE' },
        isRight: ({ isReserved }) => isReserved === true,
        ...(reservations.length === 0
          ? {}
          : {
              reservations: reservations.map(({ slice, from, until, cpu, memory }) => ({
                ...{ slice, from, until, cpu, memory },
              })),
            }),
      });
      if (isNew) log.info({ id, node: name }, 'a node was brought what is reserved on it');
      if (news !== undefined) settled.set(id, news);
    },
    async failed({ id, name }, error, waited) {
      const isOld = error instanceof BootwaveError && error.code === 'RESERVATION_IMAGE';
      log[waited === 0 ? 'warn' : 'debug'](
        { id, node: name, reason: messageOf(error) },
        'a node was not brought what is reserved on it',
      );
      return isOld ? OLD : times.again;
    },
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
