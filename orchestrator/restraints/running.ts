/** Where services run about which people say something. */
import { namesFor } from '../fleet/decisions/restraints.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { readIssued } from '../orders/issued.ts';

/** Ids of the nodes whose order names one of these, by itself or as the service of a slice. @param among ids; absent: all */
export async function runningOn(
  { redis, nodes }: Pick<Fleet, 'redis' | 'nodes'>,
  services: ReadonlySet<string>,
  among?: readonly string[],
): Promise<Set<string>> {
  const orders = await readIssued(redis, among ?? (await nodes.ids({})));
  const found = [...orders].filter(([, { order }]) =>
    order.services.some(({ name }) => namesFor(name).some((one) => services.has(one))),
  );
  return new Set(found.map(([id]) => id));
}
