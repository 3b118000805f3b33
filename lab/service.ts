/** Programs beside the nodes, on the same wire: the boot server, or what a test puts in its place. */
import { readFile, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError } from '../base/error.ts';
import { sizeOf } from '../base/files.ts';
import { inNamespaceArguments } from './namespace.ts';
import {
  isAlive,
  type ProcessId,
  type Started,
  signalProcess,
  startDetached,
  stopProcess,
  waitGone,
} from './process.ts';
import { readService, serviceFile, serviceLog, writeService } from './state.ts';

export type ServiceOptions = {
  env?: NodeJS.ProcessEnv;
  /** Asked until it says yes; without it a started service counts as ready. */
  ready?: (id: ProcessId) => Promise<boolean>;
  /** Milliseconds for getting ready; 180,000 by default. */
  timeout?: number;
  signal?: AbortSignal;
  /** Kept in its record, for whoever starts it the same way again. */
  extraArgs?: readonly string[];
};

export async function serviceOf(folder: string, name: string): Promise<ProcessId | undefined> {
  const record = await readService(serviceFile(folder, name));
  return record !== undefined && isAlive(record.process) ? record.process : undefined;
}

/** @throws BootwaveError `LAB_SERVICE_ON`, `LAB_SERVICE` with its last words when it ends or is not ready in time */
export async function startService(
  folder: string,
  namespace: string,
  name: string,
  program: string,
  args: readonly string[],
  options: ServiceOptions,
): Promise<Started> {
  if ((await serviceOf(folder, name)) !== undefined) {
    throw new BootwaveError({ code: 'LAB_SERVICE_ON', what: `${name} runs already` });
  }
  const log = serviceLog(folder, name);
  const from = await sizeOf(log);
  const started = await startDetached(
    'ip',
    inNamespaceArguments(namespace, program, args),
    log,
    options.env ?? process.env,
  );
  await writeService(serviceFile(folder, name), {
    process: started.id,
    ...(options.extraArgs === undefined ? {} : { extraArgs: [...options.extraArgs] }),
  });
  const end = performance.now() + (options.timeout ?? 180_000);
  while (options.ready !== undefined) {
    const alive = isAlive(started.id);
    if (alive && (await options.ready(started.id))) break;
    if (!alive || performance.now() > end || options.signal?.aborted === true) {
      await stopService(folder, name, 'SIGKILL');
      options.signal?.throwIfAborted();
      const words = (await readFile(log).catch(() => Buffer.alloc(0))).subarray(from).toString('utf8');
      throw new BootwaveError({
        code: 'LAB_SERVICE',
        what: `${name} ${alive ? 'was not ready in time' : 'ended at once'}: ${lastWords(words)}`,
      });
    }
    await sleep(50);
  }
  return started;
}

/** Pure: a coded error as a sentence where a program ended with one (`--json`), else its last lines. */
function lastWords(output: string): string {
  const lines = output.trim().split('\n');
  try {
    const { error } = JSON.parse(lines.at(-1) ?? '') as {
      error: { code: string; what: string; next?: string };
    };
    return `${error.what} [${error.code}]${error.next === undefined ? '' : `; ${error.next}`}`;
  } catch {
    return lines.slice(-6).join('\n  ');
  }
}

/** SIGKILL hits the one process, as a crash does; anything else is followed, after 10 s, by SIGKILL for its group. */
export async function stopService(folder: string, name: string, signal: NodeJS.Signals): Promise<void> {
  const id = await serviceOf(folder, name);
  if (id !== undefined) {
    signalProcess(id, signal);
    if (!(await waitGone(id, 10_000))) await stopProcess(id, 0);
  }
  await rm(serviceFile(folder, name), { force: true });
}
