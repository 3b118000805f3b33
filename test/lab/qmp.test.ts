import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { endOf } from '../../lab/end.ts';
import { fromQmp } from '../../lab/events.ts';
import { Qmp } from '../../lab/qmp.ts';

/** The misbehaving side, which no real QEMU plays for us. */
async function peer(t: ExecutionContext, serve: (socket: Socket) => void): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bw-'));
  const path = join(folder, 's');
  const server: Server = createServer(serve);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(async () => {
    server.close();
    await rm(folder, { recursive: true });
  });
  return path;
}

test('nobody there, and someone who never greets: a coded error, no waiting for ever', async (t) => {
  await t.throwsAsync(Qmp.connect('/nowhere/qmp.sock'), { code: 'LAB_QMP' });
  const silent = await peer(t, () => {});
  await t.throwsAsync(Qmp.connect(silent, undefined, 50), { code: 'LAB_QMP' });
});

test('garbage between the lines is skipped, a refusal and a lost connection are coded errors', async (t) => {
  const path = await peer(t, (socket) => {
    socket.write('{"QMP":{}}\nnot json\n');
    socket.on('data', (bytes) => {
      const text = bytes.toString();
      if (text.includes('qmp_capabilities')) socket.write('{"return":{}}\n');
      else if (text.includes('refuse'))
        socket.write('{"error":{"class":"GenericError","desc":"no such thing"}}\n');
      else socket.destroy();
    });
    socket.on('error', () => {});
  });
  const qmp = await Qmp.connect(path);
  await t.throwsAsync(qmp.execute('refuse'), { code: 'LAB_QMP', message: /no such thing/ });
  await t.throwsAsync(qmp.execute('die'), { code: 'LAB_QMP' });
  await t.throwsAsync(qmp.execute('after'), { code: 'LAB_QMP' });
});

test(`QEMU's events become what a person at the rack would notice`, (t) => {
  const event = (event: string, data = {}) => fromQmp('n1', { event, data });
  t.deepEqual(event('RESET', { guest: true }), { kind: 'reset', node: 'n1', by: 'guest' });
  t.deepEqual(event('RESET', { guest: false }), { kind: 'reset', node: 'n1', by: 'operator' });
  t.deepEqual(event('WATCHDOG', { action: 'reset' }), { kind: 'watchdog', node: 'n1' });
  t.deepEqual(event('GUEST_PANICKED'), { kind: 'panic', node: 'n1' });
  t.is(event('RTC_CHANGE'), undefined);
});

test('why it ended: its own doing, ours, or a crash', (t) => {
  t.is(endOf('1@2.3:qemu_system_shutdown_request reason=6\n'), 'powered-itself-off');
  t.is(endOf('qemu-system-x86_64: terminating on signal 15 from pid 1 (node)\n'), 'switched-off');
  t.is(endOf('1@2.3:qemu_system_shutdown_request reason=8\n'), 'guest-panic');
  t.is(endOf(''), 'crashed');
});
