/** How many nodes a service needs: what people decided, and what would fall short of it. */
import { z } from 'zod';
import { serviceNameSchema, shownName } from '../../protocol/service/name.ts';
import type { By } from '../fleet/acting.ts';
import { Shelf } from '../fleet/decisions/shelf.ts';
import type { Fleet } from '../fleet/fleet.ts';

const minimumSchema = z.object({
  /** With its owner. */
  service: z.string().refine((name) => serviceNameSchema.safeParse(name).success),
  /** Null: in the whole fleet. */
  site: z.string().nullable(),
  /** Nodes that are well and run it. */
  least: z.int().min(1).max(100_000),
});
export type Minimum = z.infer<typeof minimumSchema>;

const SHELF = new Shelf<Minimum>('capacity', minimumSchema);

export const minimumsOf = async (fleet: Fleet): Promise<Minimum[]> =>
  (await SHELF.list(fleet)).map(({ value }) => value);

/** @param least 0: none is asked for any more */
export async function decideMinimum(
  fleet: Fleet,
  { service, site, least }: Minimum,
  by: By & { reason: string },
): Promise<{ changed: boolean }> {
  const value = least === 0 ? null : minimumSchema.parse({ service, site, least });
  const name = `${service}@${site ?? ''}`;
  return SHELF.decide(fleet, name, (known) => (known?.value?.least === least ? 'same' : value), by);
}

/** A node that is well, and what it runs. */
export type Runner = { id: string; site: string; services: readonly string[] };

export type Stand = Minimum & { well: number };

/** How many are well for each minimum, without those nodes. */
export function standOf(
  minimums: readonly Minimum[],
  runners: readonly Runner[],
  without: ReadonlySet<string> = new Set(),
): Stand[] {
  return minimums.map((minimum) => {
    const { service, site } = minimum;
    const well = runners.filter(
      (one) => !without.has(one.id) && (site === null || one.site === site) && one.services.includes(service),
    ).length;
    return { ...minimum, well };
  });
}

/**
 * Why a node cannot be done without now; null: it can. What falls short already is no reason where the node does not run it.
 * @param away nodes that are taken from their work already, or will be
 */
export function neededWhy(
  node: string,
  minimums: readonly Minimum[],
  runners: readonly Runner[],
  away: ReadonlySet<string> = new Set(),
): string | null {
  const here = runners.find(({ id }) => id === node);
  if (here === undefined || away.has(node)) return null;
  const its = minimums.filter(
    ({ service, site }) => here.services.includes(service) && (site === null || site === here.site),
  );
  const short = standOf(its, runners, new Set([...away, node])).find(({ well, least }) => well < least);
  return short === undefined ? null : shortText(short);
}

const shortText = ({ service, site, well, least }: Stand): string =>
  `${shownName(service)} would be left with ${well} of the ${least} nodes that it needs${site === null ? '' : ` at site ${site}`}`;
