/** What machines talk to on one interface: DHCP, TFTP, HTTP and enrolment. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { BootwaveError } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { DataPaths } from '../../base/paths.ts';
import { ipxeScript } from '../../bootserver/boot/script.ts';
import { imagesUrl } from '../../bootserver/boot/urls.ts';
import type { DhcpInput } from '../../bootserver/dhcp/input.ts';
import { type DhcpServer, startDhcp } from '../../bootserver/dhcp/start.ts';
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
  http: Pick<HttpOptions, 'metadata' | 'bundles' | 'crl' | 'delivery'>;
  log: Logger;
};

export type Wire = InterfaceAddress & {
  lost: Promise<BootwaveError>;
  identity: () => ServerIdentity;
  renewIdentity: () => Promise<void>;
  presentIdentity: () => void;
  dhcp: DhcpServer;
  ipv6: { address: string; dhcp: Dhcp6Server } | undefined;
  /** Resolves when everything on it has ended and no port is open. */
  done: Promise<void>;
};

/** Milliseconds that running parts have to end when a later part cannot start. */
const PATIENCE = 2000;

export function dhcpInput(spec: WireSpec, found: InterfaceAddress, dhcp: WireSpec['dhcp']): DhcpInput {
  const { httpPort, httpsPort } = spec;
  return { ...dhcp(found), serverIp: found.address, httpPort, httpsPort };
}

/** Everything on one interface, all or nothing. @throws BootwaveError of the part that cannot start */
export async function serveWire(spec: WireSpec, parts: WireParts, outer: AbortSignal): Promise<Wire> {
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
