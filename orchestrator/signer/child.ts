/** The signer as a process of its own below `bootwave up`, started again whenever it has ended. */
import { type ChildProcess, spawn } from 'node:child_process';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { DataPaths } from '../../base/paths.ts';
import { signerFiles } from './files.ts';

const PROGRAM = fileURLToPath(new URL('./main.ts', import.meta.url));

/** Milliseconds. */
const TIMES = { first: 100, most: 5_000, look: 1_000, end: 5_000 } as const;

export type SignerChildOptions = { paths: DataPaths; log: Logger; signal: AbortSignal };

/**
 * Sees to it that a signer serves this data directory: one that runs already (`bootwave signer`), else a child.
 * @returns `done` resolves when it has ended, after the signal fired
 * @throws BootwaveError of the child, when it cannot start
 */
export async function keepSigner(options: SignerChildOptions): Promise<{ done: Promise<void> }> {
  const { signal } = options;
  const { socket } = signerFiles(options.paths);
  const first = (await answers(socket)) ? null : await start(options);
  return { done: keep(first, socket, options, signal) };
}

async function keep(
  first: ChildProcess | null,
  socket: string,
  options: SignerChildOptions,
  signal: AbortSignal,
): Promise<void> {
  const { log } = options;
  let child = first;
  let pause: number = TIMES.first;
  while (!signal.aborted) {
    if (child !== null) {
      await over(child, signal);
      if (signal.aborted) break;
      log.warn({ pid: child.pid }, 'the signer of orders has ended: starting another one');
      child = null;
    } else if (await answers(socket)) {
      await rest(TIMES.look, signal);
      continue;
    }
    try {
      child = await start(options);
      pause = TIMES.first;
    } catch (error) {
      const isThere = error instanceof BootwaveError && error.code === 'SIGNER_RUNNING';
      if (!isThere) log.error({ reason: messageOf(error) }, 'the signer of orders cannot be started');
      await rest(pause, signal);
      pause = Math.min(pause * 2, TIMES.most);
    }
  }
  await end(child);
}

async function start({ paths, log }: SignerChildOptions): Promise<ChildProcess> {
  const args = ['--disable-warning=ExperimentalWarning', PROGRAM, paths.root];
  const child = spawn(process.execPath, args, {
    stdio: ['pipe', 'pipe', 'inherit'],
    // Ctrl-C on the terminal reaches the parent first: the signer continues until the parent is done.
    detached: true,
  });
  child.stdin?.on('error', () => {});
  const line = await new Promise<string | null>((resolve) => {
    child.once('error', () => resolve(null)).once('exit', () => resolve(null));
    if (child.stdout !== null) createInterface(child.stdout).once('line', resolve);
  });
  const said = JSON.parse(line ?? '{}') as { ready?: true; error?: { code: string; what: string } };
  if (said.ready === true) {
    log.info({ pid: child.pid }, 'the signer of orders runs');
    return child;
  }
  throw new BootwaveError(
    said.error ?? { code: 'SIGNER_FAILED', what: 'the signer of orders ended at once' },
  );
}

function over(child: ChildProcess, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null || signal.aborted) return resolve();
    child.once('exit', () => resolve());
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

async function end(child: ChildProcess | null): Promise<void> {
  if (child === null || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.stdin?.end();
  const timer = setTimeout(() => child.kill('SIGKILL'), TIMES.end);
  await gone;
  clearTimeout(timer);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

const rest = (ms: number, signal: AbortSignal) => sleep(ms, undefined, { signal }).catch(() => {});
