/**
 * A fleet of its own in one command: a server, and simulated nodes in front of it. It is what the service `bootwave`
 * runs, so that a team rehearses its next release inside its own fleet.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BootwaveError } from '../../base/error.ts';
import { exists } from '../../base/files.ts';
import { type DataPaths, dataPaths } from '../../base/paths.ts';
import { publishedVersions, readManifest } from '../../image/build/manifest.ts';
import { release } from '../../image/publish/publish.ts';
import { markerFile } from '../../orchestrator/rehearsal/marker.ts';
import { simMac } from '../sim/enrolment.ts';
import { publishFiles } from '../sim/images.ts';
import { initRehearsal, type RehearsalOptions, runRehearsal } from '../sim/rehearsal.ts';
import { openInnerDoor } from './door.ts';
import { netBoot } from './net-boot.ts';

export type InnerOptions = RehearsalOptions & {
  /** Of its operators, and of what everybody may ask (door.ts). */
  operatorsPort: number;
  healthPort: number;
};

const MAIN = join(import.meta.dirname, '../../cli/main.ts');
const NODE_OPTIONS = ['--disable-warning=ExperimentalWarning'];
/** A network that is there without any right, with no machine on it but those that are played. */
const LOOPBACK = 'lo';
const RANGE = '127.77.0.10-127.77.63.250';
/** Milliseconds that the server has to end. */
const PATIENCE = 8_000;

/**
 * Until the signal fires, or one of the two ends: whoever started it begins it again.
 * @throws BootwaveError `INNER_SERVER`, and as `runRehearsal`
 */
export async function runInner(
  paths: DataPaths,
  options: InnerOptions,
  signal: AbortSignal,
  onReady: () => void,
): Promise<void> {
  const door = await openInnerDoor(paths, options.healthPort);
  try {
    await makeOnce(paths);
    await runBoth(paths, options, signal, onReady);
  } finally {
    door.close();
    door.closeAllConnections();
  }
}

async function runBoth(
  paths: DataPaths,
  options: InnerOptions,
  signal: AbortSignal,
  onReady: () => void,
): Promise<void> {
  const ends = new AbortController();
  const stop = AbortSignal.any([signal, ends.signal]);
  const server = startServer(paths, options);
  const { promise: unpublished, reject } = Promise.withResolvers<never>();
  const { images, badImages } = options;
  const [first, ...more] = images;
  const publishRest = () => publish(paths, [...more, ...badImages]).then(onReady, reject);
  const nodes = async () => {
    await publish(paths, [first]);
    await bootAll(paths, options.nodes, stop);
    await runRehearsal(paths, { ...options, published: true }, stop, publishRest);
  };
  try {
    await Promise.race([server.ready, server.over]);
    const running = nodes();
    await Promise.race([running, server.over, unpublished]).finally(async () => {
      ends.abort();
      await running.catch(() => {});
    });
  } finally {
    await server.end();
  }
}

async function publish(paths: DataPaths, versions: readonly string[]): Promise<void> {
  for (const manifest of await publishFiles(paths.images, versions)) await release(manifest, { paths });
}

/** New machines get the first image, since no other is released before all of them are on record; others their disk. */
async function bootAll({ images }: DataPaths, nodes: number, signal: AbortSignal): Promise<void> {
  const manifests = await Promise.all(
    (await publishedVersions(images)).map((version) => readManifest(images, version)),
  );
  const released = new Set(manifests.map(({ sha256 }) => sha256));
  const macs = Array.from({ length: nodes }, (_, n) => simMac(n));
  for (const [n, { image }] of (await netBoot(LOOPBACK, macs, signal)).entries())
    if (image !== null && !released.has(image.sha256)) throw otherImage(macs[n]!, image.url);
}

function otherImage(mac: string, url: string): BootwaveError {
  return new BootwaveError({
    code: 'INNER_IMAGE',
    what: `the machine ${mac} got other bytes from ${url} than were released`,
    unchanged: 'nothing was started on it',
    next: 'look at the images in its data directory',
  });
}

/** Its own keys, whole or not at all: who was killed in between begins anew. */
async function makeOnce(paths: DataPaths): Promise<void> {
  if (await exists(markerFile(paths))) return;
  const making = `${paths.root}.making`;
  await mkdir(dirname(making), { recursive: true });
  await rm(making, { recursive: true, force: true });
  await initRehearsal(dataPaths(making));
  await rename(making, paths.root);
}

function startServer({ root }: DataPaths, { operatorsPort, heartbeat }: InnerOptions) {
  const words = ['--data', root, 'up', '--operators-port', `${operatorsPort}`];
  const wire = ['--interface', LOOPBACK, '--range', RANGE, '--beside-dhcp'];
  const times = ['--heartbeat', `${heartbeat}`, '--attest-every', '1440'];
  const child = spawn(process.execPath, [...NODE_OPTIONS, MAIN, ...words, ...wire, ...times], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exit = once(child, 'exit');
  const ready = once(child.stdout, 'data');
  return {
    ready,
    over: exit.then(([code, by]): never => {
      throw new BootwaveError({
        code: 'INNER_SERVER',
        what: `the server of the inner fleet ended (${code ?? by})`,
        unchanged: 'what it has on its disk',
        next: 'read its last lines above; it goes on from what it has when it is started again',
      });
    }),
    async end() {
      const kill = setTimeout(() => child.kill('SIGKILL'), PATIENCE);
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      await exit;
      clearTimeout(kill);
    },
  };
}
