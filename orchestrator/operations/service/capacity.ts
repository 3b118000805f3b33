/** How many nodes a service needs. */
import { serviceNameSchema } from '../../../protocol/service/name.ts';
import { readGuard } from '../../recovery/guard.ts';
import { decideMinimum, type Stand, standOf } from '../../services/capacity.ts';
import type { Acting } from '../operation.ts';
import { nameIn } from './named.ts';

type Which = { service: string; site?: string | undefined; reason: string };

/** @throws BootwaveError `SERVICE_NAME`, `SITE_UNKNOWN` */
export async function set({ service, site, least, reason }: Which & { least: number }, acting: Acting) {
  const { fleet, by } = acting;
  const name = nameIn(service, serviceNameSchema, 'SERVICE_NAME', 'write shop, or web/shop');
  if (site !== undefined) await fleet.sites.get(site);
  await decideMinimum(fleet, { service: name, site: site ?? null, least }, { ...by, reason });
  return list({}, acting);
}

export const remove = (which: Which, acting: Acting) => set({ ...which, least: 0 }, acting);

export async function list(_: object, { fleet, by }: Acting): Promise<Stand[]> {
  const { minimums, runners } = await readGuard(fleet, by.at);
  return standOf(minimums, runners);
}
