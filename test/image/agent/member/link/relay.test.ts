import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import test from 'ava';
import { mustRun, run } from '../../../../../base/run.ts';
import { buildRelay, RELAY_COMMAND } from '../../../../../image/agent/member/link/relay/build.ts';
import { RELAY_NO_AGENT } from '../../../../../protocol/link/messages.ts';

const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-relay-'));
const socketPath = join(folder, 'agent.sock');
const relay = join(folder, 'relay');
await buildRelay(relay, socketPath);
test.after.always(() => rm(folder, { recursive: true, force: true }));

test('runs for the subsystem and for nothing else', async (t) => {
  for (const args of [[], ['-c'], ['-c', 'sh'], ['-l'], ['-c', RELAY_COMMAND, 'x'], ['-i', RELAY_COMMAND]])
    t.is((await run(relay, args)).code, 126, args.join(' '));
  t.is((await run(relay, ['-c', RELAY_COMMAND])).code, RELAY_NO_AGENT);
});

test('is small, and the same bytes every time', async (t) => {
  const again = join(folder, 'again');
  await buildRelay(again, socketPath);
  t.deepEqual(await readFile(again), await readFile(relay));
  t.true((await readFile(relay)).length < 32 * 1024);
});

test.serial('carries every byte both ways at once, and the end of one way', async (t) => {
  const there = randomBytes(5_000_000);
  const back = randomBytes(3_000_000);
  const server = createServer({ allowHalfOpen: true }, async (socket) => {
    socket.write(back);
    // Answers only after it has read the end: a relay that took the first end for the last would lose this.
    const got = await buffer(socket);
    socket.end(createHash('sha256').update(got).digest());
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  t.teardown(() => server.close());
  const child = spawn(relay, ['-c', RELAY_COMMAND]);
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.stdin.end(there);
  const got = await buffer(child.stdout);
  t.is(await ended, 0);
  t.is(got.length, back.length + 32);
  t.true(got.subarray(0, back.length).equals(back));
  t.deepEqual(got.subarray(back.length), createHash('sha256').update(there).digest());
});

test.serial('ends when the agent ends, though nobody closed the other side', async (t) => {
  const server = createServer((socket) => socket.end('bye'));
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  t.teardown(() => server.close());
  const child = spawn(relay, ['-c', RELAY_COMMAND]);
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.stdin.on('error', () => {});
  t.is((await buffer(child.stdout)).toString(), 'bye');
  t.is(await ended, 0);
});

test('needs nothing but the C library', async (t) => {
  const { stdout } = await mustRun('readelf', ['-d', relay]);
  t.deepEqual(stdout.match(/Shared library: \[.*\]/g), ['Shared library: [libc.so.6]']);
});
