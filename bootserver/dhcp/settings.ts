/**
 * What a network tells its clients besides an address; each setting may be global, or of a subnet, a class or a host.
 */
import { type Ip4, ip4Bytes, maskOf, parseIp4 } from '../../formats/dhcp/ip4.ts';
import { concat, OPTION, textBytes } from '../../formats/dhcp/options.ts';

export type SettingsInput = {
  router?: string | undefined;
  dns?: readonly string[] | undefined;
  /** Option 15. */
  domain?: string | undefined;
  /** Time servers (option 42). */
  ntp?: readonly string[] | undefined;
  /** Domain names to search in (option 119). */
  search?: readonly string[] | undefined;
  /** Bytes (option 26). */
  mtu?: number | undefined;
  /** Routes besides the default one (option 121): `to` as 10.8.0.0/16. */
  routes?: readonly { to: string; via: string }[] | undefined;
  /** The longest lease, in seconds. */
  leaseSeconds?: number | undefined;
};

export type Settings = {
  router?: Ip4;
  dns?: readonly Ip4[];
  domain?: string;
  ntp?: readonly Ip4[];
  search?: readonly string[];
  mtu?: number;
  routes?: readonly { network: Ip4; length: number; via: Ip4 }[];
  leaseSeconds?: number;
  /** Option 12, for a host only. */
  hostName?: string;
};

/** Expects settings that `settingsProblems` accepted. */
export function readSettings(input: SettingsInput): Settings {
  const { router, dns, domain, ntp, search, mtu, routes, leaseSeconds } = input;
  return {
    ...(router === undefined ? {} : { router: parseIp4(router) }),
    ...(dns === undefined ? {} : { dns: dns.map(parseIp4) }),
    ...(domain === undefined ? {} : { domain }),
    ...(ntp === undefined ? {} : { ntp: ntp.map(parseIp4) }),
    ...(search === undefined ? {} : { search }),
    ...(mtu === undefined ? {} : { mtu }),
    ...(leaseSeconds === undefined ? {} : { leaseSeconds }),
    ...(routes === undefined
      ? {}
      : { routes: routes.map(({ to, via }) => ({ ...networkOf(to)!, via: parseIp4(via) })) }),
  };
}

/** `10.8.0.0/16`. @returns undefined unless it is a network address with its length */
export function networkOf(text: string): { network: Ip4; length: number } | undefined {
  const [, address = '', digits = ''] = /^([\d.]+)\/(\d{1,2})$/.exec(text) ?? [];
  const length = Number(digits);
  if (digits === '' || length > 32) return undefined;
  try {
    const network = parseIp4(address);
    return (network & ~maskOf(length)) === 0 ? { network, length } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The options of an answer. Options that only some clients can use go to those that ask for them (option 55) and to
 * those that send no list: firmware drops answers that are too long for it.
 */
export function settingsOptions(
  settings: Settings,
  netmask: Ip4,
  parameters: Uint8Array | undefined,
): [number, Uint8Array][] {
  const { router, dns = [], domain, ntp = [], search = [], mtu, routes = [], hostName } = settings;
  const options: [number, Uint8Array][] = [[OPTION.subnetMask, ip4Bytes(netmask)]];
  const wanted = (code: number) => parameters?.includes(code) ?? true;
  if (router !== undefined) options.push([OPTION.router, ip4Bytes(router)]);
  if (dns.length > 0) options.push([OPTION.dns, ip4Bytes(...dns)]);
  if (domain !== undefined) options.push([OPTION.domainName, textBytes(domain)]);
  if (hostName !== undefined) options.push([OPTION.hostName, textBytes(hostName)]);
  if (ntp.length > 0 && wanted(OPTION.ntp)) options.push([OPTION.ntp, ip4Bytes(...ntp)]);
  if (mtu !== undefined && wanted(OPTION.interfaceMtu)) {
    options.push([OPTION.interfaceMtu, Uint8Array.of(mtu >> 8, mtu & 255)]);
  }
  if (search.length > 0 && wanted(OPTION.domainSearch)) {
    options.push([OPTION.domainSearch, concat(...search.map(domainBytes))]);
  }
  if (routes.length > 0) {
    // RFC 3442: a client that uses this option ignores the router option, so the default route must be in it.
    const all = router === undefined ? routes : [...routes, { network: 0, length: 0, via: router }];
    const value = concat(...all.map(routeBytes));
    if (wanted(OPTION.classlessRoutes)) options.push([OPTION.classlessRoutes, value]);
    if (parameters?.includes(OPTION.privateClasslessRoutes) === true) {
      options.push([OPTION.privateClasslessRoutes, value]);
    }
  }
  return options;
}

/** RFC 3442: the length, as many bytes of the network as it fills, the router. */
function routeBytes({ network, length, via }: { network: Ip4; length: number; via: Ip4 }): Uint8Array {
  const significant = ip4Bytes(network).subarray(0, Math.ceil(length / 8));
  return concat(Uint8Array.of(length), significant, ip4Bytes(via));
}

/** RFC 1035 3.1, without compression, which RFC 3397 allows and does not require. */
function domainBytes(name: string): Uint8Array {
  const labels = name.replace(/\.$/, '').split('.');
  return concat(
    ...labels.flatMap((label) => [Uint8Array.of(label.length), textBytes(label)]),
    Uint8Array.of(0),
  );
}

/** RFC 1035 2.3.4. */
export function isDomainName(name: string): boolean {
  const plain = name.replace(/\.$/, '');
  return (
    plain.length <= 253 &&
    plain.split('.').every((label) => /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/.test(label))
  );
}
