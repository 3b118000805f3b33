/** One healthy node through fence, wipe and return, to see that the road can be gone. */
import { refusal } from '../../../base/error.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import type { NodeRecord } from '../../fleet/record.ts';
import { barred, beginPlan, mustMayWipe, planOf, planWhy, type Started } from '../../recovery/begin.ts';
import { readGuard } from '../../recovery/guard.ts';
import { turnNow } from '../../recovery/keep-plans.ts';
import { pick } from '../../recovery/pick.ts';
import { PLANS } from '../../recovery/plans.ts';
import type { Acting } from '../operation.ts';

export type Begun = Started & { name: string };

/** @throws BootwaveError `DRILL_NOT_NOW`, `RECOVERY_UNSAID`, `SITE_UNKNOWN` */
export async function begin(
  { node, site = '', reason }: { node?: string | undefined; site?: string | undefined; reason: string },
  { fleet, paths, by }: Acting,
): Promise<Begun> {
  const record = node === undefined ? await picked() : await fleet.nodes.resolve(node);
  await mustMayWipe(fleet, record.site);
  const why = await whyNot(fleet, record, by.at);
  if (why !== null) throw notNow(record.name, why, 'take another node, or wait');
  const draft = { kind: 'drill' as const, site: record.site, records: [record], atOnce: 1, reason };
  return { ...(await beginPlan(fleet, draft, by)), name: record.name };

  async function picked(): Promise<NodeRecord> {
    await mustMayWipe(fleet, site);
    const found = await pick(fleet, paths, site, by.at);
    if ('node' in found) return found.node;
    throw notNow(`a node of ${site}`, found.why, 'name one, or wait');
  }
}

async function whyNot(fleet: Fleet, record: NodeRecord, now: number): Promise<string | null> {
  const { site, state } = record;
  const why =
    barred(record, fleet) ??
    (state === 'healthy' ? null : `it is ${state}`) ??
    planWhy(await PLANS.list(fleet), site);
  if (why !== null) return why;
  const value = planOf({ kind: 'drill', site, records: [record], atOnce: 1 }, fleet, now);
  return (await turnNow(fleet, { name: 'none', value }, await readGuard(fleet, now))).why;
}

const notNow = (who: string, why: string, next: string) =>
  refusal('DRILL_NOT_NOW', `no drill with ${who}: ${why}`, next);
