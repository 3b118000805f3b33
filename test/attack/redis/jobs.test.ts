/** What was tried on wake-ups, jobs and records of rollouts by somebody with every right over Redis. */
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { access, mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { createLogger } from '../../../base/log.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import type { NodeStep } from '../../../orchestrator/rollout/node-step.ts';
import { post } from '../../../orchestrator/rollout/run/inbox.ts';
import { ROLLOUT_KEYS } from '../../../orchestrator/rollout/run/keys.ts';
import { drain } from '../../../orchestrator/rollout/run/outbox.ts';
import { owedCommands } from '../../../orchestrator/rollout/run/owed.ts';
import { openQueue } from '../../../orchestrator/rollout/run/queue.ts';
import { startRollouts } from '../../../orchestrator/rollout/run/start.ts';
import { readProgress } from '../../../orchestrator/rollout/run/stored.ts';
import { TOPICS } from '../../../orchestrator/rollout/run/write.ts';
import { redisFor } from '../../orchestrator/fleet/support.ts';
import { membersFor } from '../../orchestrator/rollout/run/members.ts';
import { IMAGES } from '../../orchestrator/rollout/run/support.ts';
import { realSigner } from '../../support/real-signer.ts';

const ODD = [
  '',
  'nothing',
  '{',
  '[]',
  '{}',
  'null',
  '7',
  '"drive"',
  '{"kind":"gate"}',
  '{"kind":{"a":1},"node":[]}',
];

function logOf() {
  const written: string[] = [];
  const log = createLogger('test', 'warn', { write: (line: string) => void written.push(line) } as never);
  return { written, log };
}

test('forged: a wake-up that is none keeps no other one waiting, and is said', async (t) => {
  const { redis } = await redisFor(t);
  const { queue, close } = openQueue(redis);
  t.teardown(close);
  const { written, log } = logOf();
  for (const body of ODD)
    for (const topic of [TOPICS.act, TOPICS.gate, TOPICS.drive, 'sh -c'])
      await redis.xadd(KEYS.outbox, '*', 'topic', topic, 'body', body);
  await redis.xadd(KEYS.outbox, '*', 'body', 'alone');
  const good = { kind: 'stage', rollout: 'ro-1', node: 'tpm-1', epoch: 7 };
  await redis.xadd(KEYS.outbox, '*', 'topic', TOPICS.act, 'body', JSON.stringify(good));
  await drain(redis, queue, log);
  const waiting = await queue.getWaiting();
  t.true(waiting.some(({ data }) => data.body === JSON.stringify(good)));
  t.true(written.some((line) => line.includes('OUTBOX_FORGED')));
});

/** A real orchestrator over a fleet that answers nothing, and what it asks of nodes. */
async function orchestrator(t: ExecutionContext) {
  const world = await membersFor(t);
  const { redis, fleet, paths } = world;
  const stop = new AbortController();
  const { written, log } = logOf();
  const asked: string[] = [];
  const { privateKey } = generateKeyPairSync('ed25519');
  const signer = await realSigner(paths, privateKey, IMAGES);
  const gates = join(paths.root, 'gates.d');
  await mkdir(gates, { recursive: true });
  const { done } = startRollouts({
    ...{ paths, redis, fleet, log, signal: stop.signal },
    pool: {
      request: (async (node: string, op: string) => {
        asked.push(`${op} ${node}`);
        return await sleep(60_000, undefined, { signal: stop.signal });
      }) as never,
      drop: () => {},
      helloOf: () => null,
    },
    ...{ signer: signer.client, gates },
    times: { tick: 50, sweep: 50 },
  });
  t.teardown(async () => {
    stop.abort();
    await done;
    await signer.close();
  });
  return { ...world, written, asked, gates };
}

test('forged: a job, a rollout, a list of rollouts; what is real is driven all the same', async (t) => {
  const { redis, member, start, asked } = await orchestrator(t);
  const { queue, close } = openQueue(redis);
  t.teardown(close);
  for (const body of ODD)
    for (const topic of [TOPICS.act, TOPICS.gate, TOPICS.drive]) await queue.add(topic, { body });
  for (const id of ['ro-forged', 'ro-odd']) await redis.sadd(ROLLOUT_KEYS.live, id);
  await redis.hset(ROLLOUT_KEYS.rollout('ro-forged'), { state: 'running', epoch: 'x', body: '{' });
  await redis.set(ROLLOUT_KEYS.rollout('ro-odd'), 'no hash');
  const node = await member(1);
  const id = await start({ waves: [{}] });
  while (!asked.some((line) => line.endsWith(node))) await sleep(20);
  t.is((await readProgress(redis, id)).rollout.state, 'running');
});

test('forged: gates that say what to run, or name one that no wave waits for; nothing runs and no rollout hears of it', async (t) => {
  const { redis, member, start, paths, gates } = await orchestrator(t);
  const { queue, close } = openQueue(redis);
  t.teardown(close);
  let hits = 0;
  const server = createServer((_, response) => {
    hits += 1;
    response.end();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const theirs = join(paths.root, 'theirs');
  // Declared by an admin, for the rollouts that people start.
  await writeFile(join(gates, 'declared.json'), JSON.stringify({ kind: 'http', url }), { mode: 0o600 });
  await member(1);
  const id = await start({ waves: [{}], gates: [{ kind: 'check', name: 'declared' }] });
  const all = { kind: 'gate', rollout: id, wave: 0, gate: 0, run: 1 };
  for (const check of [
    { kind: 'command', run: ['touch', theirs] },
    { kind: 'command', run: `touch ${theirs}` },
    { kind: 'http', url },
    { kind: 'check', name: 'declared', timeout: 1000, tries: 1, every: 1 },
    undefined,
  ])
    for (const rollout of [id, 'ro-forged']) {
      const body = JSON.stringify({ ...all, rollout, check });
      await redis.xadd(KEYS.outbox, '*', 'topic', TOPICS.gate, 'body', body);
      await queue.add(TOPICS.gate, { body });
    }
  // The order to the node of the real one is under way for long.
  const left = async () =>
    [...(await queue.getWaiting()), ...(await queue.getActive())].filter(({ name }) => name === TOPICS.gate);
  while ((await redis.xlen(KEYS.outbox)) > 0 || (await left()).length > 0) await sleep(20);
  t.is(hits, 0);
  await t.throwsAsync(access(theirs), { code: 'ENOENT' });
});

test('forged: orders that no record bears out are given to nobody', async (t) => {
  const { redis, member, asked } = await orchestrator(t);
  const { queue, close } = openQueue(redis);
  t.teardown(close);
  const node = await member(1);
  for (const kind of ['stage', 'activate', 'rollback', 'rm -rf']) {
    const order = {
      kind,
      rollout: 'ro-forged',
      node,
      epoch: 9,
      of: 'image',
      how: 'disk',
      version: '2.0',
      keep: null,
    };
    await queue.add(TOPICS.act, { body: JSON.stringify(order) });
  }
  while ((await queue.count()) > 0 || (await queue.getActiveCount()) > 0) await sleep(20);
  t.deepEqual(asked, []);
});

test('forged: a job says other things of an order that is owed; it is carried out as the records have it', async (t) => {
  const { redis, member, start } = await membersFor(t);
  const node = await member(1);
  const id = await start({ waves: [{}] });
  const key = ROLLOUT_KEYS.node(id, node);
  const step = { ...(JSON.parse((await redis.hget(key, 'body'))!) as NodeStep), state: 'staging', epoch: 3 };
  await redis.hset(key, { state: 'staging', epoch: 3, body: JSON.stringify(step) });
  const real = { rollout: id, node, epoch: step.epoch, kind: 'stage' } as const;
  const owed = owedCommands(redis);
  const lies = { of: 'config', how: 'disk', version: '9.9', keep: '9.8', bootId: 'x' };
  t.deepEqual(await owed({ ...real, ...lies }), {
    ...real,
    ...{ of: 'image', how: 'network', version: '2.0', keep: '1.0' },
  });
  for (const other of [
    { kind: 'rollback' },
    { epoch: step.epoch + 1 },
    { node: 'tpm-2' },
    { rollout: 'ro-0' },
  ])
    t.is(await owed({ ...real, ...other } as never), null, JSON.stringify(other));
});

test('forged: what was posted to a rollout; people are heard behind it', async (t) => {
  const { redis, member, start, asked } = await orchestrator(t);
  const node = await member(1);
  const id = await start({ waves: [{}] });
  while (!asked.some((line) => line.endsWith(node))) await sleep(20);
  for (const body of [
    ...ODD,
    '{"type":"staged","node":"nobody","epoch":1}',
    '{"type":"healthy"}',
    '{"type":"report","node":{}}',
  ])
    await redis.xadd(ROLLOUT_KEYS.inbox(id), '*', 'event', body);
  await post(redis, id, { type: 'pause', by: 'operator:ann', why: 'look at it' });
  while ((await readProgress(redis, id)).rollout.state !== 'paused') await sleep(20);
  t.pass();
});
