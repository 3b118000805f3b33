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
export async function readInterface(name: string): Promise<InterfaceState | undefined> {
  if (!INTERFACE_NAME.test(name)) return undefined;
  const shown = await run('ip', ['-j', '-4', 'addr', 'show', 'dev', name]);
  if (shown.code !== 0) return undefined;
  type Link = { ifindex?: number; flags?: string[]; addr_info?: { local: string; prefixlen: number }[] };
  // An interface without an IPv4 address may be reported as an empty object; it still exists.
  const links = (JSON.parse(shown.stdout || '[]') as Link[]).filter(({ ifindex }) => ifindex !== undefined);
  const link = links[0] ?? (await bareLink(name));
  if (link?.ifindex === undefined) return undefined;
  return {
    ifindex: link.ifindex,
    carrier: link.flags?.includes('LOWER_UP') === true,
    addresses: links
      .flatMap(({ addr_info = [] }) => addr_info)
      .map(({ local, prefixlen }) => ({ address: local, netmask: formatIp4(maskOf(prefixlen)) })),
  };
}

async function bareLink(name: string): Promise<{ ifindex?: number; flags?: string[] } | undefined> {
  const { stdout } = await run('ip', ['-j', 'link', 'show', 'dev', name]);
  return (JSON.parse(stdout || '[]') as { ifindex?: number; flags?: string[] }[])[0];
}

/**
 * @param address one of the interface's; its first when left out
 * @throws BootwaveError `INTERFACE_MISSING`, `INTERFACE_NO_ADDRESS`
 */
export async function interfaceAddress(
  name: string,
  address?: string,
): Promise<InterfaceAddress & { ifindex: number }> {
  const state = await readInterface(name);
  if (state === undefined) {
    throw new BootwaveError({
      code: 'INTERFACE_MISSING',
      what: `this machine has no network interface ${JSON.stringify(name)}`,
      unchanged: 'no port was opened',
      next: `choose one of those that 'ip -br addr' lists`,
    });
  }
  const info =
    address === undefined ? state.addresses[0] : state.addresses.find((one) => one.address === address);
  if (info === undefined) {
    throw new BootwaveError({
      code: 'INTERFACE_NO_ADDRESS',
      what:
        address === undefined
          ? `the interface ${name} has no IPv4 address`
          : `the interface ${name} does not have the address ${address}`,
      unchanged: 'no port was opened',
      next: `give it one, e.g. 'ip addr add ${address ?? '10.77.0.1'}/24 dev ${name}'`,
    });
  }
  return { ...info, ifindex: state.ifindex };
}

/**
 * Why sockets that were opened on this interface and address receive nothing any more. Pure.
 * @returns undefined: they still receive
 */
export function whyDeaf(
  name: string,
  served: InterfaceAddress & { ifindex: number },
  now: InterfaceState | undefined,
): string | undefined {
  if (now === undefined) return `the network interface ${name} has gone`;
  if (now.ifindex !== served.ifindex) return `the network interface ${name} was made anew`;
  const same = now.addresses.find(({ address }) => address === served.address);
  if (same === undefined) return `the interface ${name} no longer has the address ${served.address}`;
  return same.netmask === served.netmask
    ? undefined
    : `the netmask of ${served.address} on ${name} is ${same.netmask} now`;
}

/**
 * Watches an interface that is served, driven by the kernel's own messages (rtnetlink(7)).
 * @param onLink called when the link goes down and comes up; sockets survive that
 * @returns resolves when the sockets on it receive nothing any more and must be opened again; never when the helper was
 * closed first
 */
export function watchInterface(
  helper: WireHelper,
  served: InterfaceAddress & { ifindex: number },
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
