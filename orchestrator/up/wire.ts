/** The wire on which machines boot: DHCP, TFTP, HTTP and enrolment on one interface and nowhere else. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Logger } from '../../base/log.ts';
import type { DataPaths } from '../../base/paths.ts';
import { ipxeScript } from '../../bootserver/boot/script.ts';
import { imagesUrl } from '../../bootserver/boot/urls.ts';
import { startDhcp } from '../../bootserver/dhcp/start.ts';
import type { BootStep } from '../../bootserver/directory.ts';
import { startEnrolment } from '../../bootserver/enroll/server.ts';
import type { ImageStore } from '../../bootserver/http/image-store.ts';
import { startHttp } from '../../bootserver/http/server.ts';
import { macOfNeighbour } from '../../bootserver/neighbour.ts';
import { openSockets } from '../../bootserver/sockets.ts';
import { startTftp, type TftpEvent } from '../../bootserver/tftp/server.ts';
import { metadataFolder } from '../../image/publish/repository.ts';
import { keyLayout } from '../../keys/layout.ts';
import { KeptSecureBootKeys } from '../../keys/secure-boot-keys.ts';
import { TpmRoots } from '../../keys/tpm-roots.ts';
import type { LoadedAuthorities } from '../authorities/loaded.ts';
import { NodesCrl } from '../fleet/bans/crl.ts';
import type { BanKeeper } from '../fleet/bans/keeper.ts';
import type { FleetDirectory } from '../fleet/directory.ts';
import type { KeptIdentity } from './identity.ts';
import type { UpOptions } from './options.ts';

export type WireOptions = Omit<UpOptions, 'interface' | 'range'> & {
  paths: DataPaths;
  interface: string;
  range: { from: string; to: string } | undefined;
  /** What the server shows, once its address is known. */
  identityAt(address: string): Promise<KeptIdentity>;
  /** PEM of the fleet's root certificate. */
  rootPem: string;
  bans: BanKeeper;
  authorities: LoadedAuthorities;
  directory: FleetDirectory;
  images: ImageStore;
  log: Logger;
  signal: AbortSignal;
};

/**
 * Opens every port of the wire, DHCP last.
 * @returns `done` resolves when all of it has ended, after the signal fired
 * @throws BootwaveError of the part that cannot start
 */
export async function openWire(options: WireOptions): Promise<{ address: string; done: Promise<void> }> {
  const { paths, range, bans, authorities, directory, images, log, signal: stop } = options;
  const sockets = await openSockets(
    {
      interface: options.interface,
      httpPort: options.httpPort,
      httpsPort: options.httpsPort,
      ...(options.address === undefined ? {} : { address: options.address }),
    },
    stop,
  );
  const { address } = sockets;
  const tpmRoots = new TpmRoots(keyLayout(paths.keys).tpmRoots);
  const secureBootKeys = await KeptSecureBootKeys.open(paths.keys, (text) => log.warn(text));
  const identity = await options.identityAt(address);
  const base = { serverIp: address, httpPort: options.httpPort };

  const enrolment = await startEnrolment({
    listen: sockets.https,
    serverKey: identity.current().key,
    serverChainPem: identity.current().chainPem,
    nodesAuthority: authorities.nodes,
    rootPem: options.rootPem,
    secureBootKeys: () => secureBootKeys.current(),
    tpmRoots: () => tpmRoots.current(),
    directory,
    bans,
    log,
    heartbeatSeconds: options.heartbeat,
    attestSeconds: options.attestEvery * 60,
    certificateLife: options.certificateLife,
    imagesUrl: imagesUrl(base),
    signal: stop,
  });
  identity.onChange(({ key, chainPem }) => enrolment.present(key, chainPem));
  const crl = new NodesCrl(authorities.nodes.issuing, bans.set);
  const http = await startHttp({
    listen: sockets.http,
    images,
    loaders: paths.loaders,
    metadata: metadataFolder(paths.releases),
    crl: () => crl.current(),
    log,
    signal: stop,
    script: async (mac) => {
      const intent = await directory.bootIntent({ mac });
      const cmdline = intent.kind === 'image' ? await images.cmdline(intent.version) : '';
      return ipxeScript({ base, mac, intent, cmdline });
    },
    onEvent: (event) => void directory.sawBoot(event),
  });
  const tftp = startTftp({
    socket: sockets.tftp,
    openTransfer: () => boundTo(address),
    folder: paths.loaders,
    log,
    signal: stop,
    onEvent: (event) => void tellLoader(event),
  });
  const dhcp = await startDhcp({
    sockets: { dhcp: sockets.dhcp, pxe: sockets.pxe },
    spareRouterWait: sockets.spareRouterWait,
    directory,
    leases: join(paths.bootserver, 'leases'),
    log,
    signal: stop,
    config: {
      serverIp: address,
      proxy: options.proxy,
      httpPort: options.httpPort,
      httpsPort: options.httpsPort,
      ...(range === undefined
        ? {}
        : {
            subnet: {
              netmask: sockets.netmask,
              range,
              ...(options.router === undefined ? {} : { router: options.router }),
              ...(options.dns === undefined ? {} : { dns: options.dns }),
            },
          }),
    },
  });
  async function tellLoader(event: TftpEvent): Promise<void> {
    const step: BootStep | undefined = event.step === 'finished' ? 'loader-sent' : undefined;
    const mac = step === undefined ? undefined : await macOfNeighbour(event.address);
    if (step === undefined || mac === undefined) return;
    await directory.sawBoot({ mac, step, at: event.at, detail: event.file });
  }

  const done = (async () => {
    await Promise.allSettled([dhcp.done, enrolment.closed, http.closed]);
    await tftp.stop();
    sockets.dhcp.close();
    sockets.pxe.close();
  })();
  return { address, done };
}

/** @throws the system's error, e.g. EMFILE when the process is out of descriptors */
async function boundTo(address: string): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind({ address, port: 0, exclusive: true });
  await once(socket, 'listening');
  return socket;
}
