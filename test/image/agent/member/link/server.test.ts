import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { LinkHandlers } from '../../../../../image/agent/member/link/handlers.ts';
import { createLinkServer, type LinkServer } from '../../../../../image/agent/member/link/server.ts';
import { encodeFrame, FrameDecoder } from '../../../../../protocol/link/frame.ts';
import { LINK_LIMITS } from '../../../../../protocol/link/messages.ts';
import { handlersOf, quiet } from './handlers.ts';

async function serve(
  t: ExecutionContext,
  own: Partial<LinkHandlers> = {},
  signal?: AbortSignal,
): Promise<{ server: LinkServer; socketPath: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-link-'));
  const socketPath = join(folder, 'agent.sock');
  // What an agent that was killed leaves behind.
  await writeFile(socketPath, '');
  const handlers = handlersOf('tpm-1', own);
  const server = await createLinkServer({
    socketPath,
    handlers,
    log: quiet,
    ...(signal === undefined ? {} : { signal }),
  });
  t.teardown(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });
  return { server, socketPath };
}

const open = (t: ExecutionContext, path: string): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('error', reject);
    socket.once('connect', () => {
      t.teardown(() => socket.destroy());
      resolve(socket);
    });
  });

const request = (id: number, op: string, args: unknown) => encodeFrame({ kind: 'request', id, op, args });
type Message = { kind: string; id: number | null; error?: { code: string } };

/** Everything that comes until `count` messages or a result are there, or the link is closed. */
async function read(socket: Socket, count: number | 'result'): Promise<Message[]> {
  const decoder = new FrameDecoder();
  const messages: Message[] = [];
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    messages.push(...(decoder.push(chunk) as Message[]));
    if (count === 'result' ? messages.at(-1)?.kind === 'result' : messages.length >= count) break;
  }
  return messages;
}

test('answers over its socket, which only owner and group may use', async (t) => {
  const { server, socketPath } = await serve(t);
  t.is((await stat(socketPath)).mode & 0o777, 0o660);
  const socket = await open(t, socketPath);
  socket.write(Buffer.concat([request(1, 'status', {}), request(2, 'hello', { version: 1 })]));
  t.deepEqual(
    (await read(socket, 2)).map(({ kind, id }) => [kind, id]),
    [
      ['result', 1],
      ['result', 2],
    ],
  );
  t.is(server.links, 1);
});

test('garbage is answered with its reason, and then the link is closed', async (t) => {
  const { socketPath } = await serve(t);
  const socket = await open(t, socketPath);
  socket.write(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
  const messages = await read(socket, Number.POSITIVE_INFINITY);
  t.deepEqual(
    messages.map(({ id, error }) => [id, error?.code]),
    [[null, 'LINK_FRAME_OVERSIZED']],
  );
});

test('a link that ends tells its handlers', async (t) => {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
  const { socketPath } = await serve(t, {
    stage: (_, { signal }) => {
      signal.addEventListener('abort', () => resolve(signal.reason.code));
      reach();
      return new Promise(() => {});
    },
  });
  const socket = await open(t, socketPath);
  socket.write(request(1, 'stage', { epoch: 3 }));
  await reached;
  socket.destroy();
  t.is(await promise, 'LINK_CUT');
});

test('a peer that asks and never reads is not answered without end', async (t) => {
  let asked = 0;
  const large = { forgiven: Array.from({ length: 64 }, (_, i) => `${'9'.repeat(60)}${i}`) };
  const { socketPath } = await serve(t, {
    forgive: () => {
      asked += 1;
      return large;
    },
  });
  const socket = await open(t, socketPath);
  socket.pause();
  const many = 60 * LINK_LIMITS.inFlight;
  for (let id = 1; id <= many; id++) {
    socket.write(request(id, 'forgive', { epoch: 3 }));
    // As much at once as the node takes, so that every request costs an answer of 4 kB.
    if (id % LINK_LIMITS.inFlight === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }
  t.true(asked > 0 && asked < many / 2, `${asked} answered`);
  // Nothing was lost: the rest follows as soon as it reads.
  const messages = await read(socket, many);
  t.is(messages.length, many);
  t.is(asked, messages.filter(({ kind }) => kind === 'result').length);
});

test('progress for a peer that does not read is left out, not piled up', async (t) => {
  const told = 20_000;
  const { socketPath } = await serve(t, {
    stage: async (_, { progress }) => {
      for (let done = 0; done < told; done++) progress({ version: '1.1', done, total: told });
      return { version: '1.1', file: 'f', already: false };
    },
  });
  const socket = await open(t, socketPath);
  socket.pause();
  socket.write(request(1, 'stage', { epoch: 3 }));
  const messages = await read(socket, 'result');
  t.true(messages.length > 1 && messages.length < told / 2, `${messages.length} messages`);
});

test('one link too many costs the oldest', async (t) => {
  const { server, socketPath } = await serve(t);
  const first = await open(t, socketPath);
  const closed = new Promise<void>((resolve) => first.once('close', () => resolve()));
  first.resume();
  for (let i = 0; i < LINK_LIMITS.links; i++) await open(t, socketPath);
  await closed;
  t.is(server.links, LINK_LIMITS.links);
});

test('an aborted signal closes server and links', async (t) => {
  const stop = new AbortController();
  const { socketPath } = await serve(t, {}, stop.signal);
  const socket = await open(t, socketPath);
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.resume();
  stop.abort();
  await closed;
  await t.throwsAsync(open(t, socketPath));
});

test('an answer too large for a frame costs that request, not the link', async (t) => {
  const { socketPath } = await serve(t, {
    stage: () => ({ version: 'x'.repeat(LINK_LIMITS.frameBytes), file: 'f', already: false }),
  });
  const socket = await open(t, socketPath);
  socket.write(request(1, 'stage', { epoch: 3 }));
  t.is((await read(socket, 1))[0]?.error?.code, 'LINK_FRAME_OVERSIZED');
  socket.write(request(2, 'status', {}));
  t.is((await read(socket, 1))[0]?.kind, 'result');
});
