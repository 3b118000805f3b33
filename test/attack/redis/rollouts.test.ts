/** What was tried with every right over Redis to have nodes run a release that nobody decided to roll out. */

import { generateKeyPairSync } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { Redis } from 'ioredis';
import { createLogger } from '../../../base/log.ts';
import { sealDecided } from '../../../orchestrator/fleet/decisions/entry.ts';
import { rolloutKey } from '../../../orchestrator/fleet/decisions/rollouts.ts';
import { FleetDirectory } from '../../../orchestrator/fleet/directory.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { show } from '../../../orchestrator/operations/rollout/acts.ts';
import { sign, signedKey } from '../../../orchestrator/orders/sign.ts';
import { makePlan } from '../../../orchestrator/rollout/plan.ts';
import { keepEnding } from '../../../orchestrator/rollout/run/decided.ts';
import { Driver } from '../../../orchestrator/rollout/run/driver.ts';
import { planNodes } from '../../../orchestrator/rollout/run/facts.ts';
import { ROLLOUT_KEYS } from '../../../orchestrator/rollout/run/keys.ts';
import { create, operate } from '../../../orchestrator/rollout/run/operate.ts';
import { readRollout } from '../../../orchestrator/rollout/run/stored.ts';
import { checkSpec } from '../../../orchestrator/rollout/spec.ts';
import {
  anyImage,
  beatOfBoot,
  certificateFor,
  enrolment,
  macOf,
  pcr11,
  silent,
} from '../../orchestrator/fleet/support.ts';
import { FACTS, IMAGES, VERSIONS } from '../../orchestrator/rollout/run/support.ts';
import { TIMES } from '../../orchestrator/rollout/run/times.ts';
import { orderOf } from '../../orchestrator/signer/orders.ts';
import { realSigner } from '../../support/real-signer.ts';
import { by, rewrite, rewriteNode, server } from './server.ts';

const ANN = { author: by.actor, at: by.at };
const NODE = enrolment(1).id;
/** Published by somebody, and rolled out by nobody yet: new hardware gets it. */
const NEWEST = '9.0';
const PUBLISHED: typeof IMAGES = { ...IMAGES, '1.5': IMAGES['1.0']!, [NEWEST]: IMAGES['1.0']! };

/** A fleet whose node runs 1.0, the signer of its server, and what a person does to rollouts. */
async function fleet(t: ExecutionContext) {
  const world = await server(t);
  const { redis, paths, admit, directory, written } = world;
  const { privateKey } = generateKeyPairSync('ed25519');
  const signer = await realSigner(paths, privateKey, PUBLISHED);
  t.teardown(signer.close);
  for (const n of [1, 2]) {
    const running = { version: '1.0', kernel: '6.1.0', bootId: `boot-${n}-1` };
    const one = enrolment(n, 1, { running });
    await admit(one);
    await directory.heartbeat(one.id, certificateFor(one).serial, beatOfBoot(one, { healthy: true }));
  }
  let epoch = 0;
  /** What a server asks for in good faith, of what stands in Redis. */
  const ordered = async (version: string, node = NODE) => {
    epoch += 1;
    const image = { version, ...PUBLISHED[version]! };
    const now = Date.now();
    return sign(redis, signer.client, orderOf({ node, epoch, image }, now)).then(
      () => 'signed',
      ({ code }: { code?: string }) => code,
    );
  };
  const planned = async (spec: object = {}) => {
    const checked = checkSpec({ image: '2.0', nodes: { all: true }, waves: [{}], ...spec });
    if (!checked.ok) throw new Error(JSON.stringify(checked.refusals));
    const plan = makePlan(await planNodes(world.fleet, VERSIONS), checked.spec, Date.now(), FACTS);
    if (!plan.ok) throw new Error(JSON.stringify(plan.refusals));
    return plan.plan;
  };
  const start = async (spec: object = {}) =>
    create(redis, await planned(spec), IMAGES, { ...ANN, start: true });
  /** What a server does that finds it in Redis: its state when the server is done with it, or still drives it. */
  const driven = async (id: string) => {
    const stop = new AbortController();
    const log = createLogger('test', 'info', { write: (line: string) => void written.push(line) } as never);
    const asked: string[] = [];
    const pool = {
      request: (async (node: string) => {
        asked.push(node);
        return sleep(60_000, undefined, { signal: stop.signal });
      }) as never,
      drop: () => {},
      helloOf: () => null,
    };
    const signer = { sign: pool.request, standing: pool.request, learn: pool.request };
    const driver = new Driver(id, {
      ...{ redis, fleet: world.fleet, pool, signer, log, signal: stop.signal },
      ...TIMES,
    });
    const running = driver.run();
    const isOver = await Promise.race([running.then(() => true), sleep(1500).then(() => false)]);
    stop.abort();
    await running;
    return isOver ? 'left alone' : 'driven';
  };
  const undecided = async (id: string) =>
    (await show({ rollout: id }, { fleet: world.fleet } as never)).undecided;
  const abort = async (id: string) => {
    await operate(redis, id, { type: 'abort', by: by.actor, why: 'enough' });
    await driven(id);
    return (await readRollout(redis, id)).state;
  };
  return { ...world, signer, ordered, planned, start, driven, undecided, abort };
}

/** All records of a rollout, under another id: what somebody writes who knows how a server would. */
async function forge(redis: Redis, real: string, change: (text: string) => string): Promise<string> {
  const id = 'ro-f0f0f0f0';
  for (const key of await redis.keys(`${ROLLOUT_KEYS.rollout(real)}*`)) {
    const to = key.replace(real, id);
    await redis.copy(key, to, 'REPLACE');
    if ((await redis.type(to)) !== 'hash') continue;
    const body = await redis.hget(to, 'body');
    await redis.hset(to, 'body', change(body!.replaceAll(real, id)));
  }
  await redis.sadd(ROLLOUT_KEYS.all, id);
  await redis.sadd(ROLLOUT_KEYS.live, id);
  return id;
}

test('a rollout that was started moves nodes to its image and back, and to no other one', async (t) => {
  const { start, ordered, driven, undecided } = await fleet(t);
  t.is(await ordered('2.0'), 'SIGNER_IMAGE_UNDECIDED');
  const id = await start();
  t.is(await ordered('2.0'), 'signed');
  t.is(await ordered('3.0'), 'SIGNER_IMAGE_UNDECIDED');
  t.is(await ordered('1.0'), 'signed', 'the way back');
  t.is(await driven(id), 'driven');
  t.is(await undecided(id), null);
});

test('forged: a rollout that nobody started; it is not driven, it is named, and no order of it is signed', async (t) => {
  const { redis, start, ordered, driven, undecided, abort, written } = await fleet(t);
  const real = await start();
  const forged = await forge(redis, real, (text) => text.replaceAll('2.0', '3.0'));
  t.is(await ordered('3.0'), 'SIGNER_IMAGE_UNDECIDED');
  t.is(await driven(forged), 'left alone');
  t.is(await driven(forged), 'left alone');
  t.is(written.filter((line) => line.includes('RECORD_DISAGREES')).length, 1);
  t.regex((await undecided(forged)) ?? '', /nobody has started it/);
  await abort(real);
  await abort(forged);
  t.is(await ordered('3.0'), 'SIGNER_IMAGE_UNDECIDED');
});

test('changed: the target of a rollout under way', async (t) => {
  const { redis, start, ordered, driven, undecided } = await fleet(t);
  const id = await start();
  const key = ROLLOUT_KEYS.setup(id);
  const text = (await redis.hget(key, 'body'))!;
  await redis.hset(
    key,
    'body',
    text.replace('"target":{"of":"image","version":"2.0"}', '"target":{"of":"image","version":"3.0"}'),
  );
  t.not(await redis.hget(key, 'body'), text);
  t.is(await driven(id), 'left alone');
  t.regex((await undecided(id)) ?? '', /not what was started/);
  t.is(await ordered('3.0'), 'SIGNER_IMAGE_UNDECIDED');
  await redis.hset(key, 'body', text);
  t.is(await driven(id), 'driven', 'put right, it goes on');
});

test('rolled back: a rollout that has ended goes on; no order of it is signed', async (t) => {
  const { redis, start, ordered, undecided, abort, open } = await fleet(t);
  const id = await start();
  t.is(await ordered('1.0'), 'signed', 'a node that is known');
  const before = await Promise.all(
    (await redis.keys(`${ROLLOUT_KEYS.rollout(id)}*`)).map(
      async (key) => [key, (await redis.dumpBuffer(key))!] as const,
    ),
  );
  t.is(await abort(id), 'aborted');
  for (const [key, bytes] of before) await redis.restore(key, 0, bytes, 'REPLACE');
  t.is(await ordered('2.0'), 'SIGNER_IMAGE_UNDECIDED');
  t.regex((await undecided(id)) ?? '', /has ended/);
  await redis.del(KEYS.bans);
  await open();
  t.is(await ordered('2.0'), 'SIGNER_IMAGE_UNDECIDED', 'nor when the log is taken away as well');
});

for (const [what, done] of [
  ['deleted', (redis: Redis, key: string) => redis.del(key)],
  ['changed, to the end', (redis: Redis, key: string) => redis.hset(key, 'state', 'done')],
] as const)
  test(`${what}: a rollout under way; what was decided ends with it, also when it is put back`, async (t) => {
    const { redis, fleet: own, start, ordered } = await fleet(t);
    const id = await start();
    t.is(await ordered('2.0'), 'signed');
    t.is(await ordered('1.0'), 'signed');
    const key = ROLLOUT_KEYS.rollout(id);
    const before = await redis.hgetall(key);
    await done(redis, key);
    const stop = new AbortController();
    const ending = keepEnding({ fleet: own, log: silent, signal: stop.signal });
    while (own.decisions.rollouts.live.length > 0) await sleep(20);
    stop.abort();
    await ending;
    await redis.hset(key, before);
    t.is(await ordered('2.0'), 'SIGNER_IMAGE_UNDECIDED');
  });

test('forged: the approval of a start', async (t) => {
  const { redis, planned, ordered, driven, undecided } = await fleet(t);
  const plan = await planned({ approvals: { count: 1 } });
  const id = await create(redis, plan, IMAGES, { ...ANN, person: ['ann'], start: true });
  t.is(await ordered('2.0'), 'SIGNER_IMAGE_UNDECIDED');
  const key = ROLLOUT_KEYS.rollout(id);
  const saved = await redis.hgetall(key);
  await rewrite(redis, key, (body) => ({ ...body, state: 'running', epoch: saved.epoch }));
  t.is(await ordered('2.0'), 'SIGNER_IMAGE_UNDECIDED');
  t.is(await driven(id), 'left alone');
  t.regex((await undecided(id)) ?? '', /approved/);
  await redis.hset(key, saved);
  await operate(redis, id, { type: 'approve', by: 'operator:bob', person: ['bob'] });
  t.is(await ordered('2.0'), 'signed');
});

test('replayed, removed, forged: decisions in the log', async (t) => {
  const { redis, fleet: own, bans, start, ordered, abort } = await fleet(t);
  const id = await start();
  t.is(await ordered('1.0'), 'signed', 'a node that is known');
  const [, fields] = (await redis.xrevrange(KEYS.bans, '+', '-', 'COUNT', 1))[0]!;
  await abort(id);
  await redis.xadd(KEYS.bans, '*', ...fields);
  await bans.look();
  t.is(await ordered('2.0'), 'SIGNER_IMAGE_UNDECIDED', 'the start again');
  const { actor, at } = by;
  const body = JSON.stringify({ ...own.decisions.rollouts.of(id), state: 'open', on: ['2.0', '3.0'] });
  const entry = sealDecided({ kind: 'record', actor, at, reason: 'x', key: rolloutKey(id), epoch: 9, body });
  await redis.xadd(KEYS.bans, '*', 'entry', entry.text, 'seal', fields[3]!);
  await bans.look();
  t.is(await ordered('3.0'), 'SIGNER_IMAGE_UNDECIDED', 'with the seal of another');
  const next = await start({ image: '3.0' });
  await redis.del(KEYS.bans);
  await bans.look();
  t.is(await ordered('3.0'), 'signed', 'what is missing there was decided all the same');
  t.true((await redis.xlen(KEYS.bans)) > 0, 'and is put back');
  await redis.del(...(await redis.keys(`${ROLLOUT_KEYS.rollout(next)}*`)));
});

test('planted: values that are no records', async (t) => {
  const { redis, fleet: own, start, abort, ordered } = await fleet(t);
  const before = await start();
  t.is(await ordered('1.0'), 'signed');
  await abort(before);
  for (const text of ['x'.repeat(1024 * 1024), null]) {
    await redis.del(signedKey(NODE));
    if (text === null) await redis.hset(signedKey(NODE), 'a', 'b');
    else await redis.set(signedKey(NODE), text);
    t.is(await ordered('2.0'), 'SIGNER_IMAGE_UNDECIDED');
  }
  const id = await start();
  await redis.del(ROLLOUT_KEYS.rollout(id));
  await redis.set(ROLLOUT_KEYS.rollout(id), 'x');
  const stop = new AbortController();
  const ending = keepEnding({ fleet: own, log: silent, signal: stop.signal });
  while (own.decisions.rollouts.live.length > 0) await sleep(20);
  stop.abort();
  await ending;
  t.is(own.decisions.rollouts.of(id)?.state, 'ended');
  t.is(await ordered('2.0'), 'SIGNER_IMAGE_UNDECIDED');
});

test('rewritten: the image of a diskless node is a release that nobody rolled out', async (t) => {
  const { redis, fleet: own, start, abort } = await fleet(t);
  const directory = new FleetDirectory({
    ...anyImage,
    ...{ fleet: own, site: 'default', pcr11, log: silent, now: () => by.at },
    defaultImage: async () => '1.0',
  });
  const boots = async () => {
    const intent = await directory.bootIntent({ mac: macOf(1) });
    return intent.kind === 'image' ? intent.version : intent.kind;
  };
  const wanted = (image: string | null) =>
    rewriteNode(redis, NODE, ({ wanted, epoch }) => ({ wanted: { ...wanted, image }, epoch }));
  await wanted('3.0');
  t.is(await boots(), '1.0');
  const id = await start();
  await wanted('2.0');
  t.is(await boots(), '2.0');
  await abort(id);
  t.is(await boots(), '2.0', 'it may stay on what it was brought to');
  await wanted('3.0');
  t.is(await boots(), '1.0');
});

test('forged: an installation; it brings new hardware what new hardware gets, and moves nobody', async (t) => {
  const { ordered, start, abort } = await fleet(t);
  const fresh = `tpm-${'e'.repeat(64)}`;
  t.is(await ordered('1.5', fresh), 'SIGNER_IMAGE_UNDECIDED', 'neither the newest nor decided');
  t.is(await ordered(NEWEST, fresh), 'signed');
  const id = await start();
  t.is(await ordered('2.0'), 'signed');
  await abort(id);
  t.is(await ordered(NEWEST), 'SIGNER_IMAGE_UNDECIDED', 'a rollout has brought it here');
});
