import type { Lease } from '../../bootserver/dhcp/free-addresses.ts';
import type { Ip4 } from '../../formats/dhcp/ip4.ts';
import type { WireParts, WireSpec } from './serve-wire.ts';
import { type KeptWire, keepWire, restartNeeded } from './wire.ts';

export type ServedAddress = { interface: string; address: string; address6?: string };

/** Every interface that one process serves. */
export type KeptWires = {
  /** In the order of the configuration. */
  readonly addresses: readonly ServedAddress[];
  /** Those that receive nothing now, and why. */
  readonly deaf: readonly { interface: string; why: string }[];
  /** Ids of the servers CAs whose certificates are shown; one, but for a moment. */
  readonly issuer: string;
  authorityChanged(issuer: string): Promise<void>;
  /**
   * Reads the configuration again and uses it: all interfaces or none.
   * @throws BootwaveError what is wrong with it; `BOOTSERVER_RESTART` where it needs another set of ports
   */
  reload(): Promise<void>;
  leases(): readonly (Lease & { interface: string })[];
  /** @returns on how many interfaces there was such a lease in force */
  endLease(ip: Ip4): Promise<number>;
  done: Promise<void>;
};

/**
 * Serves them all or none.
 * @param read the configuration as it is now
 * @throws BootwaveError of the interface that cannot be served; no port is left open then
 */
export async function keepWires(
  read: () => Promise<WireSpec[]>,
  parts: WireParts,
  signal: AbortSignal,
): Promise<KeptWires> {
  const abort = new AbortController();
  const stop = AbortSignal.any([signal, abort.signal]);
  let specs = await read();
  const wires = new Map<string, KeptWire>();
  try {
    for (const spec of specs) wires.set(spec.interface, await keepWire(spec, parts, stop));
  } catch (error) {
    abort.abort();
    await Promise.allSettled([...wires.values()].map(({ done }) => done));
    throw error;
  }
  const all = [...wires.entries()];
  return {
    get addresses() {
      return all.map(([name, { address, address6 }]) => ({
        interface: name,
        address,
        ...(address6 === undefined ? {} : { address6 }),
      }));
    },
    get deaf() {
      return all.flatMap(([name, { deaf }]) => (deaf === undefined ? [] : [{ interface: name, why: deaf }]));
    },
    get issuer() {
      return all[0]?.[1].issuer ?? '';
    },
    authorityChanged: async (issuer) => {
      for (const [, wire] of all) await wire.authorityChanged(issuer);
    },
    reload: async () => {
      const next = await read();
      const names = (list: readonly WireSpec[]) => list.map((one) => one.interface).join(', ');
      if (names(next) !== names(specs)) {
        throw restartNeeded(`other interfaces are to be served: ${names(next)} instead of ${names(specs)}`);
      }
      // All are checked before the first one changes.
      for (const look of [true, false]) {
        for (const [i, spec] of next.entries()) all[i]![1].reconfigure(spec, look);
      }
      specs = next;
      parts.log.info({ interfaces: names(specs) }, 'the configuration was read again');
    },
    leases: () =>
      all.flatMap(([name, { dhcp }]) =>
        (dhcp?.leases() ?? []).map((lease) => ({ ...lease, interface: name })),
      ),
    endLease: async (ip) => {
      let ended = 0;
      for (const [, { dhcp }] of all) if ((await dhcp?.endLease(ip)) === true) ended += 1;
      return ended;
    },
    done: Promise.allSettled(all.map(([, { done }]) => done)).then(() => {}),
  };
}
