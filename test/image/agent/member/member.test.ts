import { generateKeyPairSync } from 'node:crypto';
import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { MemberParts } from '../../../../image/agent/member/assemble.ts';
import type { AskHelper } from '../../../../image/agent/member/helper-client.ts';
import { Member, type Waits } from '../../../../image/agent/member/member.ts';
import { reachable } from '../../../../image/agent/member/reachable.ts';
import type { AskConfig } from '../../../../protocol/agent/config.ts';
import type { AskDisk, DiskRequest, ReleaseStatus } from '../../../../protocol/agent/disk.ts';
import type { AskServices } from '../../../../protocol/agent/services.ts';
import { encodeFrame, FrameDecoder } from '../../../../protocol/link/frame.ts';
import { LINK_LIMITS } from '../../../../protocol/link/messages.ts';
import { orderKeyId } from '../../../../protocol/order-envelope.ts';
import { until } from '../../../support/until.ts';

const { publicKey } = generateKeyPairSync('ed25519');
const never = () => new Promise<never>(() => {});
/** Milliseconds; what is waited for comes at once or never, so only a fault makes a test take this long. */
const PATIENCE = 60_000;

/** A member whose new image is on trial. */
async function setUp(t: ExecutionContext, more: Partial<MemberParts> = {}, waits: Partial<Waits> = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-member-'));
  const stop = new AbortController();
  t.teardown(async () => {
    stop.abort();
    // Records are still being written where a test ends with the blessing.
    await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  });
  const disk: ReleaseStatus = {
    disk: 'sda',
    lasting: 'S1',
    files: [{ name: 'bootwave_2+2-1.efi', size: 1 }],
    loader: { fromDisk: true, counted: 'bootwave_2+2-1.efi', pinned: null },
  };
  const asked: string[] = [];
  const state = { blessed: false, broken: false };
  const askDisk = (async ({ operation }: DiskRequest) => {
    asked.push(operation);
    if (state.broken) throw new Error('broken');
    if (operation === 'state-mount') return { mounted: true, sealed: true, why: '' };
    if (operation === 'release-status') return disk;
    state.blessed = operation === 'release-bless';
    return { blessed: '2', reason: '' };
  }) as AskDisk;
  const member = new Member(
    {
      askDisk,
      askConfig: (async () => ({ inForce: null, torn: false })) as unknown as AskConfig,
      services: {
        ask: (async () => ({ instances: [] })) as unknown as AskServices,
        hasBegun: async () => false,
        probe: async () => true,
        secrets: { ask: (async () => ({})) as unknown as AskHelper, server: () => null },
      },
      failedUnits: async () => [],
      writeLists: async () => {},
      renewLists: async () => [],
      restart: async () => {},
      reachable: async () => true,
      running: { version: '2', kernel: '6', bootId: 'b' },
      orderKeys: new Map([[orderKeyId(publicKey), publicKey]]),
      orders: {
        take: async () => ({ memory: 'none', epoch: 1, floor: null, digest: '', accepted: 'new' }),
        memory: async () => ({ memory: 'none', epoch: 0, floor: null }),
      },
      usage: { proc: '/proc', sys: '/sys', state: folder },
      flows: () => Promise.resolve('{"nftables": []}'),
      logs: async () => ({ lines: [], more: false }),
      execs: '/nowhere',
      releaseRoot: Buffer.alloc(0),
      machine: { architecture: 'x64', firmware: 'uefi', product: '' },
      memory: folder,
      downloads: folder,
      socketPath: join(folder, 'run/agent.sock'),
      log: { info: () => {}, warn: () => {} },
      now: () => 1,
      uptime: () => 0,
      signal: stop.signal,
      ...more,
    },
    { well: 0, ...waits },
  );
  return { member, state, asked, folder };
}

test('a healthy member blesses its image, once', async (t) => {
  const { member, state, asked } = await setUp(t);
  await member.start();
  await member.refresh();
  member.heard(undefined);
  await until(() => state.blessed);
  member.heard(undefined);
  t.is(asked.filter((operation) => operation === 'release-bless').length, 1);
});

test('health must last before an image is good: one that falls ill in between starts anew', async (t) => {
  let uptime = 0;
  let failed: string[] = [];
  const { member, state } = await setUp(
    t,
    {
      uptime: () => uptime,
      failedUnits: async () => failed,
    },
    { well: 45_000 },
  );
  await member.start();
  const beat = async (at: number) => {
    uptime = at;
    await member.refresh();
    member.heard(undefined);
    await sleep(20);
  };
  await beat(1_000);
  await beat(45_000);
  t.false(state.blessed, '44 s are not 45');
  failed = ['late.service'];
  await beat(45_500);
  failed = [];
  await beat(46_000);
  await beat(90_999);
  t.false(state.blessed, 'it was ill in between');
  await beat(91_000);
  await until(() => state.blessed);
});

test('a disk that never answers keeps no machine from becoming a member', async (t) => {
  const { member, folder } = await setUp(t, { askDisk: never }, { start: 1 });
  await member.start();
  await mkdir(join(folder, 'run'));
  await member.approved('tpm-1');
  member.heard(undefined);
  t.true((await stat(join(folder, 'run/agent.sock'))).isSocket());
});

test('a disk that could not be looked at is looked at again', async (t) => {
  const { member, state } = await setUp(t);
  state.broken = true;
  await member.start();
  state.broken = false;
  await member.refresh();
  member.heard(undefined);
  await until(() => state.blessed);
  t.pass();
});

test('a heartbeat does not wait for systemd, and says what was known last', async (t) => {
  let answer = Promise.resolve<readonly string[]>(['broken.service']);
  const { member } = await setUp(t, { failedUnits: () => answer }, { health: 1 });
  const { promise, resolve } = Promise.withResolvers<readonly string[]>();
  await member.refresh();
  await until(() => member.vitals.failedUnits !== null);
  answer = promise;
  await member.refresh();
  t.deepEqual(member.vitals.failedUnits, ['broken.service']);
  resolve([]);
  await until(() => member.vitals.failedUnits?.length === 0);
});

test('an image that no orchestrator could reach is not blessed', async (t) => {
  let answers = false;
  let looked = 0;
  const { member, state } = await setUp(t, {
    reachable: async () => {
      looked += 1;
      return answers;
    },
  });
  await member.start();
  await member.refresh();
  member.heard(undefined);
  await until(() => looked === 1 && member.vitals.link === false);
  t.false(state.blessed);
  answers = true;
  await until(() => {
    member.heard(undefined);
    return state.blessed;
  });
});

test('a link that could not be opened is opened at the next approval', async (t) => {
  const { member, folder } = await setUp(t);
  await member.start();
  await t.throwsAsync(member.approved('tpm-1'));
  await mkdir(join(folder, 'run'));
  await member.approved('tpm-1');
  t.true((await stat(join(folder, 'run/agent.sock'))).isSocket());
});

/** A member with a link, at this end of it. */
async function linked(t: ExecutionContext, member: Member, folder: string) {
  await member.start();
  await mkdir(join(folder, 'run'));
  await member.approved('tpm-1');
  const socket = connect(join(folder, 'run/agent.sock'));
  t.teardown(() => socket.destroy());
  const decoder = new FrameDecoder();
  const answers: object[] = [];
  socket.on('data', (bytes) => answers.push(...(decoder.push(bytes) as object[])));
  return { socket, answers };
}

test('a node takes advice of mirrors under any order, and shows none that it has not', async (t) => {
  const { member, folder } = await setUp(t);
  const { socket, answers } = await linked(t, member, folder);
  const files = [{ sha256: 'a'.repeat(64), at: ['10.0.0.7'] }];
  socket.write(encodeFrame({ kind: 'request', id: 1, op: 'mirrors', args: { files } }));
  socket.write(encodeFrame({ kind: 'request', id: 2, op: 'status', args: {} }));
  await until(() => answers.length === 2);
  t.deepEqual(answers[0], { kind: 'result', id: 1, result: {} });
  t.false('shared' in (answers[1] as { result: object }).result);
});

test('logs that nobody waits for take no place of an order on the link, and are not read', async (t) => {
  const gate = Promise.withResolvers<void>();
  let reads = 0;
  const logs = async () => {
    reads += 1;
    await gate.promise;
    return { lines: [], more: false };
  };
  const { member, folder } = await setUp(t, { logs });
  const { socket, answers } = await linked(t, member, folder);
  const args = { name: 'fleet/shop', age: null, lines: 1 };
  const ids = Array.from({ length: LINK_LIMITS.inFlight }, (_, i) => i + 1);
  for (const id of ids) socket.write(encodeFrame({ kind: 'request', id, op: 'logs', args }));
  await until(() => reads === 1);
  for (const id of ids) socket.write(encodeFrame({ kind: 'abort', id }));
  await until(() => answers.length === ids.length);
  socket.write(encodeFrame({ kind: 'request', id: 100, op: 'status', args: {} }));
  await until(() => answers.length === ids.length + 1);
  t.like(answers.at(-1), { kind: 'result', id: 100 });
  gate.resolve();
  socket.write(encodeFrame({ kind: 'request', id: 101, op: 'logs', args }));
  await until(() => answers.length === ids.length + 2);
  t.is(reads, 2, 'the one that was under way, and the last one');
});

test('who listens is reachable, who does not is not', async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const pace = { within: 0, again: 1, connect: PATIENCE } as never;
  t.true(await reachable(port, pace));
  await new Promise((resolve) => server.close(resolve));
  t.false(await reachable(port, pace));
});

test('health that was broken by a lost connection begins anew', async (t) => {
  let uptime = 0;
  const { member, state } = await setUp(t, { uptime: () => uptime }, { well: 45_000 });
  await member.start();
  await member.refresh();
  member.heard(undefined);
  await sleep(20);
  member.connected(false, 'the boot server went silent');
  uptime = 50_000;
  member.heard(undefined);
  await sleep(20);
  t.false(state.blessed);
  await until(() => {
    uptime += 1000;
    member.heard(undefined);
    return state.blessed;
  });
  t.true(uptime >= 95_000, `after ${uptime} ms`);
});

test('a node without a disk gives its firmware the lists of its image, once and when it is a member; one with a disk leaves that to rollouts', async (t) => {
  let renewed = 0;
  const renewLists = async () => {
    renewed += 1;
    return ['dbx'];
  };
  const installed = await setUp(t, { renewLists });
  await installed.member.start();
  installed.member.heard(undefined);
  const askDisk = (async ({ operation }: DiskRequest) =>
    operation === 'state-mount'
      ? { mounted: false, sealed: false, why: 'no disk' }
      : {
          disk: null,
          files: [],
          loader: { fromDisk: false, counted: null, pinned: null },
        }) as AskDisk;
  const diskless = await setUp(t, { renewLists, askDisk });
  await diskless.member.start();
  t.is(renewed, 0);
  diskless.member.heard(undefined);
  diskless.member.heard(undefined);
  t.is(renewed, 1);
});
