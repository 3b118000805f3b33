import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { BootwaveError } from '../../../../base/error.ts';
import { helperAt } from '../../../../image/agent/member/helper-client.ts';

const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-helper-'));
const path = join(folder, 'helper.sock');
const helper = join(import.meta.dirname, '../../../../image/agent/root/main.ts');
const children: ChildProcess[] = [];

/** Does what systemd does with `Accept=yes`: one process per connection, the connection as standard input. */
const server = createServer({ pauseOnConnect: true }, (socket: Socket) => {
  const child = spawn(process.execPath, [helper, 'machine'], { stdio: [socket, 'ignore', 'ignore'] });
  children.push(child);
  child.once('spawn', () => socket.destroy());
});
await new Promise<void>((resolve) => server.listen(path, resolve));
test.after.always(async () => {
  for (const child of children) child.kill();
  server.close();
  await rm(folder, { recursive: true, force: true });
});

test('what is not on the list is not done', async (t) => {
  for (const request of [
    { operation: 'run', command: 'id' },
    { operation: 'quote' },
    { operation: 'quote', extraData: '../x' },
    { operation: 'activate', blob: 'AA==' },
    { operation: 'restart', delay: 1 },
    [],
  ]) {
    const error = await t.throwsAsync(helperAt(path)(request as never), { instanceOf: BootwaveError });
    t.is(error.code, 'HELPER_REQUEST');
  }
});

test('an operation that fails comes back as a coded error over the socket', async (t) => {
  // No efivarfs of this machine is in setup mode.
  const error = await t.throwsAsync(helperAt(path)({ operation: 'enrol-secure-boot' }), {
    instanceOf: BootwaveError,
  });
  t.is(error.code, 'SECURE_BOOT_NOT_SETUP');
});

test('no helper is a coded error', async (t) => {
  const error = await t.throwsAsync(helperAt(join(folder, 'nobody'))({ operation: 'identify' }), {
    instanceOf: BootwaveError,
  });
  t.is(error.code, 'HELPER_UNREACHABLE');
});
