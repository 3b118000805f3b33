import { defined } from '../../../base/defined.ts';
import { liftOf, type Trip } from '../../recovery/breaker.ts';
import { resume as letGo, readGuard, setRules } from '../../recovery/guard.ts';
import type { BreakerRules } from '../../recovery/rules.ts';
import { type Stand, standOf } from '../../services/capacity.ts';
import type { Acting } from '../operation.ts';

export type BreakerShown = {
  trips: (Trip & { lift: string })[];
  rules: BreakerRules;
  /** Each minimum that people decided, and how many nodes are well for it. */
  capacity: Stand[];
};

export async function show(_: object, { fleet, by }: Acting): Promise<BreakerShown> {
  const { shown, world, minimums, runners } = await readGuard(fleet, by.at);
  return {
    trips: shown.map((trip) => ({ ...trip, lift: liftOf(trip) })),
    ...{ rules: world.rules, capacity: standOf(minimums, runners) },
  };
}

/** @throws BootwaveError `SITE_UNKNOWN` */
export async function resume(
  { site, wipes, reason }: { site?: string | undefined; wipes: boolean; reason: string },
  acting: Acting,
): Promise<BreakerShown> {
  const { fleet, by, request } = acting;
  if (site !== undefined) await fleet.sites.get(site);
  // What the first of two people had seen; not what came until the second one agreed.
  const at = request?.wish.at ?? by.at;
  await letGo(fleet, { site: site ?? null, wipes }, { ...by, at, reason });
  return show({}, acting);
}

export async function set(
  { reason, ...change }: { [K in keyof BreakerRules]?: BreakerRules[K] | undefined } & { reason: string },
  acting: Acting,
): Promise<BreakerShown> {
  await setRules(acting.fleet, defined(change), { ...acting.by, reason });
  return show({}, acting);
}
