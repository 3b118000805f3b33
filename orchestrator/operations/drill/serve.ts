/** A server on a restored data directory that comes up as it would, and reaches nobody: it has a network namespace of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { refusal } from '../../../base/error.ts';
import { isObject, jsonIn } from '../../../base/json.ts';
import type { DataPaths } from '../../../base/paths.ts';
import { lastWords } from '../../../base/run.ts';
import { atMost } from '../../../base/wait.ts';
import { ask, socketOf } from '../client.ts';
import { list } from '../node/declared.ts';

const PROGRAM = fileURLToPath(new URL('../../../bin/bootwave', import.meta.url));

/** Milliseconds: to come up, with 10,000 nodes on a slow disk; to end. */
const TIMES = { up: 10 * 60_000, end: 30_000 } as const;

/**
 * @returns how many nodes it shows
 * @throws BootwaveError `DRILL_SERVE`, and the refusals of its door
 */
export async function serveAlone(paths: DataPaths, signal: AbortSignal): Promise<number> {
  // No link, no BMC and no machine that boots: not even the loopback is up. With its parent it ends, whatever kills that.
  const args = ['--net', 'setpriv', '--pdeathsig', 'KILL', PROGRAM, '--data', paths.root, 'up', '--json'];
  const child = spawn('unshare', args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, BOOTWAVE_REDIS_URL: '' },
  });
  const said = lastWords(child.stderr);
  const ended = once(child, 'close').catch(() => {});
  const stop = () => void child.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  try {
    const ready = (async () => {
      for await (const line of createInterface(child.stdout)) {
        const told = jsonIn(line);
        if (isObject(told) && told.ready !== undefined) return true;
      }
      return false;
    })();
    if ((await atMost(ready, TIMES.up)) !== true)
      throw refusal('DRILL_SERVE', `no server came up on it: ${said().trim().split('\n').at(-1) ?? ''}`);
    const answered = await ask(socketOf(paths), { credential: null }, list.name, {});
    const { nodes, unreadable } = (answered as { result: ReturnType<typeof list.result.parse> }).result;
    return nodes.length + unreadable.length;
  } finally {
    signal.removeEventListener('abort', stop);
    stop();
    if (
      (await atMost(
        ended.then(() => true),
        TIMES.end,
      )) === null
    )
      child.kill('SIGKILL');
  }
}
