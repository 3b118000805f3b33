/** Downloads with mirrors that behave as badly as they can: each costs a little time, and none the update. */
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { download } from '../../../../../image/agent/member/release/download.ts';
import { freePort } from '../../../../support/free-port.ts';

const content = Buffer.from(Array.from({ length: 50_000 }, (_, i) => (i * 31) & 0xff));
const wanted = {
  version: '2',
  sha256: createHash('sha256').update(content).digest('hex'),
  size: content.length,
};
const PATH = `/images/${wanted.sha256}.bootwave_2.efi`;

type Answer = (response: ServerResponse, from: number, request: IncomingMessage) => void;

const head = (response: ServerResponse, from: number, headers: object = {}) =>
  response.writeHead(from === 0 ? 200 : 206, {
    'content-length': content.length - from,
    ...(from > 0 && { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` }),
    ...headers,
  });
const serve: Answer = (response, from) => void head(response, from).end(content.subarray(from));
const some =
  (bytes: number, then: (response: ServerResponse) => void): Answer =>
  (response, from) =>
    void head(response, from).write(content.subarray(from, from + bytes), () =>
      setImmediate(() => then(response)),
    );

const silent = () => {};
const BAD: Record<string, Answer> = {
  'answers 404': (response) => response.writeHead(404).end('no'),
  'answers 503': (response) => response.writeHead(503).end(),
  'sends elsewhere': (response) => response.writeHead(302, { location: PATH }).end(),
  'is silent': silent,
  'breaks off at once': (response) => void response.destroy(),
  'breaks off in the middle': some(9000, (response) => response.destroy()),
  'hangs in the middle': some(9000, silent),
  'says another size': (response) => response.writeHead(200, { 'content-length': 5 }).end('short'),
  'sends nothing': (response) => response.writeHead(200).end(),
  'sends other bytes': (response, from) => void head(response, from).end(Buffer.alloc(content.length - from)),
  'sends one other byte': (response, from) => {
    const bytes = Buffer.from(content.subarray(from));
    bytes[bytes.length - 1]! ^= 1;
    head(response, from).end(bytes);
  },
  'sends without end': (response) => {
    response.writeHead(200);
    const more = () => {
      while (response.writable && response.write(Buffer.alloc(60_000)));
    };
    response.on('drain', more);
    more();
  },
  'has the right bytes and then more': (response) => {
    response.writeHead(200);
    response.write(content);
    response.write('and more');
  },
  'sends early hints without end': (response) => {
    const timer = setInterval(() => response.writeProcessing(), 5);
    response.on('close', () => clearInterval(timer));
  },
  drips: (response, from) => {
    head(response, from);
    let at = from;
    const timer = setInterval(() => {
      response.write(content.subarray(at, at + 1));
      at += 1;
    }, 5);
    response.on('close', () => clearInterval(timer));
  },
  'ignores the range': (response) => void head(response, 0).end(content),
  'answers another range': (response) =>
    void response
      .writeHead(206, { 'content-range': `bytes 7-${content.length - 1}/${content.length}` })
      .end(content.subarray(7)),
};

/** A busy machine is no silent mirror; only what never comes by itself is waited for shortly. */
const PATIENT = { silence: 60_000, least: 0, window: 60_000 };
const SHORT = { silence: 300, least: 1000, window: 300 };
const NEVER = ['is silent', 'hangs in the middle', 'drips', 'sends early hints without end'];

async function setUp(
  t: ExecutionContext,
  mirrors: readonly Answer[],
  pace = PATIENT,
  server: Answer = serve,
) {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-mirrors-'));
  const port = await freePort();
  const asked: string[] = [];
  const told: string[] = [];
  const listen = async (host: string, answer: Answer) => {
    const one = createServer((request, response) => {
      const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
      asked.push(`${host} ${from}`);
      t.is(request.url, PATH);
      answer(response, from, request);
    });
    await new Promise<void>((resolve) => one.listen(port, host, resolve));
    t.teardown(() => {
      one.closeAllConnections();
      one.close();
    });
  };
  await listen('127.0.0.1', server);
  for (const [i, answer] of mirrors.entries()) await listen(`127.0.0.${i + 2}`, answer);
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const fetch = (
    addresses = mirrors.map((_, i) => `127.0.0.${i + 2}`),
    signal = new AbortController().signal,
  ) =>
    download({
      ...{ folder, wanted, signal, url: `http://127.0.0.1:${port}${PATH}` },
      pace: { silence: 30_000, least: 0, window: 60_000, attempts: 3, first: 1, most: 2 },
      mirrors: {
        ...{ addresses, port, tell: (text) => told.push(text) },
        pace,
      },
    });
  return { folder, asked, told, fetch, port, part: join(folder, `2_${wanted.sha256}.download`) };
}

const server = (asked: readonly string[]) => asked.filter((one) => one.startsWith('127.0.0.1 '));

test('a mirror that has the file spares the boot server all of it', async (t) => {
  const { fetch, asked, told } = await setUp(t, [serve, serve]);
  t.deepEqual(await readFile(await fetch()), content);
  t.deepEqual(asked, ['127.0.0.2 0']);
  t.deepEqual(told, []);
});

for (const [how, answer] of Object.entries(BAD))
  test(`a mirror that ${how} costs seconds, and not the update`, async (t) => {
    const { fetch, asked, told } = await setUp(t, [answer], NEVER.includes(how) ? SHORT : PATIENT);
    t.deepEqual(await readFile(await fetch()), content);
    t.true(asked.filter((one) => one.startsWith('127.0.0.2')).length === 1, 'it is asked once');
    const isFine = ['ignores the range', 'has the right bytes and then more'].includes(how);
    t.is(told.length > 0, !isFine);
    t.true(
      told.every((text) => text.includes('127.0.0.2')),
      'the journal names it',
    );
    t.is(server(asked).length, isFine ? 0 : 1);
  });

test('one that holds back even its headers, byte by byte, is left', async (t) => {
  const { fetch, port } = await setUp(t, [], SHORT);
  const sockets = new Set<Socket>();
  const tcp = createTcp((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    const timer = setInterval(() => socket.write('H'), 5);
    socket.on('close', () => clearInterval(timer));
    socket.write('HTTP/1.1 200 OK\r\nX-A: ');
  });
  await new Promise<void>((resolve) => tcp.listen(port, '127.0.0.9', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    tcp.close();
  });
  t.deepEqual(await readFile(await fetch(['127.0.0.9'])), content);
});

test('what one mirror has brought another one continues, and then the boot server', async (t) => {
  const broken = some(9000, (response) => response.destroy());
  const { fetch, asked } = await setUp(t, [broken, broken, broken]);
  t.deepEqual(await readFile(await fetch()), content);
  t.deepEqual(asked, ['127.0.0.2 0', '127.0.0.3 9000', '127.0.0.4 18000', '127.0.0.1 27000']);
});

test('none throws away what is here, and after wrong bytes none is asked again', async (t) => {
  const { fetch, asked, part, told } = await setUp(t, [
    BAD['ignores the range']!,
    BAD['sends other bytes']!,
    serve,
  ]);
  await writeFile(part, content.subarray(0, 20_000));
  t.deepEqual(await readFile(await fetch()), content);
  t.deepEqual(asked, ['127.0.0.2 20000', '127.0.0.3 20000', '127.0.0.1 0']);
  t.regex(told.at(-1)!, /127\.0\.0\.3: it is fetched again, from the boot server alone/);
});

test('no more than three are asked', async (t) => {
  const bad = BAD['answers 404']!;
  const { fetch, asked } = await setUp(t, [bad, bad, bad, bad]);
  t.deepEqual(await readFile(await fetch()), content);
  t.deepEqual(asked, ['127.0.0.2 0', '127.0.0.3 0', '127.0.0.4 0', '127.0.0.1 0']);
});

test('a download from a mirror can be stopped, and keeps what it has', async (t) => {
  const { fetch, part, asked } = await setUp(t, [some(10_000, silent)]);
  const stop = new AbortController();
  const fetched = t.throwsAsync(fetch(undefined, stop.signal), { message: 'stopped' });
  while ((await readFile(part).catch(() => '')).length < 10_000) await sleep(5);
  stop.abort(new Error('stopped'));
  await fetched;
  t.deepEqual(await readFile(part), content.subarray(0, 10_000));
  t.deepEqual(server(asked), []);
});

test('whatever three mirrors do, the file is the ordered one', async (t) => {
  const names = Object.keys(BAD);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom(...names), { minLength: 3, maxLength: 3 }),
      fc.nat({ max: content.length }),
      async (three, here) => {
        const { fetch, part } = await setUp(
          t,
          three.map((name) => BAD[name]!),
          SHORT,
        );
        await writeFile(part, content.subarray(0, here));
        return (await readFile(await fetch())).equals(content);
      },
    ),
    { numRuns: 12 },
  );
  t.pass();
});
