import { BootwaveError } from '../../base/error.ts';
import { type Ip4, parseIp4, sameNetwork } from '../../formats/dhcp/ip4.ts';
import type { Pool } from './free-addresses.ts';
import type { ClassInput, DhcpInput } from './input.ts';
import { configProblems } from './problems.ts';
import { readSettings, type Settings } from './settings.ts';

export type Subnet = {
  network: Ip4;
  netmask: Ip4;
  pools: readonly Pool[];
  relays: readonly Ip4[];
  settings: Settings;
};

export type Host = { address: Ip4 | undefined; settings: Settings };

export type DhcpConfig = {
  serverIp: Ip4;
  httpPort: number;
  httpsPort: number;
  /** The local one comes first, if there is one. Empty for a proxy. */
  subnets: readonly Subnet[];
  settings: Settings;
  classes: readonly (Pick<ClassInput, 'vendorClass' | 'userClass' | 'architecture'> & {
    settings: Settings;
  })[];
  /** By MAC address. */
  hosts: ReadonlyMap<string, Host>;
};

/** Limits, with units. */
export const DHCP_LIMITS = {
  /** Seconds. */
  lease: 12 * 3600,
  /**
   * The longest lease of firmware, in seconds: long enough for a slow download and never renewed, so that restarts of a
   * whole rack do not hold addresses for half a day.
   */
  firmwareLease: 3600,
  /** Seconds; no client gets less, whatever it asks for. */
  leastLease: 120,
  /** Seconds that an offer keeps its address; no client waits longer for its own REQUEST. */
  offer: 15,
  /** Seconds for which an address in use by another machine is not offered: that machine should be found by then. */
  rest: 3600,
} as const;

/** @throws BootwaveError `DHCP_CONFIG` naming the first value that does not fit */
export function dhcpConfig(input: DhcpInput): DhcpConfig {
  const [problem] = configProblems(input);
  if (problem !== undefined) {
    const { what, next } = problem;
    throw new BootwaveError({
      code: 'DHCP_CONFIG',
      what,
      unchanged: 'nothing was started or changed',
      next,
    });
  }
  const serverIp = parseIp4(input.serverIp);
  const hosts = new Map(
    (input.hosts ?? []).map(({ mac, address, name, ...settings }) => [
      mac,
      {
        address: address === undefined ? undefined : parseIp4(address),
        settings: { ...readSettings(settings), ...(name === undefined ? {} : { hostName: name }) },
      },
    ]),
  );
  const all = input.proxy ? [] : (input.subnets ?? []);
  const routers = all.flatMap(({ router }) => (router === undefined ? [] : [parseIp4(router)]));
  const reserved = [...hosts.values()].flatMap(({ address }) => address ?? []);
  const taken = new Set([serverIp, ...routers, ...reserved]);
  const subnets = all
    .map(({ network, netmask, pools, relays = [], ...settings }) => ({
      network: (parseIp4(network) & parseIp4(netmask)) >>> 0,
      netmask: parseIp4(netmask),
      pools: pools.map(({ from, to }) => ({ from: parseIp4(from), to: parseIp4(to), taken })),
      relays: relays.map(parseIp4),
      settings: readSettings(settings),
    }))
    .sort((a, b) => Number(isLocal(b, serverIp)) - Number(isLocal(a, serverIp)));
  return {
    serverIp,
    httpPort: input.httpPort,
    httpsPort: input.httpsPort,
    subnets,
    settings: readSettings(input.settings ?? {}),
    classes: (input.classes ?? []).map(({ vendorClass, userClass, architecture, ...settings }) => ({
      vendorClass,
      userClass,
      architecture,
      settings: readSettings(settings),
    })),
    hosts,
  };
}

function isLocal({ network, netmask }: Subnet, serverIp: Ip4): boolean {
  return sameNetwork(network, serverIp, netmask);
}
