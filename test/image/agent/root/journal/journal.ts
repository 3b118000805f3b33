/** A journal of its own: systemd's, in namespaces for mounts and network, which nothing of this machine writes into. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { mustRun, run } from '../../../../../base/run.ts';

/** The socket at which PID 1 hands a unit's output over, and what it says of it first. */
const WRITER = `
  import { readFileSync } from 'node:fs';
  import { connect } from 'node:net';
  const [unit, text] = [process.argv[1], readFileSync(0, 'latin1')];
  const socket = connect('/run/systemd/journal/stdout');
  socket.end(Buffer.from(['service', unit, '6', '1', '0', '0', '0', ''].join('\\n') + text, 'latin1'));
  socket.on('error', (error) => { console.error(error); process.exit(1); });
`;
const BEGIN = `
  mount -t tmpfs x /run && mkdir -p /run/systemd/journald.conf.d /run/log/journal /run/systemd/journal
  printf '[Journal]\\nStorage=volatile\\nAudit=no\\nReadKMsg=no\\nRateLimitBurst=0\\n' > /run/systemd/journald.conf.d/test.conf
  exec /usr/lib/systemd/systemd-journald
`;

export async function journal(t: ExecutionContext) {
  const journald = spawn('unshare', ['--mount', '--net', '--propagation=private', 'sh', '-c', BEGIN], {
    stdio: 'ignore',
  });
  const ended = once(journald, 'close');
  t.teardown(async () => {
    journald.kill('SIGKILL');
    await ended;
  });
  const inside: [string, ...string[]] = ['nsenter', '--target', `${journald.pid}`, '--mount', '--net'];
  const isUp = () =>
    run('nsenter', [...inside.slice(1), 'test', '-S', '/run/systemd/journal/stdout'], { timeout: 20_000 });
  // Before its namespace is its own, that of the machine is looked at, which may have such a socket.
  const isOwn = async () =>
    (await run('readlink', [`/proc/${journald.pid}/ns/mnt`])).stdout !==
    (await run('readlink', ['/proc/self/ns/mnt'])).stdout;
  while (!(await isOwn()) || (await isUp()).code !== 0) await sleep(50);
  return {
    inside,
    command: [...inside, 'journalctl'] as [string, ...string[]],
    /** As PID 1 connects a unit. @param text bytes as Latin-1 */
    async write(unit: string, text: string): Promise<void> {
      const node = [process.execPath, '--input-type=module', '-e', WRITER, unit];
      await mustRun('nsenter', [...inside.slice(1), ...node], {
        input: Buffer.from(text, 'latin1'),
        timeout: 60_000,
      });
    },
  };
}
