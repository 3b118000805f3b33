import { firmwareOverview } from '../../fleet/firmware/overview.ts';
import type { Acting } from '../operation.ts';

export const list = (_: object, { fleet }: Acting) => firmwareOverview(fleet);

export async function accept(
  { node, shows: pcr0, reason }: { node: string; shows?: string | undefined; reason: string },
  { fleet, by }: Acting,
) {
  return fleet.firmware.accept(await fleet.nodes.resolve(node), { reason, pcr0 }, by);
}

export const forget = (
  { pcr0, model, reason }: { pcr0: string; model?: string | undefined; reason: string },
  { fleet, by }: Acting,
) => fleet.firmware.forget(pcr0, model, reason, by);
