/** A network interface as the kernel reports it now, and what happens to it while it is served. */
import { BootwaveError } from '../base/error.ts';
import { run } from '../base/run.ts';
import { formatIp4, maskOf } from '../formats/dhcp/ip4.ts';
import type { WireHelper } from './wire-helper.ts';

export type InterfaceAddress = { address: string; netmask: string };

export type InterfaceState = {
  /** The kernel's number: it changes when an interface is deleted and made again with the same name. */
  ifindex: number;
  /** Whether a link is there (IFF_LOWER_UP). */
  carrier: boolean;
  addresses: readonly InterfaceAddress[];
  /**
   * IPv6 addresses that others can reach: no link-local, temporary or duplicate ones. First those that somebody gave it, which
   * last, then those that follow from a router's advertisement; always in the same order, whatever the kernel's is.
   */
  addresses6: readonly string[];
};

/** IFNAMSIZ is 16 with its NUL; a leading dash would be an option of ip. */
export const INTERFACE_NAME = /^[A-Za-z0-9_.:@][A-Za-z0-9_.:@-]{0,14}$/;

/** Milliseconds that an address may be missing: network managers remove it and add it again when they restart. */
const ADDRESS_GRACE = 2000;

/**
 * As iproute2 knows it: `os.networkInterfaces()` hides interfaces that are without carrier, for example while the
 * switch is still starting.
 * @returns undefined: there is no interface of this name
 */
async function readInterface(name: string): Promise<InterfaceState | undefined> {
  if (!INTERFACE_NAME.test(name)) return undefined;
  const shown = await run('ip', ['-j', 'addr', 'show', 'dev', name]);
  if (shown.code !== 0) return undefined;
  type Address = {
    family: string;
    local: string;
    prefixlen: number;
    scope: string;
    dynamic?: boolean;
    temporary?: boolean;
    dadfailed?: boolean;
  };
  type Link = { ifindex?: number; flags?: string[]; addr_info?: Address[] };
  const links = JSON.parse(shown.stdout || '[]') as Link[];
  const link = links.find(({ ifindex }) => ifindex !== undefined);
  if (link?.ifindex === undefined) return undefined;
  const all = links.flatMap(({ addr_info = [] }) => addr_info);
  return {
    ifindex: link.ifindex,
    carrier: link.flags?.includes('LOWER_UP') === true,
    addresses: all
      .filter(({ family }) => family === 'inet')
      .map(({ local, prefixlen }) => ({ address: local, netmask: formatIp4(maskOf(prefixlen)) })),
    addresses6: all
      .filter(({ family, scope }) => family === 'inet6' && scope === 'global')
      .filter(({ temporary, dadfailed }) => temporary !== true && dadfailed !== true)
      .sort((a, b) => Number(a.dynamic === true) - Number(b.dynamic === true) || (a.local < b.local ? -1 : 1))
      .map(({ local }) => local),
  };
}

/**
 * @param address one of the interface's; its first when left out
 * @throws BootwaveError `INTERFACE_MISSING`, `INTERFACE_NO_ADDRESS`
 */
export async function interfaceAddress(
  name: string,
  address?: string,
): Promise<InterfaceAddress & { ifindex: number }> {
  const state = (await readInterface(name)) ?? missing(name);
  const info =
    address === undefined ? state.addresses[0] : state.addresses.find((one) => one.address === address);
  if (info === undefined) throw noAddress(name, address, 'no IPv4 address', '10.77.0.1/24');
  return { ...info, ifindex: state.ifindex };
}

/**
 * The IPv6 address that machines are told to fetch from.
 * @param address one of the interface's; when left out, the first of those that `isPreferred`, else the first of all
 * @throws BootwaveError `INTERFACE_MISSING`, `INTERFACE_NO_ADDRESS`
 */
export async function interfaceAddress6(
  name: string,
  address: string | undefined,
  isPreferred: (address: string) => boolean,
): Promise<string> {
  const { addresses6: all } = (await readInterface(name)) ?? missing(name);
  const found =
    address === undefined ? (all.find(isPreferred) ?? all[0]) : all.find((one) => one === address);
  if (found !== undefined) return found;
  throw noAddress(name, address, 'no IPv6 address beside its link-local one', 'fd00:77::1/64');
}

/** @param address that was asked for @param example of an address with its prefix, for the case that none was */
function noAddress(name: string, address: string | undefined, none: string, example: string): BootwaveError {
  const [text, prefix] = example.split('/');
  const lacks = address === undefined ? `has ${none}` : `does not have the address ${address}`;
  return new BootwaveError({
    code: 'INTERFACE_NO_ADDRESS',
    what: `the interface ${name} ${lacks}`,
    unchanged: 'no port was opened',
    next: `give it one, e.g. 'ip addr add ${address ?? text}/${prefix} dev ${name}'`,
  });
}

function missing(name: string): never {
  throw new BootwaveError({
    code: 'INTERFACE_MISSING',
    what: `this machine has no network interface ${JSON.stringify(name)}`,
    unchanged: 'no port was opened',
    next: `choose one of those that 'ip -br addr' lists`,
  });
}

/** What sockets were opened on; `address6` where IPv6 is served, too. */
export type Served = InterfaceAddress & { ifindex: number; address6?: string | undefined };

/**
 * Why sockets that were opened on this interface and address receive nothing any more. Pure.
 * @returns undefined: they still receive
 */
function whyDeaf(name: string, served: Served, now: InterfaceState | undefined): string | undefined {
  if (now === undefined) return `the network interface ${name} has gone`;
  if (now.ifindex !== served.ifindex) return `the network interface ${name} was made anew`;
  const same = now.addresses.find(({ address }) => address === served.address);
  if (same === undefined) return `the interface ${name} no longer has the address ${served.address}`;
  if (same.netmask !== served.netmask)
    return `the netmask of ${served.address} on ${name} is ${same.netmask} now`;
  const { address6 } = served;
  return address6 === undefined || now.addresses6.includes(address6)
    ? undefined
    : `the interface ${name} no longer has the address ${address6}`;
}

/**
 * Watches an interface that is served, driven by the kernel's own messages (rtnetlink(7)).
 * @param onLink called when the link goes down and comes up; sockets survive that
 * @returns resolves when the sockets on it receive nothing any more and must be opened again; never when the helper was
 * closed first
 */
export function watchInterface(
  helper: WireHelper,
  served: Served,
  { onLink, signal }: { onLink: (carrier: boolean) => void; signal: AbortSignal },
): Promise<BootwaveError> {
  const { device } = helper;
  const { promise, resolve } = Promise.withResolvers<BootwaveError>();
  const lost = (what: string) =>
    resolve(
      new BootwaveError({
        code: 'INTERFACE_LOST',
        what,
        unchanged: 'nothing is received on it until it is served again; leases and records are kept',
        next: `look at 'ip -br addr show dev ${device}'`,
      }),
    );
  let carrier: boolean | undefined;
  let missing: NodeJS.Timeout | undefined;
  const look = async (last = false): Promise<void> => {
    const now = await readInterface(device);
    if (signal.aborted) return;
    const why = whyDeaf(device, served, now);
    if (why !== undefined && (last || now?.ifindex !== served.ifindex)) return lost(why);
    if (why === undefined) {
      clearTimeout(missing);
      missing = undefined;
    } else {
      missing ??= setTimeout(() => void look(true).catch(() => {}), ADDRESS_GRACE);
    }
    if (now === undefined || now.carrier === carrier) return;
    // A link that is up when the watch begins is not reported.
    if (carrier !== undefined || !now.carrier) onLink(now.carrier);
    carrier = now.carrier;
  };
  const stop = helper.onChange(() => void look().catch(() => {}));
  signal.addEventListener('abort', () => {
    stop();
    clearTimeout(missing);
  });
  void helper.ended.then(() => {
    if (!signal.aborted) lost(`the helper that watches ${device} has ended`);
  });
  void look().catch(() => {});
  return promise;
}
