import { once } from 'node:events';
import { readdir, readlink, rm, utimes } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { pino } from 'pino';
import { publishHole, startFixture, UKI } from './fixture.ts';

const MAC = '52-54-00-aa-bb-cc';
const IMAGE = `/m/${MAC}/bootwave_1.0.efi`;
const LARGE = `/m/${MAC}/bootwave_9.0.efi`;

const openFiles = async () =>
  Promise.all((await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')));
const descriptors = async () => (await openFiles()).length;

async function becomes(probe: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await probe())) await new Promise((resolve) => setTimeout(resolve, 10));
}

async function open(port: number) {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

async function answerTo(port: number, bytes: string | Uint8Array): Promise<string> {
  const socket = await open(port);
  let text = '';
  socket.setEncoding('latin1').on('data', (piece: string) => {
    text += piece;
  });
  socket.write(bytes);
  await once(socket, 'close');
  return text;
}

test('tells of script, start and complete delivery, in this order, once', async (t) => {
  const { url, events, stop } = await startFixture();
  t.teardown(stop);
  const steps = () => events.map((event) => event.step);
  await (await fetch(`${url}/m/${MAC}/boot.ipxe`)).text();
  await fetch(url + IMAGE, { method: 'HEAD' });
  await (await fetch(url + IMAGE)).arrayBuffer();
  await becomes(() => events.length >= 3);
  t.deepEqual(steps(), ['script-sent', 'image-started', 'image-sent']);
  t.true(events.every((event) => event.mac === '52:54:00:aa:bb:cc'));
  t.deepEqual(events[2]?.detail, '1.0');
  await (await fetch(url + IMAGE)).arrayBuffer();
  await becomes(() => events.length >= 5);
  t.deepEqual(steps().slice(3), ['image-started', 'image-sent']);
});

test('a node that fetches an image for its disk takes no step of a boot, goes on where it was cut, and gets nothing else', async (t) => {
  const { url, events, stop } = await startFixture();
  t.teardown(stop);
  const whole = await fetch(`${url}/images/bootwave_1.0.efi`);
  t.deepEqual(Buffer.from(await whole.arrayBuffer()), UKI);
  const headers = { range: 'bytes=10-', 'if-range': whole.headers.get('etag') ?? '' };
  const rest = await fetch(`${url}/images/bootwave_1.0.efi`, { headers });
  t.is(rest.status, 206);
  t.deepEqual(Buffer.from(await rest.arrayBuffer()), UKI.subarray(10));
  for (const path of [
    'bootwave_1.0.json',
    'bootwave_..%2f1.0.efi',
    '../bootwave_1.0.efi',
    'bootwave_7.0.efi',
    '',
  ])
    t.is((await fetch(`${url}/images/${path}`)).status, 404, path);
  // What a machine does that boots: what came before it would have been told by now.
  await (await fetch(`${url}/m/${MAC}/boot.ipxe`)).text();
  await becomes(() => events.length > 0);
  t.deepEqual(
    events.map(({ step }) => step),
    ['script-sent'],
  );
});

test('an image fetched in ranges is sent when the last missing byte is', async (t) => {
  const { url, events, stop } = await startFixture();
  t.teardown(stop);
  const size = UKI.length;
  const get = async (range: string) =>
    (await fetch(url + IMAGE, { headers: { range: `bytes=${range}` } })).arrayBuffer();
  await get('0-999');
  await get(`2000-${size - 1}`);
  await get('500-1998');
  // What a finished request told has been told when the next one on the same server is answered.
  await (await fetch(`${url}/m/${MAC}/boot.ipxe`)).text();
  t.false(events.some((event) => event.step === 'image-sent'));
  await get('1999-1999');
  await becomes(() => events.some((event) => event.step === 'image-sent'));
  t.is(events.filter((event) => event.step === 'image-started').length, 1);
});

test('a machine that starts over has nothing of what it had fetched before', async (t) => {
  const { server, images, url, events, stop } = await startFixture();
  t.teardown(stop);
  await publishHole(images, '9.0', 32 * 1024 * 1024);
  await (await fetch(url + LARGE, { headers: { range: 'bytes=1000000-' } })).arrayBuffer();
  const socket = await open(server.port);
  socket.write(`GET ${LARGE} HTTP/1.1\r\nHost: x\r\n\r\n`);
  for (let bytes = 0; bytes < 2_000_000; ) bytes += ((await once(socket, 'data')) as [Buffer])[0].length;
  socket.destroy();
  await becomes(async () => (await server.connections()) <= 1);
  await (await fetch(`${url}/m/${MAC}/boot.ipxe`)).text();
  t.false(events.some((event) => event.step === 'image-sent'));
});

test('for BIOS the image is sent when kernel and initrd are', async (t) => {
  const { url, events, stop } = await startFixture();
  t.teardown(stop);
  await (await fetch(`${url}/m/${MAC}/1.0/linux`)).arrayBuffer();
  await (await fetch(`${url}/m/${MAC}/boot.ipxe`)).text();
  t.deepEqual(
    events.map((event) => event.step).filter((step) => step !== 'script-sent'),
    ['image-started'],
  );
  await (await fetch(`${url}/m/${MAC}/1.0/initrd`)).arrayBuffer();
  await becomes(() => events.some((event) => event.step === 'image-sent'));
});

test.serial('aborted downloads leave no descriptor and do not count as sent', async (t) => {
  const { server, images, url, events, stop } = await startFixture();
  t.teardown(stop);
  await publishHole(images, '9.0', 64 * 1024 * 1024);
  await (await fetch(url + IMAGE)).arrayBuffer();
  await (await fetch(`${url}/loaders/ipxe.efi`)).arrayBuffer();
  await (await fetch(url + LARGE, { method: 'HEAD' })).arrayBuffer();
  const before = await descriptors();
  // Bare sockets: fetch reconnects behind our back when it aborts.
  for (let round = 0; round < 3; round += 1) {
    await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const socket = await open(server.port);
        socket.write(`GET ${LARGE} HTTP/1.1\r\nHost: x\r\n\r\n`);
        if (i % 2 === 0) await once(socket, 'data');
        socket.destroy();
      }),
    );
  }
  await becomes(async () => (await descriptors()) <= before);
  t.false(events.some((event) => event.step === 'image-sent' && event.detail === '9.0'));
  t.is((await fetch(url + IMAGE)).status, 200);
});

test.serial('every answer gives back what it opened', async (t) => {
  const { images, url, server, stop } = await startFixture();
  t.teardown(stop);
  const loader = `${url}/loaders/ipxe.efi`;
  const etag = (await fetch(loader)).headers.get('etag') ?? '';
  await (await fetch(url + IMAGE)).arrayBuffer();
  const before = await descriptors();
  for (let i = 0; i < 20; i += 1) {
    await (await fetch(loader)).arrayBuffer();
    await fetch(loader, { method: 'HEAD' });
    t.is((await fetch(loader, { headers: { 'if-none-match': etag } })).status, 304);
    t.is((await fetch(loader, { headers: { range: 'bytes=9999-' } })).status, 416);
    await (await fetch(url + IMAGE)).arrayBuffer();
    await fetch(`${url}/m/${MAC}/2.0/linux`);
  }
  await becomes(async () => (await descriptors()) <= before + 1);
  // The last reader of an image that is no longer published closes it.
  await rm(join(images, 'bootwave_1.0.json'));
  t.is((await fetch(url + IMAGE)).status, 404);
  await becomes(async () => !(await openFiles()).some((path) => path.startsWith(images)));
  t.true((await server.connections()) > 0);
});

test('a slow loris, a silent connection and a client that stops reading are cut', async (t) => {
  const { server, images, url, stop } = await startFixture({
    limits: { requestWithin: 400, chunkWithin: 400 },
  });
  t.teardown(stop);
  await publishHole(images, '9.0', 64 * 1024 * 1024);
  const loris = await open(server.port);
  const drip = setInterval(() => loris.write('X-a: b\r\n'), 20);
  t.teardown(() => clearInterval(drip));
  loris.write(`GET ${IMAGE} HTTP/1.1\r\n`);
  const silent = await open(server.port);
  const stalled = await open(server.port);
  stalled.write(`GET ${LARGE} HTTP/1.1\r\nHost: x\r\n\r\n`);
  stalled.pause();
  await Promise.all([once(loris.resume(), 'close'), once(silent.resume(), 'close')]);
  await becomes(async () => (await server.connections()) === 0);
  stalled.destroy();
  t.is((await fetch(url + IMAGE)).status, 200);
});

test('a client that reads slowly but steadily gets everything', async (t) => {
  // More than a reader misses on a busy machine, and less than all of it takes.
  const { server, images, stop } = await startFixture({ limits: { chunkWithin: 5000 } });
  t.teardown(stop);
  const size = 24 * 1024 * 1024;
  await publishHole(images, '9.0', size);
  const socket = await open(server.port);
  socket.write(`GET ${LARGE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  let bytes = 0;
  for await (const piece of socket) {
    bytes += (piece as Buffer).length;
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  t.true(bytes > size);
});

test('headers beyond the limit are 431, nonsense 400, and neither harms others', async (t) => {
  const { server, url, stop } = await startFixture();
  t.teardown(stop);
  t.regex(
    await answerTo(server.port, `GET / HTTP/1.1\r\nHost: x\r\nX-a: ${'a'.repeat(20_000)}\r\n\r\n`),
    /^HTTP\/1\.1 431 /,
  );
  t.regex(await answerTo(server.port, '\x16\x03\x01\x02\x00\x01 not HTTP\r\n\r\n'), /^HTTP\/1\.1 400 /);
  t.is((await fetch(url + IMAGE)).status, 200);
});

const request = (path: string, more = '', method = 'GET') =>
  `${method} ${path} HTTP/1.1\r\nHost: x\r\n${more}\r\n`;
const SCRIPT = `/m/${MAC}/boot.ipxe`;
const statusesOf = (text: string) => [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => status);

test('pipelined requests are answered in their order, however many', async (t) => {
  const { server, stop } = await startFixture();
  t.teardown(stop);
  for (const count of [2, 6, 10, 100]) {
    const text = await answerTo(
      server.port,
      request(SCRIPT).repeat(count) + request('/end', 'Connection: close\r\n'),
    );
    t.deepEqual(statusesOf(text), [...Array(count).fill('200'), '404'], `${count}`);
  }
  const text = await answerTo(
    server.port,
    request(IMAGE, '', 'HEAD') + request('/none') + request(IMAGE) + request(SCRIPT, 'Connection: close\r\n'),
  );
  t.deepEqual(statusesOf(text), ['200', '404', '200', '200']);
  t.regex(text, /#!ipxe\n.*\n$/);
});

test('beyond the limit the last answer says "close", nothing is cut before it', async (t) => {
  const { server, url, stop } = await startFixture({ limits: { waiting: 20, waitingOfAll: 50 } });
  t.teardown(stop);
  const text = await answerTo(server.port, request(SCRIPT).repeat(40));
  t.deepEqual(statusesOf(text), Array(20).fill('200'));
  t.is(text.match(/Connection: close/g)?.length, 1);
  t.true(text.lastIndexOf('Connection: close') > text.lastIndexOf('HTTP/1.1 200'));
  // Whoever sends on and on is cut, and takes nobody's room with it.
  await answerTo(server.port, request(SCRIPT).repeat(500));
  t.is((await fetch(url + IMAGE)).status, 200);
  t.deepEqual(statusesOf(await answerTo(server.port, request(SCRIPT).repeat(40))), Array(20).fill('200'));
});

test('nonsense behind a good request does not take its answer', async (t) => {
  const { server, stop } = await startFixture();
  t.teardown(stop);
  for (const count of [1, 3]) {
    const text = await answerTo(server.port, `${request(IMAGE).repeat(count)}nonsense\r\n\r\n`);
    t.deepEqual(statusesOf(text), [...Array(count).fill('200'), '400']);
    t.true(text.length > count * UKI.length);
  }
  t.regex(await answerTo(server.port, 'GET / HTTP/3.0\r\nHost: x\r\n\r\n'), /^HTTP\/1\.1 505 /);
});

test('a target in absolute form is its path, whatever name stands in it', async (t) => {
  const { server, stop } = await startFixture();
  t.teardown(stop);
  for (const [target, status] of [
    [`http://10.0.0.1:7080${SCRIPT}`, '200'],
    [`HTTP://x${SCRIPT}?a=1`, '200'],
    [`https://x${IMAGE}`, '200'],
    ['http://x', '404'],
    ['http://x?a', '404'],
    [`ftp://x${SCRIPT}`, '404'],
    [`/http://x${SCRIPT}`, '404'],
  ] as const) {
    const text = await answerTo(server.port, request(target, 'Connection: close\r\n'));
    t.deepEqual(statusesOf(text), [status], target);
  }
});

test('a clock that is wrong costs a download and never keeps an old file', async (t) => {
  const { url, loaders, stop } = await startFixture();
  t.teardown(stop);
  const ask = (since: number) =>
    fetch(`${url}/loaders/ipxe.efi`, { headers: { 'if-modified-since': new Date(since).toUTCString() } });
  t.is((await ask(Date.now() + 86_400_000)).status, 200);
  // A file from the future is not told of as such.
  await utimes(join(loaders, 'ipxe.efi'), new Date(), new Date(Date.now() + 86_400_000));
  const { headers } = await fetch(`${url}/loaders/ipxe.efi`);
  t.true(Date.parse(headers.get('last-modified') ?? '') <= Date.parse(headers.get('date') ?? '') + 1000);
});

test('a thousand requests and resets of a stranger are a few lines, and a count of the others', async (t) => {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const { server, images, url, events, stop } = await startFixture({ log });
  await publishHole(images, '9.0', 8 * 1024 * 1024);
  for (let i = 0; i < 1000; i += 1) {
    const mac = `52-54-00-00-${(i >> 8).toString(16).padStart(2, '0')}-${(i & 255).toString(16).padStart(2, '0')}`;
    await (await fetch(`${url}/m/${mac}/boot.ipxe`)).text();
  }
  for (let i = 0; i < 30; i += 1) {
    const socket = await open(server.port);
    socket.write(request(LARGE));
    await once(socket, 'data');
    socket.destroy();
  }
  await becomes(async () => (await server.connections()) <= 1);
  await stop();
  t.true(events.length >= 1030);
  for (const [code, all] of [
    ['HTTP_SCRIPT_SENT', 1000],
    ['HTTP_CLIENT_GONE', 30],
  ] as const) {
    const told = lines.filter((line) => line.code === code);
    t.true(told.length <= 6, `${told.length} lines of ${code}`);
    t.is(told.at(-1)?.leftOut, all - (told.length - 1), code);
  }
});

test('one address gets its share of connections and no more; others still come in', async (t) => {
  const { server, stop } = await startFixture({
    // Nobody is cut for being silent here.
    limits: { connectionsPerAddress: 5, requestWithin: 600_000 },
  });
  t.teardown(stop);
  const sockets = await Promise.all(Array.from({ length: 5 }, () => open(server.port)));
  await becomes(async () => (await server.connections()) === 5);
  const surplus = await open(server.port);
  await once(surplus.resume(), 'close');
  const other = connect({ port: server.port, host: '127.0.0.1', localAddress: '127.0.0.2' });
  other.write(`HEAD ${IMAGE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  const [head] = (await once(other, 'data')) as [Buffer];
  t.regex(head.toString(), /^HTTP\/1\.1 200 /);
  sockets[0]?.destroy();
  await becomes(async () => (await server.connections()) === 4);
  const again = await open(server.port);
  again.write(`HEAD ${IMAGE} HTTP/1.1\r\nHost: x\r\n\r\n`);
  t.regex(((await once(again, 'data')) as [Buffer])[0].toString(), /^HTTP\/1\.1 200 /);
  for (const socket of [...sockets, again, other]) socket.destroy();
});

test('whatever bytes arrive, the server goes on serving', async (t) => {
  const { server, url, stop } = await startFixture({ limits: { requestWithin: 300 } });
  t.teardown(stop);
  const line = fc
    .tuple(
      fc.constantFrom('GET', 'HEAD', 'PUT', 'get', ''),
      fc.string({ maxLength: 60 }),
      fc.string({ maxLength: 80 }),
    )
    .map(([method, target, rest]) =>
      Buffer.from(`${method} /${target} HTTP/1.1\r\nHost: x\r\n${rest}\r\n\r\n`),
    );
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(line, fc.uint8Array({ maxLength: 200 })), { maxLength: 3 }),
      async (pieces) => {
        const socket = await open(server.port);
        for (const piece of pieces) socket.write(piece);
        socket.end();
        await once(socket.resume(), 'close');
      },
    ),
    { numRuns: 150 },
  );
  const response = await fetch(url + IMAGE);
  t.is((await response.arrayBuffer()).byteLength, UKI.length);
});
