/** A new order with nothing else changed, on which the signer stamps what was decided since. */
import type { Order } from '../../protocol/order.ts';
import { deliverOrder, type OrderKeeping } from './deliver.ts';
import { knownEpoch } from './guard.ts';
import { readIssued } from './issued.ts';
import { keptOf, signKept } from './kept.ts';
import type { Standing } from './order-signer.ts';
import { reissue } from './reissue.ts';
import { standingOf } from './sign.ts';

/** Milliseconds of silence. */
const SILENCE = 15_000;

export type Renewal = {
  /** Stored where a rollout's id would be. */
  by: string;
  /** Code of the error when another process was faster. */
  race: string;
  /** What was signed last says what was decided. */
  isRight(standing: Standing): boolean;
  reservations?: Order['reservations'];
  /** Also of a node without services: what was decided is about the node itself. */
  always?: boolean;
};

/**
 * Also to a node that a rollout moves: it finds an order above its own, and takes the next number.
 * @returns false: it has that order already, or no services
 */
export async function renew(
  { fleet, pool, signer, signal }: OrderKeeping,
  id: string,
  { by, race, isRight, reservations, always = false }: Renewal,
): Promise<boolean> {
  const { redis } = fleet;
  const ask = { signal, timeout: SILENCE };
  // A decision is in force here a moment before it is on the disk, where the signer reads: until then an order of before looks right.
  await fleet.decisions.look();
  const standing = await standingOf(redis, signer, id);
  const inForce = (await readIssued(redis, [id])).get(id);
  const { config, services } = keptOf(inForce, standing);
  if (services.length === 0 && !always) return false;
  const { result: status } = await pool.request(id, 'status', {}, ask);
  const known = Math.max(knownEpoch(status), standing.epoch);
  if (isRight(standing) && status.order?.epoch === known) return false;
  const other = inForce?.order ?? { mode: status.mode, image: null, forgiven: [] };
  const wanted = { ...other, wipe: false, config, services };
  const order = await reissue(redis, {
    // A disk that was to be wiped was, or people say it again.
    ...{ node: id, wanted: reservations === undefined ? wanted : { ...wanted, reservations }, inForce },
    ...{ by: inForce?.rollout ?? by, kind: inForce?.kind ?? 'activate', race, now: Date.now() },
    // Above the order in force, which says the same of all else.
    floor: Math.max(known, inForce?.order.epoch ?? 0) + 1,
  });
  const envelope = await signKept(redis, signer, order);
  await deliverOrder(pool, id, envelope, ask);
  return true;
}
