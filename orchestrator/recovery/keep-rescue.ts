/** Brings nodes what was decided about their rescue: a new order with nothing else changed, which their signer has stamped. */
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { NodeRecord } from '../fleet/record.ts';
import { UP } from '../fleet/transitions.ts';
import type { OrderKeeping } from '../orders/deliver.ts';
import { renew } from '../orders/renew.ts';
import { keepNodes } from '../upkeep/nodes.ts';

const KEEPER = 'rescue-keeper';
const TIMES = { look: 1_000, again: 5_000 };
const AT_ONCE = 16;

/** Runs until the signal aborts; of several orchestrators one at a time does the work. Never rejects. */
export function startRescueKeeper(options: OrderKeeping): Promise<void> {
  const { fleet, log, signal, times = TIMES } = options;
  /** By node, for which decision and in which boot it has what was decided: in the next one it has no order. */
  const settled = new Map<string, string>();
  const newsOf = ({ id, observed: { bootId } }: NodeRecord) =>
    `${fleet.decisions.incidents.of(id)?.epoch ?? 0} ${bootId}`;

  return keepNodes({
    ...{ redis: fleet.redis, name: 'rescues', every: times.look, atOnce: AT_ONCE, log, signal },
    async find() {
      const concerned = fleet.decisions.incidents.all.filter(({ rescue }) => rescue !== undefined);
      if (concerned.length === 0) return [];
      const records = await fleet.nodes.getMany(concerned.map(({ node }) => node));
      return records.filter((one) => UP.includes(one.state) && settled.get(one.id) !== newsOf(one));
    },
    async work(record) {
      const { id, name } = record;
      const news = newsOf(record);
      const isNew = await renew(options, id, {
        ...{ by: KEEPER, race: 'RESCUE_ORDER_RACE', always: true },
        isRight: ({ isRescued }) => isRescued === true,
      });
      if (isNew) log.info({ id, node: name }, 'a node was brought what was decided about its rescue');
      settled.set(id, news);
    },
    async failed({ id, name }, error, waited) {
      const reason = messageOf(error);
      log[waited === 0 ? 'warn' : 'debug'](
        { id, node: name, reason },
        'a node was not brought what was decided about its rescue',
      );
      if (waited === 0 && error instanceof BootwaveError && error.code === 'ORDER_MALFORMED')
        await fleet.audit
          .append({
            ...{ at: Date.now(), actor: KEEPER, node: id, action: 'incident' },
            reason: 'its image knows no rescue: it refuses every order that says so, and goes on',
          })
          .catch(() => {});
      return times.again;
    },
  });
}
