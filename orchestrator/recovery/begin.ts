/** The start of a recovery plan, or of a drill: who may be in it, and the decision. */
import { randomBytes } from 'node:crypto';
import { refusal } from '../../base/error.ts';
import type { By } from '../fleet/acting.ts';
import { isOver } from '../fleet/decisions/incidents.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { NodeRecord } from '../fleet/record.ts';
import { holdersOf } from '../upkeep/holders.ts';
import { PLANS, type Plan } from './plans.ts';

/** Why it can be in none; null: it can. */
export function barred(record: NodeRecord, fleet: Fleet): string | null {
  if (record.identity.ekDigest === null) return 'without a TPM it cannot show that it was wiped';
  return incidentWhy(record, fleet);
}

export function incidentWhy({ id }: NodeRecord, { decisions }: Fleet): string | null {
  const incident = decisions.incidents.of(id);
  return incident === undefined || isOver(incident) ? null : `incident ${incident.number} is under way`;
}

/** What is under way at a site already. @param plans of all sites @returns null: nothing */
export function planWhy(plans: readonly { name: string; value: Plan }[], site: string): string | null {
  const open = plans.find(({ value }) => value.site === site && value.ended === null);
  return open === undefined ? null : `${open.value.kind} ${open.name} is under way at ${site}`;
}

/** The same of rollouts. @param ids of the nodes of the site */
export async function rolloutWhy(
  { redis }: Fleet,
  ids: readonly string[],
  site: string,
): Promise<string | null> {
  const [rollout] = (await holdersOf(redis, ids)).values();
  return rollout === undefined ? null : `rollout ${rollout} is under way at ${site}`;
}

/** Why nodes of this site are not wiped with no person asked; null: they may be. @throws BootwaveError `SITE_UNKNOWN` */
export async function unsaid({ sites }: Fleet, site: string): Promise<string | null> {
  const { policy } = await sites.get(site);
  return policy.recovery === 'person'
    ? `nobody has said that machines of site ${site} may be wiped with no person asked`
    : null;
}

/** @throws BootwaveError `RECOVERY_UNSAID`, `SITE_UNKNOWN` */
export async function mustMayWipe(fleet: Fleet, site: string): Promise<void> {
  const why = await unsaid(fleet, site);
  if (why !== null)
    throw refusal('RECOVERY_UNSAID', why, `two people say it: bootwave site set ${site} --recovery wipe`);
}

export type Draft = Pick<Plan, 'kind' | 'site' | 'atOnce'> & {
  records: readonly NodeRecord[];
  reason: string;
};

export function planOf(
  { kind, site, atOnce, records }: Omit<Draft, 'reason'>,
  { decisions }: Fleet,
  startedAt: number,
): Plan {
  const nodes = records.map(({ id, name, rack }) => ({
    ...{ id, name, rack },
    number: decisions.incidents.of(id)?.number ?? 0,
  }));
  return { kind, site, atOnce, nodes, startedAt, ended: null };
}

export type Started = { plan: string; nodes: number };

/** @throws BootwaveError `RECOVERY_PLAN_NODES`, and as `Shelf.decide` */
export async function beginPlan(fleet: Fleet, wanted: Draft, by: By): Promise<Started> {
  const value = planOf(wanted, fleet, by.at);
  if (value.nodes.length === 0)
    throw refusal('RECOVERY_PLAN_NODES', 'none of its nodes is left', "ask again: 'bootwave recovery plan'");
  const plan = randomBytes(4).toString('hex');
  await PLANS.decide(fleet, plan, () => value, { ...by, reason: wanted.reason });
  return { plan, nodes: value.nodes.length };
}
