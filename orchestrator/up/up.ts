import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { DataPaths } from '../../base/paths.ts';
import { aborted, atMost } from '../../base/wait.ts';
import { Delivery } from '../../bootserver/http/delivery.ts';
import { ImageStore } from '../../bootserver/http/image-store.ts';
import { perMetadata, Released } from '../../image/publish/released.ts';
import { metadataFolder } from '../../image/publish/repository.ts';
import { releasedServices } from '../../image/publish/services.ts';
import { rootPem } from '../../keys/authority.ts';
import { keyLayout } from '../../keys/layout.ts';
import { KeptSecureBootKeys } from '../../keys/secure-boot-keys.ts';
import { TpmRoots } from '../../keys/tpm-roots.ts';
import { LoadedAuthorities } from '../authorities/loaded.ts';
import { activeAuthority } from '../authorities/on-disk.ts';
import { reportServer } from '../authorities/servers.ts';
import { NodesCrl } from '../fleet/bans/crl.ts';
import { beginDecisions } from '../fleet/decisions/confirm.ts';
import { isHeldBy } from '../fleet/decisions/incidents.ts';
import type { DecisionKeeper } from '../fleet/decisions/keeper.ts';
import { watchDecisions } from '../fleet/decisions/watch.ts';
import { FleetDirectory } from '../fleet/directory.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { noteListening } from '../fleet/listening.ts';
import { startSweeper } from '../fleet/sweeper.ts';
import { openMetricsDoor } from '../metrics/door.ts';
import { fleetMetrics } from '../metrics/fleet.ts';
import { openFleet } from '../operators/bans-of.ts';
import { networksOf } from '../power/self-test.ts';
import type { Breaker } from '../recovery/breaker.ts';
import { tellDelivery } from '../recovery/delivery.ts';
import { Held } from '../recovery/held.ts';
import { keepGuard } from '../recovery/keep-guard.ts';
import { Taken, takenFile } from '../recovery/taken.ts';
import { Watch } from '../recovery/watch.ts';
import { openWebhookDoor } from '../recovery/webhook-door.ts';
import { Reports } from '../recovery/webhooks.ts';
import { connect } from '../redis/connect.ts';
import { FileLock } from '../redis/lock.ts';
import { checkServesNobody, rehearsalOf } from '../rehearsal/marker.ts';
import { defaultImage } from '../releases/default-image.ts';
import { keepReleases } from '../releases/keep.ts';
import { newestHere } from '../releases/newest.ts';
import { PublishedPcr11 } from '../releases/published.ts';
import { SliceGrowth } from '../rollout/run/slices/grow.ts';
import { FleetSecrets } from '../secrets/give.ts';
import { SecretStore } from '../secrets/store.ts';
import { SignerClient } from '../signer/client.ts';
import { Consents } from '../signer/consents.ts';
import { signerFiles } from '../signer/files.ts';
import { refuseOtherDhcp } from './alone.ts';
import { type KeptIdentity, keptIdentity } from './identity.ts';
import { checkCertificateLife, type UpOptions } from './options.ts';
import { type Orchestrating, orchestrate } from './orchestrate.ts';
import type { WireParts } from './serve-wire.ts';
import { serverIdentity } from './server-certificate.ts';
import { wireSpecs } from './wire-specs.ts';
import { type KeptWires, keepWires, type ServedAddress } from './wires.ts';

/** Milliseconds that running parts have to end when a later part cannot start. */
const PATIENCE = 3000;

export type Running = {
  addresses: readonly ServedAddress[];
  /** See `KeptWires.reload`. */
  reload(): Promise<void>;
  /** Resolves when everything has ended, after the signal fired. */
  done: Promise<void>;
};

/** What is behind a door. */
type Parts = {
  records(): Promise<{ fleet: Fleet; bans: DecisionKeeper }>;
  /** The interfaces that are served; undefined while they are being opened. */
  wires(): KeptWires | undefined;
  /** To the nodes; undefined while they are being opened. */
  links(): Orchestrating['links'] | undefined;
  signal: AbortSignal;
};
type Door = { done: Promise<void> };

/** Where people ask for operations. Each is open when its promise resolves; `done` resolves after the signal fired. */
export type Doors = {
  /** For people on this machine. */
  here(parts: Parts): Promise<Door>;
  /** For people elsewhere. */
  elsewhere(parts: Parts, how: { port: number; identity: KeptIdentity; rootPem: string }): Promise<Door>;
};

/**
 * Everything on one machine: boot server and orchestrator in one process, on the interfaces that it is given and nowhere
 * else; without any no machine boots here, and all else runs. Starts all or nothing: keys and records are read before the first port opens, and the wire opens last.
 * @param doors let people in, who ask for operations
 * @throws BootwaveError of the part that cannot start; nothing is left running then
 */
export async function up(
  paths: DataPaths,
  options: UpOptions,
  log: Logger,
  signal: AbortSignal,
  doors: Doors,
): Promise<Running> {
  const rehearsal = await rehearsalOf(paths);
  if (rehearsal !== null) checkServesNobody(options);
  const specs = await wireSpecs(paths, options);
  checkCertificateLife(options);
  const root = await rootPem(paths.keys);
  // Missing files are reported before anything starts.
  await activeAuthority(paths, 'nodes');
  await mkdir(paths.bootserver, { recursive: true, mode: 0o700 });
  const lock = await onlyServer(paths);
  await mkdir(paths.images, { recursive: true });
  await mkdir(paths.loaders, { recursive: true });

  // Ends the parts that run when a later part cannot start.
  const abort = new AbortController();
  const stop = AbortSignal.any([signal, abort.signal]);
  const ends: Promise<unknown>[] = [];
  const connection = await (async () => {
    if (options.besideDhcp !== true) await refuseOtherDhcp(specs, log, stop);
    return connect(paths, { log, signal: stop });
  })().catch(async (error: unknown) => {
    await lock.close();
    throw error;
  });
  let isUp = false;
  // Whoever gives up a start that hangs does not wait for it: the Redis that it began would be left.
  aborted(signal)
    .then(() => sleep(PATIENCE, undefined, { ref: false }))
    .then(() => (isUp ? undefined : connection.close()))
    .catch((cause: unknown) => log.error({ reason: messageOf(cause) }, 'Redis did not close'));
  try {
    // Before the first port opens: a Redis that forgot a ban must not let anybody in for a moment.
    const { fleet, bans } = await openFleet(paths, connection.redis, log);
    await beginDecisions(fleet, log, { actor: 'bootserver', at: Date.now() });
    await fleet.sites.get(options.site);
    const authorities = await LoadedAuthorities.open(paths.keys, bans, log, stop);
    const images = new ImageStore(paths.images);
    const released = new Released(paths.releases);
    const consents = new Consents(signerFiles(paths).consents);
    const newestOfAll = newestHere(paths);
    const forNew = () =>
      defaultImage(
        images,
        connection.redis,
        released,
        async (version) =>
          version === (await newestOfAll(await consents.current())) || fleet.decisions.gave(version),
      );
    const published = new PublishedPcr11(paths.images);
    const pcr11 = (version: string) => published.of(version);
    let orchestrator: Orchestrating | undefined;
    const onRestart = (id: string) => orchestrator?.restarted(id);
    const { site } = options;
    const commandLine = async (version: string) =>
      (await pcr11(version)) === null ? null : images.cmdline(version).catch(() => null);
    const standings = new SignerClient(signerFiles(paths).socket);
    ends.push(aborted(stop).then(() => standings.close()));
    const breaker: Breaker = (...asked) => guard.stopped(...asked);
    const watch = new Watch({ fleet, site, attestMinutes: options.attestEvery, breaker, log });
    const guard = keepGuard({ fleet, heardAt: (node) => watch.heardAt(node), log, signal: stop });
    ends.push(guard.done);
    const directory = new FleetDirectory({
      ...{ fleet, site, pcr11, commandLine, bans, log, onRestart },
      heartbeatSeconds: options.heartbeat,
      imageRules: () => consents.current(),
      released: () => released.images(),
      defaultImage: forNew,
      saw: (sight) => watch.saw(sight),
      recovery: new Held({ fleet, folder: paths.evidence, signer: standings, breaker, log, now: Date.now }),
    });
    const tpmRoots = new TpmRoots(keyLayout(paths.keys).tpmRoots);
    const secureBootKeys = await KeptSecureBootKeys.open(paths.keys, (text) => log.warn(text));
    const store = new SecretStore(paths);
    const secrets = new FleetSecrets({ ...{ fleet, paths, store, signer: standings }, now: Date.now });
    const growth = new SliceGrowth({ fleet, paths, store, now: Date.now });
    const delivery = new Delivery();
    ends.push(tellDelivery({ redis: fleet.redis, site, delivery, log, signal: stop }));
    const crl = new NodesCrl(authorities.nodes.issuing, bans.set);
    const metadata = metadataFolder(paths.releases);
    const parts: WireParts = {
      ...{ paths, directory, images, log },
      identity: (address) => serverIdentity(authorities.signing('servers'), address),
      enrolment: {
        nodesAuthority: authorities.nodes,
        rootPem: root,
        secureBootKeys: () => secureBootKeys.current(),
        tpmRoots: () => tpmRoots.current(),
        bans,
        heartbeatSeconds: options.heartbeat,
        attestSeconds: options.attestEvery * 60,
        secrets,
        grow: (asked) => growth.grow(asked),
        certificateLife: options.certificateLife,
      },
      http: { metadata, bundles: paths.bundles, delivery, crl: () => crl.current() },
    };
    let opened: KeptWires | undefined;
    const behind: Parts = {
      records: async () => ({ fleet, bans }),
      wires: () => opened,
      links: () => orchestrator?.links,
      signal: stop,
    };
    ends.push((await doors.here(behind)).done);
    const wires = await keepWires(() => wireSpecs(paths, options), parts, stop);
    opened = wires;
    ends.push(wires.done);
    const { operatorsPort: port } = options;
    const { metricsPort, webhooksPort } = options;
    const isShown = port !== undefined || webhooksPort !== undefined;
    const identity = isShown ? await keptIdentity(authorities, stop) : null;
    if (port !== undefined && identity !== null)
      ends.push((await doors.elsewhere(behind, { port, identity, rootPem: root })).done);
    if (webhooksPort !== undefined && identity !== null) {
      const taken = await Taken.open(takenFile(paths), Date.now());
      const reports = new Reports({ fleet, saw: (sight) => watch.saw(sight), taken });
      ends.push((await openWebhookDoor({ port: webhooksPort, identity, reports, log, signal: stop })).done);
    }
    if (metricsPort !== undefined) {
      const released = perMetadata(paths.releases, () => releasedServices(paths));
      const text = (where: { site?: string }) => fleetMetrics(fleet, paths, where, released);
      ends.push((await openMetricsDoor({ port: metricsPort, text, log, signal: stop })).done);
    }
    const shows = () => wires.issuer || (identity?.current().issuer ?? '');
    const report = reportServer(
      fleet.redis,
      () => ({ loaded: authorities.ids, shows: shows() }),
      stop,
      // Without an interface that hears, this server is up and nobody listens.
      async (at, end) => {
        if (wires.addresses.length > wires.deaf.length) await noteListening(fleet, site, at, end);
      },
    );
    authorities.onChange(async () => {
      await wires.authorityChanged(authorities.signing('servers').id);
      await report.tell();
    });
    const sweeper = startSweeper({
      ...{ fleet, log, signal: stop },
      heartbeatSeconds: options.heartbeat,
      attestMinutes: options.attestEvery,
    });

    orchestrator = await orchestrate({
      ...{ paths, rehearsal, fleet, site, watch, breaker, newest: forNew, log, signal: stop },
      networks: () => networksOf(wires.addresses.map(({ interface: name }) => name)),
      silence: 3 * options.heartbeat * 1000,
    });
    bans.onBan((fresh) => {
      const held = fleet.decisions.incidents.all.filter(isHeldBy).map(({ node }) => node);
      for (const id of [...fresh.flatMap(({ nodes }) => nodes), ...held]) orchestrator?.banned(id);
    });
    const banWatch = watchDecisions(bans, fleet, { signal: stop, log });
    const releases = keepReleases(paths, { log, signal: stop });
    const newest = await images.newest();
    if (newest === null)
      log.warn('no image is published: machines are refused until "bootwave image build" has run');
    ends.push(sweeper, orchestrator.done, banWatch, releases, report.done);
    const done = (async () => {
      await Promise.allSettled(ends);
      images.close();
      await connection.close();
      await lock.close();
    })();
    isUp = true;
    return { addresses: wires.addresses, reload: () => wires.reload(), done };
  } catch (error) {
    abort.abort();
    // Whatever hangs, the reason is reported; the command then ends the process and with it the ports.
    await Promise.race([Promise.allSettled(ends), sleep(PATIENCE, undefined, { ref: false })]);
    await atMost(
      connection.close().then(() => lock.close()),
      PATIENCE,
    ).catch((cause: unknown) => log.error({ reason: messageOf(cause) }, 'Redis did not close'));
    throw error instanceof BootwaveError
      ? error
      : new BootwaveError({
          code: 'UP_FAILED',
          what: `the boot server could not start: ${messageOf(error)}`,
          unchanged: 'no port was left open',
          next: `run 'bootwave doctor'`,
          cause: error,
        });
  }
}

/** Seconds to wait for a server that is just ending. */
const LOCK_WAIT = 3;

/** Two servers on one data directory would write one file of leases. @throws BootwaveError `UP_RUNNING` */
async function onlyServer({ root, bootserver }: DataPaths): Promise<FileLock> {
  const lock = await FileLock.open(join(bootserver, 'lock'));
  if (await lock.exclusive(LOCK_WAIT)) return lock;
  await lock.close();
  throw new BootwaveError({
    code: 'UP_RUNNING',
    what: `another 'bootwave up' uses the data directory ${root}`,
    unchanged: 'nothing was started',
    next: 'end it first; several interfaces are served by one process with --config',
  });
}
