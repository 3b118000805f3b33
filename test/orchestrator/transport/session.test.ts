/** The orchestrator's end of a link against the node's own server, over a unix socket instead of SSH. */
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import test, { type ExecutionContext } from 'ava';
import type { LinkHandlers } from '../../../image/agent/member/link/handlers.ts';
import { createLinkServer } from '../../../image/agent/member/link/server.ts';
import { LinkSession } from '../../../orchestrator/transport/session.ts';
import { encodeFrame, FrameDecoder } from '../../../protocol/link/frame.ts';
import { type FromNode, LINK_LIMITS, type ToNode } from '../../../protocol/link/messages.ts';
import { handlersOf, quiet } from '../../image/agent/member/link/handlers.ts';
import { HandClock, settle } from './clock.ts';

async function linked(t: ExecutionContext, own: Partial<LinkHandlers> = {}): Promise<LinkSession> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-session-'));
  const socketPath = join(folder, 'agent.sock');
  const server = await createLinkServer({ socketPath, handlers: handlersOf('tpm-1', own), log: quiet });
  const session = new LinkSession(connect(socketPath));
  t.teardown(async () => {
    session.end();
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });
  return session;
}

/** A node that says only what the test makes it say. */
function puppet(): { session: LinkSession; heard: ToNode[]; say(message: FromNode): void; clock: HandClock } {
  const decoder = new FrameDecoder();
  const heard: ToNode[] = [];
  const stream = new Duplex({
    read: () => {},
    write: (chunk, _, done) => {
      heard.push(...(decoder.push(chunk) as ToNode[]));
      done();
    },
  });
  const clock = new HandClock();
  return {
    session: new LinkSession(stream, clock),
    heard,
    clock,
    say: (message) => stream.push(encodeFrame(message)),
  };
}

test('many requests in flight, answered in any order, each to the one who asked', async (t) => {
  let held: (() => void)[] = [];
  const session = await linked(t, {
    forgive: ({ epoch }) =>
      new Promise((resolve) => {
        held.push(() => resolve({ forgiven: [String(epoch), String(held.length)] }));
        if (held.length < 5) return;
        for (const answer of held.reverse()) answer();
        held = [];
      }),
  });
  const asked = Array.from({ length: 5 }, () => session.request('forgive', { epoch: 3 }));
  t.is(new Set((await Promise.all(asked)).map(({ forgiven }) => forgiven.join())).size, 1);
  t.is(session.inFlight, 0);
});

test('an answer goes to its own request', async (t) => {
  const { session, say } = puppet();
  const first = session.request('cancel', { epoch: 3 });
  const second = session.request('cancel', { epoch: 3 });
  say({ kind: 'result', id: 2, result: { cancelled: true } });
  say({ kind: 'result', id: 1, result: { cancelled: false } });
  t.deepEqual([(await first).cancelled, (await second).cancelled], [false, true]);
});

test('progress arrives before the answer', async (t) => {
  const session = await linked(t, {
    stage: async (_, { progress }) => {
      for (const done of [1, 2]) progress({ version: '1.1', done, total: 2 });
      return { version: '1.1', file: 'f', already: false };
    },
  });
  const done: number[] = [];
  await session.request('stage', { epoch: 3 }, { onProgress: (progress) => done.push(progress.done) });
  t.deepEqual(done, [1, 2]);
});

test('giving up tells the node', async (t) => {
  const { promise, resolve } = Promise.withResolvers<string>();
  const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
  const session = await linked(t, {
    stage: (_, { signal }) => {
      signal.addEventListener('abort', () => resolve(signal.reason.code));
      reach();
      return new Promise(() => {});
    },
  });
  const stop = new AbortController();
  const asked = t.throwsAsync(session.request('stage', { epoch: 3 }, { signal: stop.signal }), {
    code: 'LINK_ABORTED',
  });
  await reached;
  stop.abort();
  await asked;
  t.is(await promise, 'LINK_ABORTED');
  await t.notThrowsAsync(session.request('status', {}));
});

test('a request that is aborted before it starts is never sent', async (t) => {
  const { session, heard } = puppet();
  await t.throwsAsync(
    session.request('restart', { epoch: 3, bootId: 'b' }, { signal: AbortSignal.abort() }),
    {
      code: 'LINK_ABORTED',
    },
  );
  t.deepEqual(heard, []);
});

test('silence ends a request, progress does not let it come to that', async (t) => {
  const { session, say, clock, heard } = puppet();
  const asked = t.throwsAsync(session.request('stage', { epoch: 3 }, { timeout: 1000 }), {
    code: 'LINK_TIMEOUT',
  });
  for (let i = 0; i < 5; i++) {
    await clock.pass(900);
    say({ kind: 'progress', id: 1, progress: { version: '1.1', done: i, total: 9 } });
    await settle();
  }
  t.is(session.inFlight, 1);
  await clock.pass(1000);
  await asked;
  t.deepEqual(heard.at(-1), { kind: 'abort', id: 1 });
  // The answer that comes too late is nobody's, and no reason to end the link.
  say({ kind: 'result', id: 1, result: {} });
  await settle();
  t.true(session.isOpen);
  t.is(clock.timers, 0);
});

test('a link on which nothing at all was heard for long is given up', async (t) => {
  const { session, clock } = puppet();
  await clock.pass(3600_000);
  const quick = t.throwsAsync(session.request('status', {}, { timeout: 1000 }), { code: 'LINK_TIMEOUT' });
  await clock.pass(1000);
  await quick;
  t.true(session.isOpen);
  const asked = t.throwsAsync(session.request('status', {}), { code: 'LINK_TIMEOUT' });
  await clock.pass(60_000);
  await asked;
  t.is((await session.ended).code, 'LINK_CUT');
  await t.throwsAsync(session.request('status', {}), { code: 'LINK_CUT' });
});

test('more requests than the node takes are refused here', async (t) => {
  const { session } = puppet();
  const asked = Array.from({ length: LINK_LIMITS.inFlight }, () => session.request('status', {}));
  await t.throwsAsync(session.request('status', {}), { code: 'LINK_BUSY' });
  session.end();
  for (const each of asked) await t.throwsAsync(each, { code: 'LINK_CLOSED' });
});

test('a newer node may say more than this orchestrator knows', async (t) => {
  const { session, say } = puppet();
  const asked = session.request('cancel', { epoch: 3 });
  say({ kind: 'result', id: 1, result: { cancelled: true, since: 5 }, hint: 'x' } as FromNode);
  t.deepEqual(await asked, { cancelled: true });
});

test('an answer that is not of the operation fails that request alone', async (t) => {
  const { session, say } = puppet();
  const asked = session.request('cancel', { epoch: 3 });
  say({ kind: 'result', id: 1, result: { cancelled: 'perhaps' } });
  await t.throwsAsync(asked, { code: 'LINK_PROTOCOL' });
  t.true(session.isOpen);
});
