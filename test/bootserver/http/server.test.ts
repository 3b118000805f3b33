import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { BootwaveError } from '../../../base/error.ts';
import { INITRD, LINUX, pattern, sha256, startFixture, UKI } from './fixture.ts';

const MAC = '52-54-00-aa-bb-cc';
const IMAGE = `/m/${MAC}/bootwave_1.0.efi`;
const bytesOf = async (response: Response) => Buffer.from(await response.arrayBuffer());
const curl = async (...args: string[]) =>
  (await promisify(execFile)('curl', ['-sS', '--max-time', '20', ...args], { encoding: 'buffer' })).stdout;

test('the image arrives whole, with its length, its digest as a strong tag and its date', async (t) => {
  const { url, stop } = await startFixture();
  t.teardown(stop);
  const response = await fetch(url + IMAGE);
  t.is(response.status, 200);
  t.is(response.headers.get('content-length'), String(UKI.length));
  t.is(response.headers.get('etag'), `"${sha256(UKI)}"`);
  t.is(response.headers.get('content-type'), 'application/efi');
  t.is(response.headers.get('accept-ranges'), 'bytes');
  t.false(Number.isNaN(Date.parse(response.headers.get('last-modified') ?? '')));
  t.deepEqual(await bytesOf(response), UKI);
});

test('kernel and initrd are byte ranges of the same file, with tags of their own', async (t) => {
  const { url, stop } = await startFixture();
  t.teardown(stop);
  const linux = await fetch(`${url}/m/${MAC}/1.0/linux`);
  const initrd = await fetch(`${url}/m/${MAC}/1.0/initrd`);
  const tags = [linux, initrd].map((response) => response.headers.get('etag'));
  t.deepEqual(await bytesOf(linux), LINUX);
  t.deepEqual(await bytesOf(initrd), INITRD);
  t.is(new Set([...tags, `"${sha256(UKI)}"`]).size, 3);
  const tail = await fetch(`${url}/m/${MAC}/1.0/initrd`, { headers: { range: 'bytes=-5' } });
  t.is(tail.headers.get('content-range'), `bytes ${INITRD.length - 5}-${INITRD.length - 1}/${INITRD.length}`);
  t.deepEqual(await bytesOf(tail), INITRD.subarray(-5));
});

test('a MAC with colons, dashes, capitals or percent signs is the same machine', async (t) => {
  const { url, stop } = await startFixture();
  t.teardown(stop);
  for (const mac of ['52:54:00:aa:bb:cc', '52-54-00-AA-BB-CC', '52%3A54%3A00%3aaa%3abb%3acc']) {
    t.is(await (await fetch(`${url}/m/${mac}/boot.ipxe`)).text(), '#!ipxe\n# 52:54:00:aa:bb:cc\n');
  }
});

test('unknown paths are 404 with a coded body, and nothing lists a folder', async (t) => {
  const { url, loaders, stop } = await startFixture();
  t.teardown(stop);
  await writeFile(join(loaders, '.hidden'), 'x');
  await writeFile(join(loaders, 'half.efi.tmp'), 'x');
  const paths: [string, string][] = [
    ['/', 'NOT_FOUND'],
    ['/loaders', 'NOT_FOUND'],
    ['/loaders/', 'NOT_FOUND'],
    ['/loaders/nothing.efi', 'LOADER_ABSENT'],
    ['/loaders/.hidden', 'LOADER_ABSENT'],
    ['/loaders/half.efi.tmp', 'LOADER_ABSENT'],
    ['/loaders/..%2fimages%2fbootwave_1.0.efi', 'NOT_FOUND'],
    ['/loaders/..%00', 'LOADER_ABSENT'],
    ['/loaders/%ff%fe', 'NOT_FOUND'],
    [`/m/${MAC}/bootwave_2.0.efi`, 'IMAGE_NOT_PUBLISHED'],
    [`/m/${MAC}/2.0/linux`, 'IMAGE_NOT_PUBLISHED'],
    [`/m/${MAC}/boot-from-disk`, 'NOT_FOUND'],
    ['/m/52-54-00-aa-bb/boot.ipxe', 'NOT_FOUND'],
    ['/m/52-54:00-aa-bb-cc/boot.ipxe', 'NOT_FOUND'],
  ];
  for (const [path, code] of paths) {
    const response = await fetch(url + path);
    t.is(response.status, 404, path);
    const body = (await response.json()) as { error: { code: string; what: string } };
    t.is(body.error.code, code, path);
    t.true(body.error.what.length > 0);
  }
});

test('only GET and HEAD are served', async (t) => {
  const { url, stop } = await startFixture();
  t.teardown(stop);
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
    const response = await fetch(url + IMAGE, { method, ...(method === 'POST' ? { body: 'x' } : {}) });
    t.is(response.status, 405);
    t.is(response.headers.get('allow'), 'GET, HEAD');
    t.is(((await response.json()) as { error: { code: string } }).error.code, 'METHOD_NOT_ALLOWED');
  }
});

test('a fleet that cannot be asked is a coded 503, another failure a 500 that tells no secrets', async (t) => {
  let error: Error = new BootwaveError({ code: 'DIRECTORY_UNAVAILABLE', what: 'Redis is away' });
  const { url, events, stop } = await startFixture({
    script: async () => {
      throw error;
    },
  });
  t.teardown(stop);
  const path = `${url}/m/${MAC}/boot.ipxe`;
  const away = await fetch(path);
  t.is(away.status, 503);
  t.is(((await away.json()) as { error: { code: string } }).error.code, 'DIRECTORY_UNAVAILABLE');
  error = new Error('password=hunter2');
  const broken = await fetch(path);
  t.is(broken.status, 500);
  t.false((await broken.text()).includes('hunter2'));
  t.deepEqual(events, []);
});

test('ranges and preconditions over the wire, with fetch and with curl', async (t) => {
  const { url, stop } = await startFixture();
  t.teardown(stop);
  const get = (headers: Record<string, string>) => fetch(url + IMAGE, { headers });
  const first = await get({ range: 'bytes=0-99' });
  t.is(first.status, 206);
  t.is(first.headers.get('content-length'), '100');
  t.deepEqual(await bytesOf(first), UKI.subarray(0, 100));
  const etag = first.headers.get('etag') ?? '';
  t.is((await get({ range: 'bytes=10-', 'if-range': etag })).status, 206);
  t.is((await get({ range: 'bytes=10-', 'if-range': '"another"' })).status, 200);
  const beyond = await get({ range: `bytes=${UKI.length}-` });
  t.is(beyond.status, 416);
  t.is(beyond.headers.get('content-range'), `bytes */${UKI.length}`);
  const fresh = await get({ 'if-none-match': etag });
  t.is(fresh.status, 304);
  t.is((await bytesOf(fresh)).length, 0);
  t.deepEqual(await curl('-r', '1000-1999', url + IMAGE), UKI.subarray(1000, 2000));
  t.deepEqual(await curl(url + IMAGE), UKI);
  t.regex(
    (await curl('-I', url + IMAGE)).toString(),
    new RegExp(`^HTTP/1.1 200 OK[^]*Content-Length: ${UKI.length}\r\n`),
  );
});

/** One connection that is used as firmware uses it. */
async function rawClient(port: number) {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  let received = Buffer.alloc(0);
  socket.on('data', (data: Buffer) => {
    received = Buffer.concat([received, data]);
  });
  const until = async (done: (head: string, bodyLength: number) => boolean) => {
    for (;;) {
      const split = received.indexOf('\r\n\r\n');
      if (split !== -1 && done(received.toString('latin1', 0, split), received.length - split - 4)) {
        const answer = { head: received.toString('latin1', 0, split), body: received.subarray(split + 4) };
        received = Buffer.alloc(0);
        return answer;
      }
      await once(socket, 'data');
    }
  };
  return { socket, until };
}

test('UEFI HTTP Boot: HEAD, then GET on the same connection, with the headers that EDK2 sends', async (t) => {
  const { server, events, stop } = await startFixture();
  t.teardown(stop);
  const { socket, until } = await rawClient(server.port);
  t.teardown(() => socket.destroy());
  const request = (method: string) =>
    `${method} ${IMAGE} HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\nAccept: */*\r\nUser-Agent: UefiHttpBoot/1.0\r\n\r\n`;
  socket.write(request('HEAD'));
  const head = await until(() => true);
  t.regex(head.head, /^HTTP\/1\.1 200 OK\r\n/);
  t.regex(head.head, new RegExp(`\r\nContent-Length: ${UKI.length}(\r\n|$)`));
  t.regex(head.head, /\r\nContent-Type: application\/efi(\r\n|$)/);
  t.is(head.body.length, 0);
  t.deepEqual(events, []);
  socket.write(request('GET'));
  const got = await until((_, length) => length >= UKI.length);
  t.notRegex(got.head, /transfer-encoding/i);
  t.deepEqual(got.body, UKI);
});

test('pipelined requests for bodies are answered in their order', async (t) => {
  const { server, stop } = await startFixture();
  t.teardown(stop);
  const ask = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
  const { socket, until } = await rawClient(server.port);
  t.teardown(() => socket.destroy());
  socket.write(ask(`/m/${MAC}/1.0/linux`) + ask('/loaders/ipxe.efi'));
  const both = await until((_, length) => length >= LINUX.length + 5000 + 100);
  t.deepEqual(both.body.subarray(0, LINUX.length), LINUX);
  t.deepEqual(both.body.subarray(-5000), pattern(5000, 9));
});

test('stop cuts every connection and frees the port', async (t) => {
  const { server, stop } = await startFixture();
  t.teardown(stop);
  t.true(server.port > 0);
  await server.stop();
  await server.closed;
  await t.throwsAsync(fetch(`http://127.0.0.1:${server.port}/`));
});
