import { refusal } from '../../../base/error.ts';
import { readConfigFile } from '../../../bootserver/config-file.ts';
import type { Lease } from '../../../bootserver/dhcp/free-addresses.ts';
import { formatIp4, parseIp4 } from '../../../formats/dhcp/ip4.ts';
import type { KeptWires } from '../../up/wires.ts';
import type { Acting } from '../operation.ts';

export type ShownLease = {
  interface: string;
  address: string;
  /** Empty for a declined address: another machine uses it. */
  client: string;
  mac: string;
  /** Milliseconds since the epoch. */
  until: number;
  state: 'bound' | 'ended' | 'resting';
};

export async function check({ file }: { file: string }) {
  const interfaces = await readConfigFile(file);
  return { file, interfaces: interfaces.map((one) => one.interface) };
}

export async function reload(_: object, context: Acting) {
  await served(context).reload();
  return { reloaded: true };
}

export const deafNow = async (_: object, context: Acting) => [...served(context).deaf];

export async function list(_: object, context: Acting): Promise<ShownLease[]> {
  return shown(served(context).leases(), context.by.at);
}

/** @throws BootwaveError `LEASE_UNKNOWN` */
export async function end({ address: text }: { address: string }, context: Acting) {
  const address = formatIp4(parseIp4(text));
  if ((await served(context).endLease(parseIp4(address))) === 0)
    throw refusal(
      'LEASE_UNKNOWN',
      `${address} is not leased and does not rest`,
      `'bootwave lease list' shows those in force`,
    );
  const { fleet, by } = context;
  await fleet.audit.append({ ...by, action: 'end-lease', reason: address });
  return { address, ended: true };
}

function served({ wires }: Acting): KeptWires {
  const kept = wires();
  if (kept !== undefined) return kept;
  throw refusal('BOOTSERVER_STARTING', 'the boot server is still opening its ports', 'ask again in a moment');
}

function shown(leases: readonly (Lease & { interface: string })[], now: number): ShownLease[] {
  return leases
    .toSorted((a, b) => a.ip - b.ip)
    .map(({ interface: device, ip, key, mac, until }) => ({
      interface: device,
      address: formatIp4(ip),
      client: key,
      mac,
      until,
      state: until <= now ? 'ended' : key === '' ? 'resting' : 'bound',
    }));
}
