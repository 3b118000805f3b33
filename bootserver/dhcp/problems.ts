/** What is wrong with a DHCP configuration, each fault with its field. Pure; nothing is half-applied. */

import { formatIp4, type Ip4, parseIp4, sameNetwork } from '../../formats/dhcp/ip4.ts';
import type { DhcpInput, HostInput, SubnetInput } from './input.ts';
import { isDomainName, networkOf, type SettingsInput } from './settings.ts';

export type Problem = {
  /** From the configuration down, e.g. `['subnets', 0, 'router']`. */
  path: readonly (string | number)[];
  what: string;
  next: string;
};

type Path = Problem['path'];
type Found = { from: Ip4; to: Ip4; path: Path };

/** A shorter prefix has no use for a range, and is more likely a typing mistake. */
const LARGEST_POOL = 65536;

/** @returns in the order of the fields; empty: the configuration can be used */
export function configProblems(input: DhcpInput): Problem[] {
  const problems: Problem[] = [];
  const add = (path: Path, what: string, next: string): void => void problems.push({ path, what, next });
  const ip = (text: string, path: Path): Ip4 | undefined => {
    try {
      return parseIp4(text);
    } catch {
      add(path, `${JSON.stringify(text)} is not an IPv4 address`, 'write it as four numbers, e.g. 10.0.0.1');
      return undefined;
    }
  };
  const host = (text: string, path: Path): Ip4 | undefined => {
    const address = ip(text, path);
    if (address === undefined || isHostAddress(address, isLoopback(input.serverIp))) return address;
    add(path, `${text} is no address of a machine`, 'name the address of one machine');
    return undefined;
  };

  const serverIp = host(input.serverIp, ['address']);
  if (!input.proxy && (input.subnets ?? []).length === 0) {
    add(['subnets'], 'a full DHCP server needs an address range', 'give a range, or run as a proxy');
  }
  settingsProblems(input.settings ?? {}, [], undefined);

  const networks: { network: Ip4; netmask: Ip4; path: Path }[] = [];
  const pools: Found[] = [];
  for (const [i, subnet] of (input.proxy ? [] : (input.subnets ?? [])).entries()) {
    subnetProblems(subnet, ['subnets', i]);
  }
  hostProblems(input.hosts ?? []);
  for (const [i, one] of (input.classes ?? []).entries()) {
    const path = ['classes', i];
    if (
      [one.vendorClass, one.userClass, one.architecture].every((text) => text === undefined || text === '')
    ) {
      add(
        path,
        'this class fits every client',
        'say which vendor-class, user-class or architecture it is for',
      );
    }
    settingsProblems(one, path, undefined);
  }
  return problems;

  function subnetProblems(subnet: SubnetInput, path: Path): void {
    const address = ip(subnet.network, [...path, 'network']);
    const netmask = ip(subnet.netmask, [...path, 'network']);
    for (const [i, relay] of (subnet.relays ?? []).entries()) host(relay, [...path, 'relays', i]);
    if (address === undefined || netmask === undefined) return;
    const hosts = ~netmask >>> 0;
    if ((hosts & (hosts + 1)) !== 0 || hosts < 3) {
      add(
        [...path, 'network'],
        `${subnet.netmask} is not a netmask with room for clients`,
        'use e.g. 255.255.255.0',
      );
      return;
    }
    const network = (address & netmask) >>> 0;
    const other = networks.find(
      (one) => sameNetwork(one.network, network, netmask) || sameNetwork(network, one.network, one.netmask),
    );
    if (other !== undefined) {
      add([...path, 'network'], `this subnet overlaps another one`, 'name each network once');
    }
    networks.push({ network, netmask, path });
    settingsProblems(subnet, path, { network, netmask });
    for (const [i, { from, to }] of subnet.pools.entries()) {
      const first = ip(from, [...path, 'pools', i]);
      const last = ip(to, [...path, 'pools', i]);
      if (first !== undefined && last !== undefined)
        poolProblems(first, last, { network, hosts }, [...path, 'pools', i]);
    }
  }

  function poolProblems(
    from: Ip4,
    to: Ip4,
    { network, hosts }: { network: Ip4; hosts: Ip4 },
    path: Path,
  ): void {
    const shown = `${formatIp4(from)}-${formatIp4(to)}`;
    if (from > to || from <= network || to >= network + hosts) {
      add(
        path,
        `the range ${shown} does not lie in ${formatIp4(network)}/${formatIp4(~hosts >>> 0)}`,
        'choose a range of the subnet without its first and last address',
      );
      return;
    }
    if (to - from >= LARGEST_POOL) {
      add(path, `the range holds more than ${LARGEST_POOL} addresses`, 'choose a smaller one');
    }
    const other = pools.find((one) => one.from <= to && from <= one.to);
    if (other !== undefined) {
      const with_ = `${formatIp4(other.from)}-${formatIp4(other.to)}`;
      add(path, `the range ${shown} overlaps the range ${with_}`, 'let each address be in one range');
    }
    pools.push({ from, to, path });
  }

  function hostProblems(hosts: readonly HostInput[]): void {
    const macs = new Set<string>();
    const addresses = new Map<Ip4, string>();
    for (const [i, { mac, address, name, ...settings }] of hosts.entries()) {
      const path = ['hosts', i];
      if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac)) {
        add([...path, 'mac'], `${JSON.stringify(mac)} is not a MAC address`, 'write it as 52:54:00:aa:bb:cc');
      } else if (macs.has(mac)) {
        add([...path, 'mac'], `${mac} is named twice`, 'name each machine once');
      }
      macs.add(mac);
      if (name !== undefined && (!isDomainName(name) || name.length > 63)) {
        add(
          [...path, 'name'],
          `${JSON.stringify(name)} cannot be a host name`,
          'use letters, digits and dashes',
        );
      }
      settingsProblems(settings, path, undefined);
      const wanted = address === undefined ? undefined : ip(address, [...path, 'address']);
      if (wanted === undefined) continue;
      const at = [...path, 'address'];
      const subnet = networks.find((one) => sameNetwork(one.network, wanted, one.netmask));
      const double = addresses.get(wanted);
      if (!input.proxy && subnet === undefined) {
        add(at, `the address ${address} reserved for ${mac} is in no subnet`, 'correct the reservation');
      } else if (subnet !== undefined && isEdge(wanted, subnet)) {
        add(at, `${address} is the network or broadcast address of its subnet`, 'choose another one');
      }
      if (double !== undefined) add(at, `${address} is reserved for ${double} too`, 'reserve it once');
      if (wanted === serverIp) add(at, `${address} is this server's own address`, 'choose another one');
      addresses.set(wanted, mac);
    }
  }

  function settingsProblems(
    { router, dns = [], domain, ntp = [], search = [], mtu, routes = [], leaseSeconds }: SettingsInput,
    path: Path,
    subnet: { network: Ip4; netmask: Ip4 } | undefined,
  ): void {
    const gateway = (text: string, at: Path, what: string): void => {
      const address = host(text, at);
      if (address === undefined || subnet === undefined) return;
      if (!sameNetwork(address, subnet.network, subnet.netmask)) {
        add(at, `the ${what} ${text} is outside of its subnet`, 'name one that its clients can reach');
      } else if (isEdge(address, subnet)) {
        add(at, `the ${what} ${text} is the network or broadcast address of its subnet`, 'name a machine');
      }
    };
    if (router !== undefined) gateway(router, [...path, 'router'], 'router');
    for (const [i, one] of dns.entries()) host(one, [...path, 'dns', i]);
    for (const [i, one] of ntp.entries()) host(one, [...path, 'ntp', i]);
    const names = domain === undefined ? [] : [{ name: domain, at: [...path, 'domain'] }];
    for (const { name, at } of [
      ...names,
      ...search.map((one, i) => ({ name: one, at: [...path, 'search', i] })),
    ]) {
      if (!isDomainName(name))
        add(at, `${JSON.stringify(name)} is not a domain name`, 'write it as example.org');
    }
    if (mtu !== undefined && !(Number.isInteger(mtu) && mtu >= 68 && mtu <= 65535)) {
      add([...path, 'mtu'], `an MTU of ${mtu} bytes cannot be`, 'use 68 to 65535 (RFC 2132 5.1)');
    }
    for (const [i, { to, via }] of routes.entries()) {
      if (networkOf(to) === undefined) {
        add(
          [...path, 'routes', i, 'to'],
          `${JSON.stringify(to)} is not a network`,
          'write it as 10.8.0.0/16',
        );
      }
      gateway(via, [...path, 'routes', i, 'via'], 'router');
    }
    if (
      leaseSeconds !== undefined &&
      !(Number.isInteger(leaseSeconds) && leaseSeconds >= 120 && leaseSeconds <= 0x7fffffff)
    ) {
      add(
        [...path, 'lease'],
        `a lease of ${leaseSeconds} seconds cannot be given`,
        'use 120 seconds or more',
      );
    }
  }
}

/** Neither "this host" (0/8), multicast, reserved nor broadcast (RFC 6890); loopback only where the server is on it. */
function isHostAddress(address: Ip4, onLoopback: boolean): boolean {
  const first = address >>> 24;
  return first !== 0 && (first !== 127 || onLoopback) && first < 224;
}

const isLoopback = (text: string): boolean => text.startsWith('127.');

function isEdge(address: Ip4, { network, netmask }: { network: Ip4; netmask: Ip4 }): boolean {
  return address === network || address === (network | ~netmask) >>> 0;
}
