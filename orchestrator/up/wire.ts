/**
 * What machines talk to on one interface: DHCP, TFTP, HTTP and enrolment, and how they return after the interface was
 * lost.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { DataPaths } from '../../base/paths.ts';
import { ipxeScript } from '../../bootserver/boot/script.ts';
import { imagesUrl } from '../../bootserver/boot/urls.ts';
import { dhcpConfig } from '../../bootserver/dhcp/config.ts';
import type { DhcpInput } from '../../bootserver/dhcp/input.ts';
import { type DhcpServer, startDhcp } from '../../bootserver/dhcp/start.ts';
import { dhcp6Config } from '../../bootserver/dhcp6/config.ts';
import { type Dhcp6Server, startDhcp6 } from '../../bootserver/dhcp6/start.ts';
import type { BootStep } from '../../bootserver/directory.ts';
import { type EnrolmentOptions, startEnrolment } from '../../bootserver/enroll/server.ts';
import type { ImageStore } from '../../bootserver/http/image-store.ts';
import { type HttpOptions, startHttp } from '../../bootserver/http/server.ts';
import type { InterfaceAddress } from '../../bootserver/interface.ts';
import { macOfNeighbour } from '../../bootserver/neighbour.ts';
import { openSockets, type SocketSpec } from '../../bootserver/sockets.ts';
import { startTftp, type TftpEvent } from '../../bootserver/tftp/server.ts';
import type { FleetDirectory } from '../fleet/directory.ts';
import { keepIdentity, type ServerIdentity } from './server-certificate.ts';

export type WireSpec = SocketSpec & {
  /** The DHCP configuration here. @throws BootwaveError if it does not fit the address that was found */
  dhcp: (found: InterfaceAddress) => Pick<DhcpInput, 'proxy' | 'settings' | 'subnets' | 'hosts' | 'classes'>;
  /** Another DHCP server gives the addresses here. */
  proxy: boolean;
  /** The lease journal: each interface has its own. */
  leases: string;
};

/** What all interfaces share. */
export type WireParts = {
  paths: DataPaths;
  directory: FleetDirectory;
  images: ImageStore;
  /** A TLS identity for this address, made anew. */
  identity: (address: string) => Promise<ServerIdentity>;
  enrolment: Omit<
    EnrolmentOptions,
    'listen' | 'serverKey' | 'serverChainPem' | 'directory' | 'imagesUrl' | 'log' | 'signal'
  >;
  http: Pick<HttpOptions, 'metadata' | 'bundles' | 'crl'>;
  log: Logger;
};

type Wire = InterfaceAddress & {
  lost: Promise<BootwaveError>;
  identity: () => ServerIdentity;
  renewIdentity: () => Promise<void>;
  presentIdentity: () => void;
  dhcp: DhcpServer;
  ipv6: { address: string; dhcp: Dhcp6Server } | undefined;
  /** Resolves when everything on it has ended and no port is open. */
  done: Promise<void>;
};

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
/** Milliseconds that running parts have to end when a later part cannot start. */
const PATIENCE = 2000;

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
          const code = error instanceof BootwaveError ? error.code : 'UNEXPECTED';
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
  return new BootwaveError({
    code: 'BOOTSERVER_RESTART',
    what,
    unchanged: 'nothing was changed',
    next: `restart 'bootwave up'`,
  });
}

function dhcpInput(spec: WireSpec, found: InterfaceAddress, dhcp: WireSpec['dhcp']): DhcpInput {
  const { httpPort, httpsPort } = spec;
  return { ...dhcp(found), serverIp: found.address, httpPort, httpsPort };
}

/** Everything on one interface, all or nothing. @throws BootwaveError of the part that cannot start */
async function serveWire(spec: WireSpec, parts: WireParts, outer: AbortSignal): Promise<Wire> {
  const { directory, images, paths, log } = parts;
  const abort = new AbortController();
  const signal = AbortSignal.any([outer, abort.signal]);
  const sockets = await openSockets(spec, signal, (carrier) => {
    const text = carrier
      ? `the link of ${spec.interface} is back`
      : `${spec.interface} has no link: nothing is heard`;
    log.warn({ code: carrier ? 'LINK_UP' : 'LINK_DOWN', interface: spec.interface }, text);
  });
  const ends: Promise<unknown>[] = [];
  try {
    const { address, netmask } = sockets;
    const base = { serverIp: address, httpPort: spec.httpPort };
    const makeIdentity = () => parts.identity(address);
    let identity = await makeIdentity();
    const enrolment = await startEnrolment({
      ...parts.enrolment,
      listen: sockets.https,
      serverKey: identity.key,
      serverChainPem: identity.chainPem,
      directory,
      imagesUrl: imagesUrl(base),
      log,
      signal,
    });
    ends.push(enrolment.closed);
    const present = (next: ServerIdentity) => {
      identity = next;
      enrolment.present(next.key, next.chainPem);
    };
    const kept = keepIdentity(identity, makeIdentity, present, signal);
    const httpOptions: HttpOptions = {
      ...parts.http,
      listen: sockets.http,
      images,
      loaders: paths.loaders,
      log,
      signal,
      script: async (mac) => {
        const intent = await directory.bootIntent({ mac });
        const cmdline = intent.kind === 'image' ? await images.cmdline(intent.version) : '';
        return ipxeScript({ base, mac, intent, cmdline });
      },
      onEvent: (event) => void directory.sawBoot(event),
    };
    for (const listen of [sockets.http, ...(sockets.ipv6 === undefined ? [] : [sockets.ipv6.http])]) {
      ends.push((await startHttp({ ...httpOptions, listen })).closed);
    }
    const tftp = startTftp({
      socket: sockets.tftp,
      openTransfer: sockets.transferSocket,
      segmenting: true,
      mtu: sockets.mtu,
      folder: paths.loaders,
      log,
      signal,
      onEvent: (event) => void tellLoader(event),
    });
    const dhcp = await startDhcp({
      sockets: { dhcp: sockets.dhcp, pxe: sockets.pxe },
      spareRouterWait: sockets.spareRouterWait,
      probe: sockets.probe,
      directory,
      leases: spec.leases,
      log,
      signal,
      config: dhcpInput(spec, sockets, spec.dhcp),
    });
    ends.push(dhcp.done);
    const ipv6 =
      sockets.ipv6 === undefined || spec.ipv6 === undefined
        ? undefined
        : {
            address: sockets.ipv6.address,
            dhcp: startDhcp6({
              socket: sockets.ipv6.dhcp,
              directory,
              log,
              signal,
              config: {
                serverIp: sockets.ipv6.address,
                httpPort: spec.httpPort,
                prefixes: spec.ipv6.prefixes,
              },
            }),
          };
    if (ipv6 !== undefined) ends.push(ipv6.dhcp.done);
    const done = (async () => {
      await Promise.allSettled(ends);
      await tftp.stop();
      await sockets.close();
    })();
    return {
      address,
      netmask,
      lost: sockets.lost,
      identity: () => identity,
      renewIdentity: () => kept.renew(),
      presentIdentity: () => present(identity),
      dhcp,
      ipv6,
      done,
    };
  } catch (error) {
    abort.abort();
    // First the ports: whatever hangs, they are free.
    await sockets.close();
    await Promise.race([Promise.allSettled(ends), sleep(PATIENCE, undefined, { ref: false })]);
    throw error;
  }

  async function tellLoader(event: TftpEvent): Promise<void> {
    const step: BootStep | undefined = event.step === 'finished' ? 'loader-sent' : undefined;
    const mac = step === undefined ? undefined : await macOfNeighbour(event.address);
    if (step === undefined || mac === undefined) return;
    await directory.sawBoot({ mac, step, at: event.at, detail: event.file });
  }
}
