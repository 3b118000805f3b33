import { mkdir } from 'node:fs/promises';
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { DataPaths } from '../../base/paths.ts';
import { ImageStore } from '../../bootserver/http/image-store.ts';
import { Released } from '../../image/publish/released.ts';
import { rootPem } from '../../keys/authority.ts';
import { LoadedAuthorities } from '../authorities/loaded.ts';
import { activeAuthority } from '../authorities/on-disk.ts';
import { BanJournal, journalFile } from '../fleet/bans/journal.ts';
import { BanKeeper, watchBans } from '../fleet/bans/keeper.ts';
import { FleetDirectory } from '../fleet/directory.ts';
import { Fleet } from '../fleet/fleet.ts';
import { startSweeper } from '../fleet/sweeper.ts';
import { liftJudge } from '../operators/lifts.ts';
import { connect } from '../redis/connect.ts';
import { defaultImage } from '../releases/default-image.ts';
import { keepReleases } from '../releases/keep.ts';
import { PublishedPcr11 } from '../releases/published.ts';
import { type KeptIdentity, keptIdentity } from './identity.ts';
import { addressRange, checkCertificateLife, type UpOptions } from './options.ts';
import { type Orchestrating, orchestrate } from './orchestrate.ts';
import { openWire } from './wire.ts';

export type Running = {
  /** Of the interface that is served; null: none is. */
  address: string | null;
  /** Resolves when everything has ended, after the signal fired. */
  done: Promise<void>;
};

/** What is behind a door. */
type Parts = {
  records(): Promise<{ fleet: Fleet; bans: BanKeeper }>;
  newest(): Promise<string | null>;
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
 * Everything on one machine: boot server and orchestrator in one process, on one interface and nowhere else; without an
 * interface no machine boots here, and all else runs. Starts
 * all or nothing: keys and records are read before the first port opens, and the wire opens last.
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
  const range = options.interface === undefined ? undefined : addressRange(options);
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
  const connection = await connect(paths, { log, signal: stop });
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
    const parts: Parts = { records: async () => ({ fleet, bans }), newest: forNew, signal: stop };
    const door = await doors.here(parts);
    let identity: Promise<KeptIdentity> | undefined;
    const identityAt = (at: string | null) => {
      identity ??= keptIdentity(at, authorities, fleet, stop);
      return identity;
    };
    const { interface: name, operatorsPort } = options;
    const wire =
      name === undefined
        ? null
        : await openWire({
            ...options,
            ...{ paths, interface: name, range, rootPem: root, bans, authorities, directory, images },
            ...{ log, signal: stop, identityAt },
          });
    const operators =
      operatorsPort === undefined
        ? null
        : await doors.elsewhere(parts, {
            port: operatorsPort,
            identity: await identityAt(null),
            rootPem: root,
          });
    const sweeper = startSweeper({
      ...{ fleet, log, signal: stop },
      heartbeatSeconds: options.heartbeat,
      attestMinutes: options.attestEvery,
    });

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
      const shown = (await identity)?.done;
      const ends = [wire?.done, operators?.done, door.done, shown];
      ends.push(sweeper, orchestrator?.done, banWatch, releases);
      await Promise.allSettled(ends);
      images.close();
      await connection.close();
    })();
    return { address: wire?.address ?? null, done };
  } catch (error) {
    abort.abort();
    await connection.close().catch((cause) => log.error({ reason: messageOf(cause) }, 'Redis did not close'));
    throw error instanceof BootwaveError
      ? error
      : new BootwaveError({
          code: 'UP_FAILED',
          what: `the boot server could not start: ${messageOf(error)}`,
          unchanged: 'no port was left open',
          next: `run 'bootwave doctor${options.interface === undefined ? '' : ` --interface ${options.interface}`}'`,
          cause: error,
        });
  }
}
