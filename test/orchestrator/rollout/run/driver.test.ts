/** One process that drives a rollout, on a real Redis: what it finds out when it takes over, and after a failover. */
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { BootwaveError } from '../../../../base/error.ts';
import type { Fleet } from '../../../../orchestrator/fleet/fleet.ts';
import { KEYS } from '../../../../orchestrator/fleet/keys.ts';
import { advance } from '../../../../orchestrator/rollout/engine.ts';
import type { EngineEvent } from '../../../../orchestrator/rollout/event.ts';
import { Driver, misses } from '../../../../orchestrator/rollout/run/driver.ts';
import { post } from '../../../../orchestrator/rollout/run/inbox.ts';
import { ROLLOUT_KEYS } from '../../../../orchestrator/rollout/run/keys.ts';
import { create, operate } from '../../../../orchestrator/rollout/run/operate.ts';
import { readState } from '../../../../orchestrator/rollout/run/stored.ts';
import { writeStep } from '../../../../orchestrator/rollout/run/write.ts';
import { leaseKey } from '../../../../orchestrator/upkeep/lease.ts';
import { fleetFor, silent } from '../../fleet/support.ts';
import { fleetOf, planOf } from '../fleet.ts';

const IMAGES = Object.fromEntries(
  ['1.0', '2.0'].map((version) => [version, { sha256: 'a'.repeat(64), size: 1 }]),
);
const SPEC = { waves: [{}], limits: { whole: 4, site: '100%', rack: 9 } };
const by = { author: 'operator:ann', at: 1_800_000_000_000 };
const planned = (count = 4) => planOf(fleetOf(count, 1), SPEC);

/** A rollout that is driven, while no node answers, until the signal. @param active milliseconds between its questions */
function driven(
  id: string,
  fleet: Fleet,
  active: number,
  signal: AbortSignal,
  request: () => Promise<never> = async () => {
    throw new BootwaveError({ code: 'LINK_UNREACHABLE', what: 'nobody is there' });
  },
): Promise<void> {
  return new Driver(id, {
    redis: fleet.redis,
    fleet,
    pool: { request, drop: () => {}, helloOf: () => null },
    signer: { sign: request, standing: request, learn: request },
    log: silent,
    signal,
    tick: 50,
    watch: { active, fleet: 60_000 },
  }).run();
}

test('a revision that went back is a failover: a new term, and nodes are heard before they are told anything', async (t) => {
  const { redis, fleet } = await fleetFor(t);
  const id = await create(redis, planned(2), IMAGES, by);
  await operate(redis, id, { type: 'start', by: 'operator:ann' });
  const stop = new AbortController();
  t.teardown(() => stop.abort());
  const running = driven(id, fleet, 100, stop.signal);
  const until = async (what: (rev: number, term: number) => boolean) => {
    for (;;) {
      const { rollout } = await readState(redis, id);
      if (what(rollout.rev, rollout.term)) return rollout;
      await sleep(20);
    }
  };
  const { rev } = await until((rev) => rev > 3);
  const old = await redis.hgetall(ROLLOUT_KEYS.rollout(id));
  await until((now) => now > rev + 5);
  await redis.hset(ROLLOUT_KEYS.rollout(id), old);
  const after = await until((_, term) => term > 0);
  t.true(after.resync > after.clock);
  stop.abort();
  await running;
  t.is(await redis.exists(leaseKey(id)), 0);
});

test('what a node said before a failover is not read against records that have forgotten its order', async (t) => {
  const { redis, fleet } = await fleetFor(t);
  const spec = { ...SPEC, bake: { node: '1m', wave: '1h' }, budget: { wave: 9, whole: 9 } };
  const id = await create(redis, planOf(fleetOf(1, 1), spec), IMAGES, { ...by, start: true });
  const write = async (...events: EngineEvent[]) => {
    const state = await readState(redis, id);
    await writeStep(redis, state, advance(state, { at: by.at, elapsed: 60_000, events }), IMAGES, by.at);
  };
  const only = async () => [...(await readState(redis, id)).nodes.values()][0]!;
  await write({ type: 'tick' });
  const running = { image: '2.0', bootId: 'b', config: null, epoch: 20, services: null, failed: [] };
  for (let seq = 1; seq <= 3; seq += 1)
    await write({
      ...{ type: 'report', node: (await only()).node },
      report: { ...running, seq, healthy: true, reason: '' },
    });
  const { node, state } = await only();
  t.is(state, 'done');
  const keys = [ROLLOUT_KEYS.rollout(id), ROLLOUT_KEYS.wave(id, 0), ROLLOUT_KEYS.node(id, node)];
  const old = await Promise.all(keys.map((key) => redis.hgetall(key)));

  // It fell back, and answers with the order that takes it back.
  let epoch = 20;
  let asked = 0;
  let [hold, say] = [Promise.resolve(), () => {}];
  const request = async () => {
    asked += 1;
    await hold;
    const running = { version: '1.0', bootId: 'c' };
    const health = { healthy: true, reason: '' };
    return { result: { running, health, refused: [], slots: [], order: { epoch } } } as never;
  };
  const stop = new AbortController();
  t.teardown(() => stop.abort());
  const driving = driven(id, fleet, 60_000, stop.signal, request);
  const until = async (what: () => Promise<boolean>) => {
    while (!(await what())) {
      await post(redis, id, { type: 'reachable', node });
      await sleep(20);
    }
  };
  await until(async () => (await only()).state === 'rolling-back');
  epoch = (await only()).epoch;
  hold = new Promise((resolve) => {
    say = resolve;
  });
  const before = asked;
  await until(async () => asked > before);
  say();
  const restore = redis.multi();
  for (const [i, key] of keys.entries()) restore.hset(key, old[i]!);
  await restore.exec();
  await until(async () => {
    const { rollout, nodes } = await readState(redis, id);
    const { term, taken, state } = nodes.get(node)!;
    t.false(taken);
    return rollout.term > 0 && term === rollout.term && state !== 'done';
  });
  stop.abort();
  await driving;
});

test('whoever takes a rollout over has every order without an answer carried out again', async (t) => {
  const { redis, fleet } = await fleetFor(t);
  const id = await create(redis, planned(2), IMAGES, by);
  await operate(redis, id, { type: 'start', by: 'operator:ann' });
  const drive = async (until: (outbox: string) => boolean) => {
    const stop = new AbortController();
    const running = driven(id, fleet, 60_000, stop.signal);
    for (;;) {
      const outbox = JSON.stringify(await redis.xrange(KEYS.outbox, '-', '+'));
      if (!until(outbox)) {
        await sleep(20);
        continue;
      }
      stop.abort();
      await running;
      return outbox;
    }
  };
  const first = await drive((outbox) => outbox.includes('stage'));
  t.false(first.includes('again'));
  // What was to be done is no job of anybody's any more, as when its worker was killed.
  await redis.del(KEYS.outbox);
  const { nodes } = await readState(redis, id);
  const waiting = [...nodes.values()].filter(({ state }) => state === 'staging').map(({ node }) => node);
  t.not(waiting.length, 0);
  const second = await drive((outbox) => outbox.includes('again'));
  for (const node of waiting) t.true(second.includes(node));
});

test('a step that is lost is missed by its mark, however far others have counted since', async (t) => {
  const { redis } = await fleetFor(t);
  const id = await create(redis, planned(), IMAGES, { ...by, start: true });
  const step = async (mark: string, ...events: EngineEvent[]) => {
    const state = await readState(redis, id);
    const done = advance(state, { at: by.at, elapsed: 0, events, mark });
    await writeStep(redis, state, done, IMAGES, by.at);
  };
  await step('one', { type: 'tick' });
  const key = ROLLOUT_KEYS.rollout(id);
  const before = await redis.hgetall(key);
  const pause: EngineEvent = { type: 'pause', by: 'operator:ann', why: 'x' };
  await step('ours', pause);
  t.deepEqual((await readState(redis, id)).rollout.marks, ['one', 'ours']);
  await redis.del(key);
  await redis.hset(key, before);
  await step('theirs', pause);
  await step('later', { type: 'resume', by: 'operator:ann' });
  const { rollout } = await readState(redis, id);
  t.true(misses(rollout, { rev: 2, mark: 'ours' }));
  t.false(misses(rollout, { rev: 1, mark: 'one' }));
  t.false(misses(rollout, { rev: -1, mark: null }), 'nothing was written here');
  t.true(misses({ ...rollout, rev: 1 }, { rev: 2, mark: 'theirs' }), 'counted back');
});
