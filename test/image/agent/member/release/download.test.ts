import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { download } from '../../../../../image/agent/member/release/download.ts';

const content = Buffer.from(Array.from({ length: 50_000 }, (_, i) => (i * 31) & 0xff));
const wanted = {
  version: '2',
  sha256: createHash('sha256').update(content).digest('hex'),
  size: content.length,
};
const pace = { silence: 30_000, least: 0, window: 60_000, attempts: 3, first: 1, most: 2 };

type Answer = (request: IncomingMessage, response: ServerResponse, from: number) => void;

/** As our boot server answers ranges. */
const serve: Answer = (_, response, from) => {
  const range = `bytes ${from}-${content.length - 1}/${content.length}`;
  const headers = { 'content-length': content.length - from, etag: `"${wanted.sha256}"` };
  response.writeHead(from === 0 ? 200 : 206, from === 0 ? headers : { ...headers, 'content-range': range });
  response.end(content.subarray(from));
};

async function setUp(t: ExecutionContext, answer: Answer, slower: Partial<typeof pace> = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-download-'));
  const asked: number[] = [];
  const server = createServer((request, response) => {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    if (from > 0) t.is(request.headers['if-range'], `"${wanted.sha256}"`);
    asked.push(from);
    answer(request, response, from);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(async () => {
    server.closeAllConnections();
    server.close();
    await rm(folder, { recursive: true, force: true });
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/m/x/bootwave_2.efi`;
  const fetch = (signal = new AbortController().signal) =>
    download({ folder, url, wanted, signal, pace: { ...pace, ...slower } });
  return { folder, asked, fetch, part: join(folder, `2_${wanted.sha256}.download`) };
}

/** Sends some bytes and then breaks off. */
const broken =
  (bytes: number): Answer =>
  (request, response, from) => {
    if (from + bytes >= content.length) return serve(request, response, from);
    const range = `bytes ${from}-${content.length - 1}/${content.length}`;
    response.writeHead(from === 0 ? 200 : 206, {
      'content-length': content.length - from,
      'content-range': range,
    });
    response.write(content.subarray(from, from + bytes), () => setImmediate(() => response.destroy()));
  };

test('a connection that breaks again and again is continued where it broke', async (t) => {
  const { fetch, asked } = await setUp(t, broken(9000));
  t.deepEqual(await readFile(await fetch()), content);
  t.true(asked.length > 3);
  t.deepEqual(
    asked,
    asked.toSorted((a, b) => a - b),
  );
  t.true(asked.at(-1)! > 30_000, 'nothing was fetched twice');
});

test('what an earlier boot has fetched is kept; what belongs to another image goes', async (t) => {
  const { fetch, asked, part, folder } = await setUp(t, serve);
  await writeFile(part, content.subarray(0, 20_000));
  await writeFile(join(folder, '1_old.download'), 'x');
  t.deepEqual(await readFile(await fetch()), content);
  t.deepEqual(asked, [20_000]);
  t.is((await readdir(folder)).length, 1);
});

test('what a power cut has torn is fetched anew, once', async (t) => {
  const { fetch, asked, part } = await setUp(t, serve);
  await writeFile(part, Buffer.alloc(20_000));
  t.deepEqual(await readFile(await fetch()), content);
  t.deepEqual(asked, [20_000, 0]);
});

test('a server that ignores ranges, as after a change of the file, starts it over', async (t) => {
  const { fetch, part } = await setUp(t, (request, response) => serve(request, response, 0));
  await writeFile(part, content.subarray(0, 20_000));
  t.deepEqual(await readFile(await fetch()), content);
});

test('another image is refused, and nothing of it is kept', async (t) => {
  const { fetch, part } = await setUp(t, (_, response) => response.end(Buffer.alloc(content.length)));
  await t.throwsAsync(fetch(), { code: 'STAGE_DIGEST' });
  await t.throwsAsync(readFile(part));
  const longer = await setUp(t, (_, response) => response.end(Buffer.alloc(content.length + 1)));
  await t.throwsAsync(longer.fetch(), { code: 'STAGE_DIGEST' });
  const endless = await setUp(t, (_, response) => {
    response.writeHead(200);
    response.write(Buffer.alloc(content.length + 1));
  });
  await t.throwsAsync(endless.fetch(), { code: 'STAGE_DIGEST' });
});

test('no such image is said at once; a server that is silent or busy is asked again, then given up', async (t) => {
  const absent = await setUp(t, (_, response) => response.writeHead(404).end());
  await t.throwsAsync(absent.fetch(), { code: 'STAGE_SOURCE' });
  t.is(absent.asked.length, 1);
  const busy = await setUp(t, (_, response) => response.writeHead(503).end());
  await t.throwsAsync(busy.fetch(), { code: 'STAGE_UNREACHABLE' });
  t.is(busy.asked.length, 3);
  const silent = await setUp(t, () => {}, { silence: 200 });
  await t.throwsAsync(silent.fetch(), { code: 'STAGE_UNREACHABLE' });
});

test('a download can be stopped and keeps what it has', async (t) => {
  const stop = new AbortController();
  const { fetch, part } = await setUp(t, (_, response) => {
    response.writeHead(200, { 'content-length': content.length });
    response.write(content.subarray(0, 10_000));
  });
  const fetched = t.throwsAsync(fetch(stop.signal), { message: 'stopped' });
  while ((await stat(part).catch(() => ({ size: 0 }))).size < 10_000) await sleep(5);
  stop.abort(new Error('stopped'));
  await fetched;
  t.deepEqual(await readFile(part), content.subarray(0, 10_000));
});

test('a server that drips holds nobody up, whatever it has brought; one that is only slow is waited for', async (t) => {
  const drip: Answer = (_, response, from) => {
    response.writeHead(from === 0 ? 200 : 206, {
      'content-length': content.length - from,
      'content-range': `bytes ${from}-${content.length - 1}/${content.length}`,
    });
    const timer = setInterval(() => response.write(Buffer.alloc(1)), 5);
    response.on('close', () => clearInterval(timer));
  };
  const slow = await setUp(t, drip, { silence: 60_000, least: 40_000, window: 100 });
  await t.throwsAsync(slow.fetch(), { code: 'STAGE_SLOW' });
  t.is(slow.asked.length, 3);
  const enough = await setUp(t, broken(9000), { least: 40_000 });
  t.deepEqual(await readFile(await enough.fetch()), content);
});
