/** Clients that others wrote, on a good network and on a bad one. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { EVEN, LOADER, startFixture } from './fixture.ts';
import { startRelay } from './relay.ts';

type Options = { host: string; port: number; blockSize?: number; windowSize?: number; timeout?: number };
type NpmTftp = {
  createClient(options: Options): {
    get(remote: string, local: string, done: (error?: Error) => void): void;
  };
};
const tftp = createRequire(import.meta.url)('tftp') as NpmTftp;
const execute = promisify(execFile);

async function scratch(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-tftp-got-'));
  t.teardown(() => rm(folder, { recursive: true }));
  return folder;
}

function npmGet(options: Options, remote: string, local: string): Promise<void> {
  return new Promise((resolve, reject) => {
    tftp.createClient(options).get(remote, local, (error) => (error ? reject(error) : resolve()));
  });
}

/** Debian's tftp-hpa; it exits with 0 whatever happened, so only the file counts. */
async function hpaGet(port: number, remote: string, local: string): Promise<string> {
  const { stdout } = await execute(
    'tftp',
    ['-m', 'binary', '127.0.0.1', String(port), '-c', 'get', remote, local],
    { timeout: 60_000 },
  );
  return stdout;
}

test('the npm package tftp, in every way it can ask', async (t) => {
  const { port, stop } = await startFixture();
  t.teardown(stop);
  const folder = await scratch(t);
  for (const [i, options] of [
    {},
    { blockSize: 512, windowSize: 1 },
    { blockSize: 1468, windowSize: 16 },
    { blockSize: 65_464, windowSize: 64 },
  ].entries()) {
    for (const [name, content] of [
      ['ipxe.efi', LOADER],
      ['even.efi', EVEN],
    ] as const) {
      const local = join(folder, `${i}-${name}`);
      await npmGet({ host: '127.0.0.1', port, ...options }, name, local);
      t.deepEqual(await readFile(local), content, JSON.stringify(options));
    }
  }
  await t.throwsAsync(npmGet({ host: '127.0.0.1', port }, 'none.efi', join(folder, 'none')), {
    message: /no such file/i,
  });
});

test("Debian's tftp and curl get the same bytes", async (t) => {
  const { port, stop } = await startFixture();
  t.teardown(stop);
  const folder = await scratch(t);
  const local = join(folder, 'got');
  for (const [name, content] of [
    ['ipxe.efi', LOADER],
    ['even.efi', EVEN],
    ['/ipxe.efi', LOADER],
  ] as const) {
    await hpaGet(port, name, local);
    t.deepEqual(await readFile(local), content);
  }
  const url = `tftp://127.0.0.1:${port}/ipxe.efi`;
  for (const options of [[], ['--tftp-no-options'], ['--tftp-blksize', '1400']]) {
    const { stdout } = await execute('curl', ['-sS', '--max-time', '30', ...options, url], {
      encoding: 'buffer',
    });
    t.deepEqual(stdout, LOADER);
  }
  t.regex(await hpaGet(port, 'none.efi', local), /no such file/);
});

test('a network that loses, copies and reorders costs time and no byte', async (t) => {
  const { port, events, stop } = await startFixture({ limits: { wait: 30, longestWait: 60, retries: 20 } });
  t.teardown(stop);
  const folder = await scratch(t);
  for (const seed of [1, 2, 3]) {
    const relay = await startRelay(port, { lost: 5, copied: 10, delayed: 5 }, seed);
    const local = join(folder, `got-${seed}`);
    await hpaGet(relay.port, 'ipxe.efi', local);
    relay.close();
    t.deepEqual(await readFile(local), LOADER);
    t.true(relay.hurt > 20, `${relay.hurt} of ${relay.seen} were hurt`);
  }
  t.true(events.length >= 2);
});

test('windows on a network that copies', async (t) => {
  const { port, stop } = await startFixture();
  t.teardown(stop);
  const folder = await scratch(t);
  // Only copies: this client takes seconds over a loss, and none of its ACKs answers a block that it has already.
  const relay = await startRelay(port, { lost: 0, copied: 15, delayed: 0 }, 7);
  const local = join(folder, 'got');
  await npmGet({ host: '127.0.0.1', port: relay.port, blockSize: 512, windowSize: 8 }, 'ipxe.efi', local);
  relay.close();
  t.deepEqual(await readFile(local), LOADER);
  t.true(relay.hurt > 20);
});

test("when everything arrives twice the traffic does not grow (Sorcerer's Apprentice)", async (t) => {
  const { port, stop } = await startFixture();
  t.teardown(stop);
  const folder = await scratch(t);
  const relay = await startRelay(port, { lost: 0, copied: 100, delayed: 0 }, 1);
  const local = join(folder, 'got');
  await hpaGet(relay.port, 'ipxe.efi', local);
  relay.close();
  t.deepEqual(await readFile(local), LOADER);
  // Each block once from the server; from the client one ACK for each copy, so three datagrams a block and the request. A
  // busy machine adds a few that were sent again for their age; a server that answers each copy sends every block twice from
  // the first one on, which is six.
  const blocks = Math.floor(LOADER.length / 512) + 1;
  t.true(relay.seen < 4 * blocks, `${relay.seen} datagrams for ${blocks} blocks`);
});
