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
import { markerFile } from '../../orchestrator/rehearsal/marker.ts';
import { initRehearsal, type RehearsalOptions, runRehearsal } from '../sim/rehearsal.ts';
import { openInnerDoor } from './door.ts';

export type InnerOptions = RehearsalOptions & {
  /** Of its operators, and of what everybody may ask (door.ts). */
  operatorsPort: number;
  healthPort: number;
};

const MAIN = join(import.meta.dirname, '../../cli/main.ts');
const NODE_OPTIONS = ['--disable-warning=ExperimentalWarning'];
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
  const server = startServer(paths, options);
  try {
    await Promise.race([server.ready, server.over]);
    const nodes = runRehearsal(paths, options, AbortSignal.any([signal, ends.signal]), onReady);
    await Promise.race([nodes, server.over]).finally(async () => {
      ends.abort();
      await nodes.catch(() => {});
    });
  } finally {
    await server.end();
  }
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
  const times = ['--heartbeat', `${heartbeat}`, '--attest-every', '1440'];
  const child = spawn(process.execPath, [...NODE_OPTIONS, MAIN, ...words, ...times], {
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
