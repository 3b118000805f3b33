/** The orchestrator's transport against a real sshd with the image's configuration, account and relay. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect as connectTcp, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { run } from '../../../base/run.ts';
import type { LinkHandlers } from '../../../image/agent/member/link/handlers.ts';
import { createLinkServer, type LinkServer } from '../../../image/agent/member/link/server.ts';
import { makeHostKey } from '../../../image/agent/root/host-key.ts';
import { keyLayout } from '../../../keys/layout.ts';
import { loadOrderKey } from '../../../orchestrator/orders/key.ts';
import { type LinkTarget, openChannel } from '../../../orchestrator/transport/channel.ts';
import { readClientKey } from '../../../orchestrator/transport/client-key.ts';
import { LinkPool, type PoolOptions } from '../../../orchestrator/transport/pool.ts';
import { LinkSession } from '../../../orchestrator/transport/session.ts';
import { encodeFrame } from '../../../protocol/link/frame.ts';
import { LINK_LIMITS } from '../../../protocol/link/messages.ts';
import type { Order } from '../../../protocol/order.ts';
import { readOrderKeys, verifyOrder } from '../../../protocol/order-envelope.ts';
import { BOOT, handlersOf, quiet } from '../../image/agent/member/link/handlers.ts';
import { keysIn } from '../../support/keys.ts';
import { signOrder } from '../../support/sign-order.ts';
import { isRoot, type NodeSshd, nodeSshd } from './sshd.ts';

const NODE = 'tpm-0a1b';
const rooted = isRoot ? test.serial : test.serial.skip;
let keys: string;
let privateKey: Buffer;
let node: NodeSshd;

test.before(async () => {
  if (!isRoot) return;
  keys = await mkdtemp(join(tmpdir(), 'bootwave-test-link-keys-'));
  await keysIn(keys);
  privateKey = await readFile(keyLayout(keys).ssh.key);
  node = await nodeSshd(await readFile(keyLayout(keys).ssh.pub, 'utf8'));
});
test.after.always(async () => {
  await node?.remove();
  if (keys !== undefined) await rm(keys, { recursive: true, force: true });
});

async function agent(t: ExecutionContext, own: Partial<LinkHandlers> = {}): Promise<LinkServer> {
  const { socketPath } = node;
  const server = await createLinkServer({ socketPath, handlers: handlersOf(NODE, own), log: quiet });
  t.teardown(() => server.close());
  return server;
}

function pool(t: ExecutionContext, options: Partial<PoolOptions> = {}): LinkPool {
  const made = new LinkPool({
    privateKey,
    resolve: async (id) => node.target(id),
    limits: { first: 20, most: 100 },
    ...options,
  });
  t.teardown(() => made.close());
  return made;
}

/** The node's own sshd log grew by this since `from`. */
const loggedSince = (from: number): string => node.log().slice(from);

/** sshd logs to a pipe that this process reads: give it until `text` is there. */
async function logged(from: number, text: RegExp): Promise<void> {
  for (let i = 0; i < 1000 && !text.test(loggedSince(from)); i++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  if (!text.test(loggedSince(from))) throw new Error(`sshd never logged ${text}:\n${loggedSince(from)}`);
}

rooted('a node answers; the second request travels on the same connection', async (t) => {
  const from = node.log().length;
  await agent(t);
  const links = pool(t);
  const { result } = await links.request(NODE, 'status', {});
  t.is(result.slots[0]?.file, 'bootwave_1.0.efi');
  await Promise.all([links.request(NODE, 'status', {}), links.request(NODE, 'status', {})]);
  t.is(links.helloOf(NODE)?.running.bootId, BOOT);
  await logged(from, /Accepted publickey for bootwave-link/);
  t.is(loggedSince(from).match(/Accepted publickey/g)?.length, 1);
});

rooted('an order travels through all of it and is verified by the node', async (t) => {
  const publicKeys = readOrderKeys(await readFile(keyLayout(keys).order.pub, 'utf8'));
  await agent(t, {
    order: ({ envelope }) => {
      const { order, digest } = verifyOrder(envelope, publicKeys, {
        nodeId: NODE,
        now: Date.now(),
        last: null,
      });
      return { epoch: order.epoch, digest, accepted: 'new' };
    },
  });
  const order: Order = {
    format: 1,
    node: NODE,
    epoch: 7,
    issuedAt: Date.now(),
    expires: Date.now() + 3600_000,
    mode: 'installed',
    image: { version: '1.1', sha256: 'a'.repeat(64), size: 90_000_000 },
    services: [],
    config: null,
    wipe: false,
    forgiven: [],
  };
  const key = await loadOrderKey(keys);
  const links = pool(t);
  t.like((await links.request(NODE, 'order', { envelope: signOrder(order, key) })).result, {
    epoch: 7,
    accepted: 'new',
  });
  const foreign = signOrder({ ...order, node: 'tpm-other' }, key);
  await t.throwsAsync(links.request(NODE, 'order', { envelope: foreign }), {
    code: 'ORDER_WRONG_NODE',
    name: 'NodeRefusal',
  });
});

rooted('to a host with another key nothing is sent', async (t) => {
  const from = node.log().length;
  const server = await agent(t);
  const refused: string[] = [];
  const links = pool(t, {
    resolve: async (id) => ({ ...node.target(id), hostKey: makeHostKey().line }),
    onFailure: (_, error) => refused.push(error.code),
  });
  await t.throwsAsync(links.request(NODE, 'status', {}), { code: 'LINK_HOST_KEY' });
  t.deepEqual(refused, ['LINK_HOST_KEY']);
  // sshd says of such a connection that it ended before any authentication was asked for, and names no user.
  await logged(from, /Disconnected from 127.0.0.1 port \d+ \[preauth\]/);
  const connection = loggedSince(from).slice(loggedSince(from).lastIndexOf('Connection from'));
  t.notRegex(connection, /bootwave-link|user|Accepted|Failed/);
  t.is(server.links, 0);
});

rooted('without a usable recorded host key no connection is made', async (t) => {
  const from = node.log().length;
  const links = pool(t, { resolve: async (id) => ({ ...node.target(id), hostKey: '' }) });
  await t.throwsAsync(links.request(NODE, 'status', {}, { connectWithin: 60_000 }), {
    code: 'LINK_HOST_KEY_RECORD',
  });
  t.is(loggedSince(from), '');
});

rooted(
  'a host key that changes under a running sshd is the one that the next connection must show',
  async (t) => {
    await agent(t);
    const old = node.hostKey.line;
    await node.changeHostKey();
    const links = pool(t, { resolve: async (id) => ({ ...node.target(id), hostKey: old }) });
    await t.throwsAsync(links.request(NODE, 'status', {}), { code: 'LINK_HOST_KEY' });
    await t.notThrowsAsync(pool(t).request(NODE, 'status', {}));
  },
);

rooted('another client key is refused, and not tried again', async (t) => {
  await agent(t);
  const stranger = makeHostKey().file;
  const failures: string[] = [];
  const links = pool(t, { privateKey: stranger, onFailure: (_, { code }) => failures.push(code) });
  await t.throwsAsync(links.request(NODE, 'status', {}, { connectWithin: 60_000 }), { code: 'LINK_AUTH' });
  t.deepEqual(failures, ['LINK_AUTH']);
});

/** OpenSSH's own client with the orchestrator's key: what a thief of that key could try. */
async function thief(
  t: ExecutionContext,
  args: string[],
  input = '',
): Promise<{ code: number; out: string }> {
  const known = join(node.folder, 'known_hosts');
  await writeFile(known, `[127.0.0.1]:${node.port} ${node.hostKey.line}\n`);
  const options = [
    'BatchMode=yes',
    `UserKnownHostsFile=${known}`,
    'StrictHostKeyChecking=yes',
    'LogLevel=VERBOSE',
  ];
  const result = await run(
    'ssh',
    [
      ...['-F', 'none', '-i', keyLayout(keys).ssh.key, '-p', String(node.port)],
      ...options.flatMap((option) => ['-o', option]),
      ...args,
    ],
    { input, timeout: 60_000 },
  );
  t.log(`${args.join(' ')} -> ${result.code}`);
  return { code: result.code, out: result.stdout + result.stderr };
}
const AT = 'bootwave-link@127.0.0.1';

rooted('the account carries the subsystem and nothing else', async (t) => {
  const from = node.log().length;
  await agent(t);
  const shell = await thief(t, [AT], 'id\n');
  t.is(shell.code, 126);
  t.regex(shell.out, /runs one thing, and nothing else/);
  t.notRegex(shell.out, /uid=/);
  for (const command of ['id', '/bin/sh -c id', 'bootwave-link; id', 'internal-sftp'])
    t.is((await thief(t, [AT, command])).code, 126, command);
  const terminal = await thief(t, ['-tt', AT], 'id\n');
  t.regex(terminal.out, /PTY allocation request failed/);
  t.notRegex(terminal.out, /uid=/);
  t.regex((await thief(t, ['-s', AT, 'sftp'])).out, /subsystem request failed/);
  const target = `127.0.0.1:${node.port}`;
  t.regex((await thief(t, ['-W', target, AT])).out, /administratively prohibited/);
  const listen = ['-N', '-o', 'ExitOnForwardFailure=yes'];
  t.regex((await thief(t, [...listen, '-R', `0:${target}`, AT])).out, /remote port forwarding failed/);
  t.regex(
    (await thief(t, [...listen, '-R', '/run/bootwave-link/x:/tmp/x', AT])).out,
    /remote port forwarding failed/,
  );
  await logged(from, /Accepted publickey/);
});

rooted('no other account can log in', async (t) => {
  for (const user of ['root', 'daemon', 'bootwave'])
    t.regex((await thief(t, [`${user}@127.0.0.1`, 'id'])).out, /Permission denied \(publickey\)/, user);
});

rooted('an agent that is away is told from a node that is away, and found again', async (t) => {
  const links = pool(t);
  await t.throwsAsync(links.request(NODE, 'status', {}), { code: 'LINK_AGENT_DOWN' });
  const asked = links.request(NODE, 'status', {}, { connectWithin: 60_000 });
  await agent(t);
  await t.notThrowsAsync(asked);
});

rooted(
  'sshd killed in the middle: what was under way fails with a code, and the pool recovers',
  async (t) => {
    const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
    const { promise: gone, resolve: leave } = Promise.withResolvers<void>();
    await agent(t, {
      stage: (_, { signal }) => {
        reach();
        signal.addEventListener('abort', () => leave());
        return new Promise(() => {});
      },
    });
    const lost: string[] = [];
    const links = pool(t, { onLost: (_, error) => lost.push(error.code) });
    const staging = t.throwsAsync(links.request(NODE, 'stage', { epoch: 3 }), { code: 'LINK_CUT' });
    await reached;
    await node.kill();
    await staging;
    await gone;
    t.deepEqual(lost, ['LINK_CUT']);
    await t.throwsAsync(links.request(NODE, 'status', {}), {
      code: 'LINK_UNREACHABLE',
      message: /^web1 at /,
    });
    const asked = links.request(NODE, 'status', {}, { connectWithin: 60_000 });
    await node.start();
    await t.notThrowsAsync(asked);
    t.is(links.load.open, 1);
  },
);

/** Passes bytes on to sshd until told to cut; the way to a connection that ends in the middle of an answer. */
async function cutter(t: ExecutionContext): Promise<{ port: number; cutAfter(bytes: number): void }> {
  let left = Number.POSITIVE_INFINITY;
  const sockets = new Set<Socket>();
  const server: Server = createServer((near) => {
    const far = connectTcp(node.port, '127.0.0.1');
    sockets.add(near).add(far);
    near.on('error', () => {}).pipe(far);
    far
      .on('error', () => {})
      .on('data', (chunk: Buffer) => {
        near.write(chunk.subarray(0, Math.min(left, chunk.length)));
        left -= chunk.length;
        if (left <= 0) {
          near.end();
          far.destroy();
        }
      });
    far.on('close', () => near.end());
    near.on('close', () => far.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return {
    port: (server.address() as { port: number }).port,
    cutAfter: (bytes) => {
      left = bytes;
    },
  };
}

rooted('a connection cut in the middle of an answer', async (t) => {
  await agent(t, {
    forgive: () => ({ forgiven: Array.from({ length: 64 }, (_, i) => `${'9'.repeat(60)}${i}`) }),
  });
  const proxy = await cutter(t);
  const links = pool(t, { resolve: async (id) => ({ ...node.target(id), port: proxy.port }) });
  t.is((await links.request(NODE, 'forgive', { epoch: 3 })).result.forgiven.length, 64);
  proxy.cutAfter(1000);
  await t.throwsAsync(links.request(NODE, 'forgive', { epoch: 3 }), { code: 'LINK_CUT' });
  proxy.cutAfter(Number.POSITIVE_INFINITY);
  t.is(
    (await links.request(NODE, 'forgive', { epoch: 3 }, { connectWithin: 60_000 })).result.forgiven.length,
    64,
  );
});

rooted('a host that never answers the handshake costs no more than its time', async (t) => {
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.teardown(() => silent.close());
  const { port } = silent.address() as { port: number };
  const links = pool(t, {
    resolve: async (id) => ({ ...node.target(id), port }),
    limits: { connectTimeout: 50 },
  });
  await t.throwsAsync(links.request(NODE, 'status', {}), { code: 'LINK_CONNECT_TIMEOUT' });
  t.is(links.load.opening, 0);
});

const raw = (t: ExecutionContext, target: LinkTarget = node.target(NODE)) =>
  openChannel(target, { clientKey: readClientKey(privateKey), timeout: 60_000 }).then((channel) => {
    t.teardown(() => channel.close());
    return channel;
  });

for (const [name, bytes, code] of [
  ['an oversized frame', Buffer.from([0xff, 0xff, 0xff, 0xff]), 'LINK_FRAME_OVERSIZED'],
  [
    'garbage in a frame',
    Buffer.concat([Buffer.from([0, 0, 0, 3]), Buffer.from('}{!')]),
    'LINK_FRAME_MALFORMED',
  ],
  ['a message that is none', encodeFrame({ kind: 'shell', id: 1 }), 'LINK_MESSAGE'],
] as const) {
  rooted(`${name} sent to a node costs that link, with a code, and no other`, async (t) => {
    await agent(t);
    const lost: string[] = [];
    const links = pool(t, { onLost: (id) => lost.push(id) });
    await links.request(NODE, 'status', {});
    const channel = await raw(t);
    const session = new LinkSession(channel.stream);
    channel.stream.write(bytes);
    t.is((await session.ended).code, code);
    await t.notThrowsAsync(links.request(NODE, 'status', {}));
    t.deepEqual(lost, []);
  });
}

rooted('half a frame waits for its other half', async (t) => {
  await agent(t);
  const channel = await raw(t);
  const frame = encodeFrame({ kind: 'request', id: 1, op: 'status', args: {} });
  channel.stream.write(frame.subarray(0, 7));
  const answer = new Promise<Buffer>((resolve) => channel.stream.once('data', resolve));
  channel.stream.write(frame.subarray(7));
  t.regex((await answer).toString('latin1'), /"kind":"result"/);
});

rooted('a node that sends garbage loses its link, with a code', async (t) => {
  for (const [bytes, code] of [
    [Buffer.alloc(LINK_LIMITS.frameBytes, 0x7f), 'LINK_FRAME_OVERSIZED'],
    [encodeFrame({ kind: 'result', id: 99, result: {} }), 'LINK_PROTOCOL'],
    [encodeFrame('hello'), 'LINK_PROTOCOL'],
    [encodeFrame({ kind: 'result', id: 1, result: { version: 1 } }), 'LINK_PROTOCOL'],
    [encodeFrame({ kind: 'error', id: 1, error: { code: 'x', what: '\u001b[2J' } }), 'LINK_PROTOCOL'],
  ] as const) {
    const rogue = createServer((socket) => {
      socket.on('error', () => {}).write(bytes);
      socket.resume();
    });
    await rm(node.socketPath, { force: true });
    await new Promise<void>((resolve) => rogue.listen({ path: node.socketPath, writableAll: true }, resolve));
    await t.throwsAsync(pool(t).request(NODE, 'status', {}), { code });
    await new Promise((resolve) => rogue.close(resolve));
  }
});

rooted('a node that says it is another one is not spoken to', async (t) => {
  await agent(t);
  const links = pool(t);
  await t.throwsAsync(links.request('tpm-other', 'status', {}), { code: 'LINK_WRONG_NODE' });
  t.is(links.load.open, 0);
});

rooted('more connections than may be held: the one idle longest makes room, a busy one never', async (t) => {
  const { promise: staged, resolve: finish } = Promise.withResolvers<void>();
  const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
  // One sshd plays three nodes: it says whatever name it is asked by.
  let name = '';
  await agent(t, {
    hello: (args, context) => handlersOf(name).hello(args, context),
    stage: async () => {
      reach();
      await staged;
      return { version: '1.1', file: 'x', already: false };
    },
  });
  const lost: string[] = [];
  const links = pool(t, { limits: { open: 2 }, onLost: (id) => lost.push(id) });
  name = 'a';
  await links.request('a', 'status', {});
  const busy = links.request('a', 'stage', { epoch: 3 });
  await reached;
  await links.request('a', 'status', {});
  name = 'b';
  await links.request('b', 'status', {});
  name = 'c';
  await links.request('c', 'status', {});
  t.is(links.helloOf('b'), null);
  t.is(links.load.open, 2);
  finish();
  t.is((await busy).result.version, '1.1');
  t.deepEqual(lost, []);
});

rooted('who gives up waiting leaves no connection behind', async (t) => {
  await agent(t);
  const links = pool(t);
  const stop = new AbortController();
  const asked = t.throwsAsync(links.request(NODE, 'status', {}, { signal: stop.signal }), {
    code: 'LINK_ABORTED',
  });
  stop.abort();
  await asked;
  await t.notThrowsAsync(links.request(NODE, 'status', {}));
  t.is(links.load.open, 1);
  links.close();
  await t.throwsAsync(links.request(NODE, 'status', {}), { code: 'LINK_CLOSED' });
  t.is(links.load.open, 0);
});
