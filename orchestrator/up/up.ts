import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { DataPaths } from '../../base/paths.ts';
import { ipxeScript } from '../../bootserver/boot/script.ts';
import { imagesUrl } from '../../bootserver/boot/urls.ts';
import { startDhcp } from '../../bootserver/dhcp/start.ts';
import type { BootStep } from '../../bootserver/directory.ts';
import { startEnrolment } from '../../bootserver/enroll/server.ts';
import { ImageStore } from '../../bootserver/http/image-store.ts';
import { startHttp } from '../../bootserver/http/server.ts';
import { macOfNeighbour } from '../../bootserver/neighbour.ts';
import { openSockets } from '../../bootserver/sockets.ts';
import { startTftp, type TftpEvent } from '../../bootserver/tftp/server.ts';
import { Released } from '../../image/publish/released.ts';
import { metadataFolder } from '../../image/publish/repository.ts';
import { rootPem } from '../../keys/authority.ts';
import { keyLayout } from '../../keys/layout.ts';
import { KeptSecureBootKeys } from '../../keys/secure-boot-keys.ts';
import { TpmRoots } from '../../keys/tpm-roots.ts';
import { LoadedAuthorities } from '../authorities/loaded.ts';
import { activeAuthority } from '../authorities/on-disk.ts';
import { reportServer } from '../authorities/servers.ts';
import { NodesCrl } from '../fleet/bans/crl.ts';
import { BanJournal, journalFile } from '../fleet/bans/journal.ts';
import { BanKeeper, watchBans } from '../fleet/bans/keeper.ts';
import { FleetDirectory } from '../fleet/directory.ts';
import { Fleet } from '../fleet/fleet.ts';
import { noteListening } from '../fleet/listening.ts';
import { startSweeper } from '../fleet/sweeper.ts';
import { liftJudge } from '../operators/lifts.ts';
import { connect } from '../redis/connect.ts';
import { refuseOtherDhcp, takeData } from './alone.ts';
import { defaultImage } from './default-image.ts';
import { keepReleases } from './keep-releases.ts';
import { addressRange, checkCertificateLife, type UpOptions } from './options.ts';
import { type Orchestrating, orchestrate } from './orchestrate.ts';
import { PublishedPcr11 } from './published.ts';
import { keepIdentity, type ServerIdentity, serverIdentity } from './server-certificate.ts';

export type Running = {
  address: string;
  /** Resolves when everything has ended, after the signal fired. */
  done: Promise<void>;
};

/**
 * Everything on one machine: boot server and orchestrator in one process, on one interface and nowhere else. Starts
 * all or nothing: keys and records are read before the first port opens, and the wire opens last.
 * @throws BootwaveError of the part that cannot start; nothing is left running then
 */
export async function up(
  paths: DataPaths,
  options: UpOptions,
  log: Logger,
  signal: AbortSignal,
): Promise<Running> {
  const range = addressRange(options);
  checkCertificateLife(options);
  const root = await rootPem(paths.keys);
  // What is missing is told before anything starts.
  await activeAuthority(paths, 'nodes');
  await mkdir(paths.bootserver, { recursive: true, mode: 0o700 });
  await mkdir(paths.images, { recursive: true });
  await mkdir(paths.loaders, { recursive: true });

  // Ends the parts that run when a later part cannot start.
  const abort = new AbortController();
  const stop = AbortSignal.any([signal, abort.signal]);
  const taken = options.besideOther === true ? null : await takeData(paths);
  const connection = await (async () => {
    if (!options.proxy && options.besideDhcp !== true) await refuseOtherDhcp(options.interface, log, stop);
    return connect(paths, { log, signal: stop });
  })().catch(async (error: unknown) => {
    await taken?.close();
    throw error;
  });
  try {
    const fleet = new Fleet(connection.redis);
    await fleet.sites.get(options.site);
    const journal = new BanJournal(journalFile(paths));
    const bans = await BanKeeper.open({ fleet, journal, holds: liftJudge(paths), log });
    // Before the first port opens: a Redis that forgot a ban must not let anybody in for a moment.
    await bans.look();
    const authorities = await LoadedAuthorities.open(paths.keys, bans, log, stop);
    const images = new ImageStore(paths.images);
    const released = new Released(paths.releases);
    const forNew = () => defaultImage(images, connection.redis, released);
    const published = new PublishedPcr11(paths.images);
    const pcr11 = (version: string) => published.of(version);
    let orchestrator: Orchestrating | undefined;
    const onRestart = (id: string) => orchestrator?.restarted(id);
    const { site } = options;
    const commandLine = async (version: string) =>
      (await pcr11(version)) === null ? null : images.cmdline(version).catch(() => null);
    const directory = new FleetDirectory({
      ...{ fleet, site, pcr11, commandLine, bans, log, onRestart },
      defaultImage: forNew,
    });
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
    const makeIdentity = () => serverIdentity(authorities.signing('servers'), address);
    let identity = await makeIdentity();
    const base = { serverIp: address, httpPort: options.httpPort };

    const enrolment = await startEnrolment({
      listen: sockets.https,
      serverKey: identity.key,
      serverChainPem: identity.chainPem,
      nodesAuthority: authorities.nodes,
      rootPem: root,
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
    const present = (next: ServerIdentity) => {
      identity = next;
      enrolment.present(next.key, next.chainPem);
    };
    const kept = keepIdentity(identity, makeIdentity, present, stop);
    const report = reportServer(
      fleet.redis,
      () => ({ loaded: authorities.ids, shows: identity.issuer }),
      stop,
      (at, ends) => noteListening(fleet, site, at, ends),
    );
    authorities.onChange(async () => {
      if (identity.issuer === authorities.signing('servers').id) present(identity);
      else await kept.renew();
      await report.tell();
    });
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
      address,
      folder: paths.loaders,
      log,
      signal: stop,
      onEvent: (event) => void tellLoader(event),
    });
    const dhcp = await startDhcp({
      sockets: { dhcp: sockets.dhcp, pxe: sockets.pxe },
      interface: sockets.interface,
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
    const sweeper = startSweeper({
      ...{ fleet, log, signal: stop },
      heartbeatSeconds: options.heartbeat,
      attestMinutes: options.attestEvery,
    });

    async function tellLoader(event: TftpEvent): Promise<void> {
      const step: BootStep | undefined = event.step === 'finished' ? 'loader-sent' : undefined;
      const mac = step === undefined ? undefined : await macOfNeighbour(event.address);
      if (step === undefined || mac === undefined) return;
      await directory.sawBoot({ mac, step, at: event.at, detail: event.file });
    }

    orchestrator = await orchestrate({ paths, fleet, newest: forNew, log, signal: stop });
    bans.onBan((fresh) => {
      for (const id of fresh.flatMap(({ nodes }) => nodes)) orchestrator?.banned(id);
    });
    const banWatch = watchBans(bans, fleet, { signal: stop, log });
    const releases = keepReleases(paths, { log, signal: stop });
    const newest = await images.newest();
    if (newest === null)
      log.warn('no image is published: machines are refused until "bootwave image build" has run');
    const done = (async () => {
      const parts = [
        dhcp.done,
        enrolment.closed,
        http.closed,
        sweeper,
        orchestrator?.done,
        banWatch,
        releases,
        report.done,
      ];
      await Promise.allSettled(parts);
      await tftp.stop();
      sockets.dhcp.close();
      sockets.pxe.close();
      await connection.close();
      await taken?.close();
    })();
    return { address, done };
  } catch (error) {
    abort.abort();
    await connection.close().catch((cause) => log.error({ reason: messageOf(cause) }, 'Redis did not close'));
    await taken?.close();
    throw error instanceof BootwaveError
      ? error
      : new BootwaveError({
          code: 'UP_FAILED',
          what: `the boot server could not start: ${messageOf(error)}`,
          unchanged: 'no port was left open',
          next: `run 'bootwave doctor --interface ${options.interface}'`,
          cause: error,
        });
  }
}
