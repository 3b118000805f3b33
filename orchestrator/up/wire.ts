/** One interface is served, and served again after it was lost. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type BootwaveError, codeOf, messageOf, refusal } from '../../base/error.ts';
import { dhcpConfig } from '../../bootserver/dhcp/config.ts';
import type { DhcpServer } from '../../bootserver/dhcp/start.ts';
import { dhcp6Config } from '../../bootserver/dhcp6/config.ts';
import { dhcpInput, serveWire, type Wire, type WireParts, type WireSpec } from './serve-wire.ts';

export type KeptWire = {
  readonly address: string;
  /** Undefined where IPv6 is not served. */
  readonly address6: string | undefined;
  /** Id of the servers CA whose certificate is shown. */
  readonly issuer: string;
  /** The CAs have changed: the same identity again, or a new one where another CA signs. */
  authorityChanged(issuer: string): Promise<void>;
  /**
   * Takes over a DHCP configuration, without losing a lease.
   * @param look only check whether it could be taken over
   * @throws BootwaveError `DHCP_CONFIG`, `BOOTSERVER_RESTART`; nothing has changed then
   */
  reconfigure(next: WireSpec, look: boolean): void;
  /** Why this interface receives nothing now; undefined: it is served. */
  readonly deaf: string | undefined;
  /** The DHCP server; undefined while the interface is away. */
  readonly dhcp: DhcpServer | undefined;
  done: Promise<void>;
};

/** Milliseconds between two attempts to serve an interface that went away. */
const AGAIN = 500;
/**
 * Serves an interface, and serves it again whenever its sockets receive nothing any more: it was deleted and made
 * again, or its address changed. Fleet and rollouts continue meanwhile.
 * @throws BootwaveError of the part that cannot start; no port is left open then
 */
export async function keepWire(spec: WireSpec, parts: WireParts, signal: AbortSignal): Promise<KeptWire> {
  const { log } = parts;
  let { dhcp, ipv6 } = spec;
  let stop = new AbortController();
  const begin = () => {
    stop = new AbortController();
    return serveWire(
      { ...spec, ipv6, dhcp: (found) => dhcp(found) },
      parts,
      AbortSignal.any([signal, stop.signal]),
    );
  };
  let wire: Wire = await begin();
  let deaf: string | undefined;
  const done = (async () => {
    while (!signal.aborted) {
      const lost = await Promise.race([wire.lost, wire.done]);
      deaf = lost?.what ?? 'it ends';
      if (lost !== undefined) log.error({ code: lost.code, interface: spec.interface }, lost.what);
      stop.abort();
      await wire.done;
      for (let said = ''; !signal.aborted && deaf !== undefined; ) {
        try {
          wire = await begin();
          deaf = undefined;
          log.warn(
            { code: 'INTERFACE_SERVED', interface: spec.interface },
            `serves ${spec.interface} again as ${wire.address}`,
          );
        } catch (error) {
          const why = messageOf(error);
          const code = codeOf(error);
          if (why !== said && !signal.aborted) {
            log.error({ code, interface: spec.interface }, `${spec.interface} is not served: ${why}`);
          }
          said = why;
          deaf = why;
          await sleep(AGAIN, undefined, { signal }).catch(() => {});
        }
      }
    }
    await wire.done;
  })();
  return {
    get address() {
      return wire.address;
    },
    get address6() {
      return wire.ipv6?.address;
    },
    get issuer() {
      return wire.identity().issuer;
    },
    get dhcp() {
      return deaf === undefined ? wire.dhcp : undefined;
    },
    get deaf() {
      return deaf;
    },
    authorityChanged: async (issuer) => {
      if (wire.identity().issuer === issuer) wire.presentIdentity();
      else await wire.renewIdentity();
    },
    reconfigure: (next, look) => {
      if (next.address !== spec.address)
        throw restartNeeded(`another address of ${spec.interface} is to be served`);
      const input = dhcpInput(spec, wire, next.dhcp);
      if (dhcpInput(spec, wire, dhcp).proxy !== input.proxy) {
        throw restartNeeded(`a DHCP server cannot become a proxy, nor a proxy a server, while it runs`);
      }
      if (
        next.ipv6?.address !== spec.ipv6?.address ||
        (next.ipv6 === undefined) !== (spec.ipv6 === undefined)
      )
        throw restartNeeded(`IPv6 of ${spec.interface} is to be served otherwise`);
      dhcpConfig(input);
      const input6 =
        next.ipv6 === undefined || wire.ipv6 === undefined
          ? undefined
          : { serverIp: wire.ipv6.address, httpPort: spec.httpPort, prefixes: next.ipv6.prefixes };
      if (input6 !== undefined) dhcp6Config(input6);
      if (look) return;
      if (deaf === undefined) {
        wire.dhcp.reconfigure(input);
        if (input6 !== undefined) wire.ipv6?.dhcp.reconfigure(input6);
      }
      ({ dhcp, ipv6 } = next);
    },
    done,
  };
}

export function restartNeeded(what: string): BootwaveError {
  return refusal('BOOTSERVER_RESTART', what, `restart 'bootwave up'`);
}
