/** A lab that lives as long as the command that made it: Ctrl-C takes it down. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab } from './lab.ts';
import { labExists } from './state.ts';

/** Stops on SIGINT, SIGTERM and SIGHUP; further ones are ignored, because taking a lab down halfway helps nobody. */
export function untilInterrupted(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => controller.abort());
  return controller.signal;
}

/**
 * Reports what happens, also to nodes that other commands switch, until `signal` or until someone else has taken the
 * lab down.
 */
export async function follow(lab: Lab, signal: AbortSignal): Promise<'interrupted' | 'taken-down'> {
  while (!signal.aborted) {
    if (!(await labExists(lab.folder))) return 'taken-down';
    for (const { name } of lab.nodes) await lab.watch(name).catch(() => {});
    await sleep(500, undefined, { signal }).catch(() => {});
  }
  return 'interrupted';
}
