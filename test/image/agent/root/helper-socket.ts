/** Does what systemd does with `Accept=yes`: one process per connection, the connection as standard input. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const HELPER = join(import.meta.dirname, '../../../../image/agent/root/main.ts');

/**
 * @param list by its name in the unit's command line
 * @param before words of a command that runs the helper
 * @param at where it listens
 */
export async function helperSocket(list: string, before: readonly string[] = [], at?: string) {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-helper-'));
  const path = at ?? join(folder, 'helper.sock');
  const children: ChildProcess[] = [];
  const server = createServer({ pauseOnConnect: true }, (socket: Socket) => {
    const [program = '', ...words] = [...before, process.execPath, HELPER, list];
    const child = spawn(program, words, { stdio: [socket, 'ignore', 'ignore'] });
    children.push(child);
    child.once('spawn', () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    folder,
    path,
    async close() {
      for (const child of children) child.kill();
      server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
