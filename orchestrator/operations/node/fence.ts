import type { Incident } from '../../fleet/decisions/incidents.ts';
import type { Policy } from '../../fleet/site.ts';
import { fence as fenceNode } from '../../recovery/fence.ts';
import type { Acting } from '../operation.ts';

/** `fresh` false: it was held before. `recovery`: what its site lets the automation wipe. */
export type Fenced = { incident: Incident; fresh: boolean; recovery: Policy['recovery'] };

/** @throws BootwaveError `FENCE_NOT_MEMBER`, and what `fence` throws */
export async function fence(
  { node, reason }: { node: string; reason: string },
  { fleet, by }: Acting,
): Promise<Fenced> {
  const cause = { signal: 'operator', evidence: [`${by.actor}: ${reason}`], reason };
  const { incident, fresh } = await fenceNode(fleet, node, cause, by);
  const { recovery } = (await fleet.sites.get(incident.site)).policy;
  return { incident, fresh, recovery };
}
