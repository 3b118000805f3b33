/** Simulated nodes in front of a running `bootwave up`, so that people can rehearse a rollout with the commands they know. */
import { randomInt } from 'node:crypto';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { createFileAtomic } from '../../base/files.ts';
import type { DataPaths } from '../../base/paths.ts';
import { aborted } from '../../base/wait.ts';
import { initKeys } from '../../keys/init.ts';
import { keyLayout } from '../../keys/layout.ts';
import type { Fleet } from '../../orchestrator/fleet/fleet.ts';
import { noteListening } from '../../orchestrator/fleet/listening.ts';
import { withFleet } from '../../orchestrator/operators/with-fleet.ts';
import { FileLock } from '../../orchestrator/redis/lock.ts';
import { fleetDigest, markerFile, type Rehearsal, rehearsalOf } from '../../orchestrator/rehearsal/marker.ts';
import { isSimulated } from './enrolment.ts';
import { publishManifests } from './images.ts';
import { type SimStart, startSimProcesses } from './processes.ts';

export type RehearsalOptions = {
  nodes: number;
  /** Made where they are missing; nodes take turns. */
  sites: readonly string[];
  /** Versions that are published. New nodes run the first one. */
  images: readonly [string, ...string[]];
  /** Versions with which every node panics; published too. */
  badImages: readonly string[];
  /** Share of the nodes, 0 to 1, that have some fault with each image but the first. */
  faults: number;
  /** Seconds. */
  restart: number;
  heartbeat: number;
  /** The images are published already; by default they are when it begins, without their bytes. */
  published?: boolean;
};

/** Below the ports that the kernel hands out by itself (32768 on). */
const PORTS = { from: 20_000, to: 32_000 } as const;

const BY = 'operator:sim';

/** Milliseconds between two signs of life of the sites' boot servers; `DEAF_AFTER` is their silence. */
const LISTENS = 2_000;

/**
 * Makes an empty data directory a rehearsal: keys of its own, and then the file that says what it is.
 * @throws BootwaveError `REHEARSAL_NOT_EMPTY`
 */
export async function initRehearsal(paths: DataPaths): Promise<Rehearsal> {
  await mkdir(paths.root, { recursive: true, mode: 0o700 });
  if ((await readdir(paths.root)).length > 0) {
    throw new BootwaveError({
      code: 'REHEARSAL_NOT_EMPTY',
      what: `${paths.root} is not empty, so it may be a real fleet's`,
      unchanged: 'nothing was made',
      next: 'name a directory that is empty or not there; a rehearsal that is there needs no --init',
    });
  }
  await initKeys(paths.keys);
  const marker = { port: randomInt(PORTS.from, PORTS.to), fleet: await fleetDigest(paths.keys) };
  await createFileAtomic(markerFile(paths), `${JSON.stringify(marker)}\n`);
  return marker;
}

/**
 * Runs simulated nodes until the signal fires.
 * @param onReady all of them are up, approved and on record
 * @throws BootwaveError `REHEARSAL_NONE`, `REHEARSAL_MARKER`, `REHEARSAL_KEYS`, `REHEARSAL_REAL_NODE`, `REHEARSAL_RUNNING`, `SIM_FAILED`
 */
export async function runRehearsal(
  paths: DataPaths,
  options: RehearsalOptions,
  signal: AbortSignal,
  onReady: () => void,
): Promise<void> {
  const { port } = await marked(paths);
  const lock = await onlyOne(paths);
  try {
    // Held to the end: the last one that uses the embedded Redis ends it. No URL: it is never the Redis of a fleet.
    await withFleet(
      paths,
      async (fleet) => {
        await checkNoRealNode(fleet);
        if (options.published !== true)
          await publishManifests(paths.images, [...options.images, ...options.badImages]);
        await makeSites(fleet, options.sites);
        const sim = await startSimProcesses(await startOf(paths, port, options)).catch((cause: unknown) => {
          throw failed(messageOf(cause).split('\n')[0] ?? '', cause);
        });
        const deafen = await listen(fleet, options.sites);
        try {
          onReady();
          const stopped = aborted(signal).then(() => 'stopped');
          if ((await Promise.race([stopped, sim.gone])) !== 'stopped')
            throw failed('a process of theirs ended');
        } finally {
          await sim.close();
          await deafen();
        }
      },
      { url: '' },
    );
  } finally {
    await lock.close();
  }
}

async function startOf(
  paths: DataPaths,
  port: number,
  { nodes, sites, images, badImages, faults, restart, heartbeat }: RehearsalOptions,
): Promise<Omit<SimStart, 'kind' | 'first'>> {
  const { ssh, order } = keyLayout(paths.keys);
  const good = faults === 0 ? [] : images.slice(1);
  return {
    root: paths.root,
    count: nodes,
    port,
    sites,
    version: images[0],
    clientPub: await readFile(ssh.pub, 'utf8'),
    orderPub: await readFile(order.pub, 'utf8'),
    times: { restart: restart * 1000 },
    faults: [
      ...badImages.map((version) => ({ seed: 1, share: 1, version, kinds: ['panic'] as const })),
      ...good.map((version, i) => ({ seed: i + 1, share: faults, version })),
    ],
    https: { keys: paths.keys, every: heartbeat },
  };
}

async function marked(paths: DataPaths): Promise<Rehearsal> {
  const rehearsal = await rehearsalOf(paths);
  if (rehearsal !== null) return rehearsal;
  throw new BootwaveError({
    code: 'REHEARSAL_NONE',
    what: `${paths.root} was not made for a rehearsal`,
    unchanged: 'no node was started',
    next: 'make one in an empty directory: bootwave --data <directory> lab sim --init',
  });
}

/** A backup of a real fleet may have been put back here by mistake. */
async function checkNoRealNode(fleet: Fleet): Promise<void> {
  const records = await fleet.nodes.getMany(await fleet.nodes.ids());
  const real = records.find((record) => !isSimulated(record));
  if (real === undefined) return;
  throw new BootwaveError({
    code: 'REHEARSAL_REAL_NODE',
    what: `the records here hold a node that is not simulated: ${real.id}`,
    unchanged: 'no node was started',
    next: 'make a new rehearsal in an empty directory',
  });
}

async function makeSites(fleet: Fleet, sites: readonly string[]): Promise<void> {
  for (const site of sites) {
    await fleet.sites.get(site).catch((error: unknown) => {
      if (!(error instanceof BootwaveError) || error.code !== 'SITE_UNKNOWN') throw error;
      return fleet.sites.add(site, {}, { actor: BY, at: Date.now() });
    });
  }
}

/** The boot servers of these sites run in the processes of the nodes, and say that they hear them. @returns ends that */
async function listen(fleet: Fleet, sites: readonly string[]): Promise<() => Promise<unknown>> {
  const tell = (ends: boolean) =>
    Promise.all(sites.map((site) => noteListening(fleet, site, Date.now(), ends)));
  await tell(false);
  const timer = setInterval(() => tell(false).catch(() => {}), LISTENS);
  return () => {
    clearInterval(timer);
    return tell(true).catch(() => {});
  };
}

async function onlyOne({ root }: DataPaths): Promise<FileLock> {
  const lock = await FileLock.open(join(root, 'rehearsal.lock'));
  if (await lock.exclusiveNow()) return lock;
  await lock.close();
  throw new BootwaveError({
    code: 'REHEARSAL_RUNNING',
    what: `another 'bootwave lab sim' uses ${root}`,
    unchanged: 'no node was started',
    next: 'end it first; one command simulates several sites: --site munich,paris',
  });
}

function failed(why: string, cause?: unknown): BootwaveError {
  return new BootwaveError({
    code: 'SIM_FAILED',
    what: `the simulated nodes cannot run: ${why}`,
    unchanged: 'what is on record of them',
    next: 'start them again; they go on from their records',
    cause,
  });
}
