import type { Access, Bmc, Claim } from './bmc.ts';
import { ipmi } from './ipmi.ts';
import { redfish } from './redfish.ts';

/** @param node the machine that its BMC should belong to */
export function openBmc(access: Access, node: Claim, signal: AbortSignal): Bmc {
  return access.kind === 'ipmi' ? ipmi(access, signal) : redfish(access, node, signal);
}
