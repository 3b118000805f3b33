/** Pure: what is wrong with a BMC that works. */
import { BlockList, isIPv6 } from 'node:net';
import type { Hole } from './bmc.ts';

/** As makers deliver them, `user/password`: anybody who reaches the BMC has the machine. */
const DELIVERED = new Set([
  'ADMIN/ADMIN', // Supermicro until 2019
  'root/calvin', // Dell iDRAC
  'admin/admin', // Gigabyte, ASRock Rack, Fujitsu
  'admin/password', // Intel, Quanta
  'USERID/PASSW0RD', // IBM, Lenovo
  'root/changeme', // Sun, Oracle
  'root/0penBmc', // OpenBMC
  'admin/cmb9.admin', // Tyan, Quanta
  'Administrator/password', // HPE iLO of some deliveries
  'Administrator/Administrator',
  'Administrator/superuser', // MegaRAC
  'admin/superuser',
  'sysadmin/superuser',
  'root/root',
  'root/password',
  'admin/1234',
]);

/** A network of nodes, in the words of `os.networkInterfaces()`. */
export type NodeNetwork = { interface: string; cidr: string };

export const WEAKNESSES = ['cipher-zero', 'default-password', 'node-network', 'node-differs'] as const;
export type Weakness = { code: (typeof WEAKNESSES)[number]; what: string };

/** @param networks on which nodes boot */
export function weaknesses(
  { host, user, password }: { host: string; user: string; password: string },
  holes: readonly Hole[],
  networks: readonly NodeNetwork[],
): Weakness[] {
  const found: Weakness[] = [];
  if (holes.includes('cipher-zero'))
    found.push({
      code: 'cipher-zero',
      what: 'it takes ANY password (IPMI cipher suite 0): whoever reaches it has this machine; switch suite 0 off',
    });
  if (isDelivered(user, password))
    found.push({
      code: 'default-password',
      what: `its password is the one that makers deliver for ${user}: give it one of its own`,
    });
  const on = networks.find(({ cidr }) => isWithin(host, cidr));
  if (on !== undefined)
    found.push({
      code: 'node-network',
      what: `its address ${host} is on the network of the nodes (${on.interface}, ${on.cidr}): every node reaches it`,
    });
  return found;
}

export const isDelivered = (user: string, password: string): boolean => DELIVERED.has(`${user}/${password}`);

function isWithin(host: string, cidr: string): boolean {
  const [network = '', length] = cidr.split('/');
  const [of, is] = [network, host].map((one) => (isIPv6(one) ? 'ipv6' : 'ipv4') as 'ipv4' | 'ipv6');
  if (of !== is) return false;
  const list = new BlockList();
  list.addSubnet(network, Number(length), of);
  return list.check(host, is);
}
