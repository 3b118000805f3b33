/** A version whose day has come: its nodes are brought to the successor, once, and only there. */
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { Redis } from 'ioredis';
import { dataPaths } from '../../../../base/paths.ts';
import { withdrawService } from '../../../../image/publish/services.ts';
import type { Fleet } from '../../../../orchestrator/fleet/fleet.ts';
import { openFleet } from '../../../../orchestrator/operators/bans-of.ts';
import { SIGNED_AT } from '../../../../orchestrator/orders/sign.ts';
import { drainId } from '../../../../orchestrator/rollout/drain.ts';
import { ROLLOUT_KEYS } from '../../../../orchestrator/rollout/run/keys.ts';
import { create, operate } from '../../../../orchestrator/rollout/run/operate.ts';
import { planned } from '../../../../orchestrator/rollout/run/planned.ts';
import { drainsOf, Memory, NOT_DRAINED, retireDue } from '../../../../orchestrator/rollout/run/retire.ts';
import { readSetup, readState } from '../../../../orchestrator/rollout/run/stored.ts';
import { setTemplate } from '../../../../orchestrator/rollout/run/templates.ts';
import type { Word } from '../../../../orchestrator/services/life.ts';
import { decideLife } from '../../../../orchestrator/services/lives.ts';
import { silent } from '../../fleet/support.ts';
import { published, servicesFor } from '../../services/world.ts';
import { benchFor, hasEnded } from './support.ts';
import { dyingAfter } from './waiting-world.ts';

const [OLD, NEW] = ['fleet/chrony:4.3', 'fleet/chrony:4.4'];
const BY = { actor: 'operator:ann', at: 7 };
const DAY = 1_000_000;
const RETIRED: Word = { state: 'deprecated', successor: NEW, on: DAY, template: null, reason: '' };
const CURRENT: Word = { state: 'current', successor: null, on: null, template: null, reason: '' };

async function worldFor(t: Parameters<typeof servicesFor>[0], word: Partial<Word> = {}) {
  const world = await servicesFor(t);
  const { release, member, fleet, redis, paths } = world;
  for (const version of ['4.3', '4.4']) await release(`chrony:${version}`);
  const ids = [await member(1, ['chrony:4.3', 'unbound:1']), await member(2, ['chrony:4.3'], 'par')];
  await member(3, ['chrony:4.4']);
  await member(4, ['unbound:1']);
  await decideLife(fleet, OLD, { ...RETIRED, ...word }, BY);
  const look = (at = DAY, of: Fleet = fleet, through: Redis = redis, memory = new Memory()) =>
    retireDue({ redis: through, fleet: of, paths, log: silent, now: () => at }, memory);
  const rollouts = async () => (await redis.smembers(ROLLOUT_KEYS.all)).sort();
  const why = () => redis.hget(NOT_DRAINED, OLD);
  return { ...world, ids, look, rollouts, why };
}

test('nothing before its day; then one rollout, of its nodes and to its successor, which names what it rests on', async (t) => {
  const { look, rollouts, redis, fleet, ids, open } = await worldFor(t);
  await look(DAY - 1);
  t.deepEqual(await rollouts(), []);
  const other = await open();
  await Promise.all([look(), look(DAY, other.fleet)]);
  await look();
  const id = drainId({ service: OLD, epoch: 1 }, 1);
  t.deepEqual(await rollouts(), [id]);
  const { setup } = await readSetup(redis, id);
  t.like(setup, { author: 'operator:ann', retires: { service: OLD, epoch: 1 }, createdAt: DAY });
  t.like(setup.target, { of: 'service', version: NEW });
  const state = await readState(redis, id);
  t.is(state.rollout.state, 'running');
  t.deepEqual([...state.nodes.keys()].sort(), [...ids].sort());
  t.deepEqual(new Set([...state.nodes.values()].map(({ from }) => from)), new Set([OLD]));
  t.like(fleet.decisions.rollouts.of(id), {
    state: 'open',
    retires: { service: OLD, epoch: 1 },
    on: [NEW],
    from: [OLD],
  });
});

test('killed after any of its commands to Redis, and looked at again: one rollout', async (t) => {
  const { look, rollouts, redis, fleet, paths } = await worldFor(t);
  const seen: number[] = [];
  for (let commands = 0; seen.at(-1) !== commands; commands += 1) {
    const dying = dyingAfter(redis, commands);
    const whole = async () => look(DAY, (await openFleet(paths, dying, silent)).fleet, dying);
    await whole().then(
      () => seen.push(commands + 1),
      () => {},
    );
    t.true((await rollouts()).length <= 1);
  }
  t.true(seen[0]! > 20, String(seen));
  await look();
  const [id] = await rollouts();
  t.deepEqual(await rollouts(), [drainId({ service: OLD, epoch: 1 }, 1)]);
  t.is(fleet.decisions.rollouts.of(id!)?.state, 'open');
});

test('what people end stays ended, until they say the retirement again', async (t) => {
  const { look, rollouts, redis, fleet, why } = await worldFor(t);
  await look();
  const [first] = (await rollouts()) as [string];
  await operate(redis, first, { type: 'pause', by: 'operator:bob', why: 'wait' });
  await look();
  t.is((await rollouts()).length, 1, 'paused is not over');
  await operate(redis, first, { type: 'abort', by: 'operator:bob', why: 'no' });
  await operate(redis, first, { type: 'abort', by: 'operator:bob', why: 'no' }).catch(() => {});
  t.like(await drainsOf(fleet, { service: OLD, epoch: 1 }), [{ id: first, state: 'aborted' }]);
  for (const _ of [1, 2]) await look();
  t.deepEqual(await rollouts(), [first]);
  t.regex((await why()) ?? '', /ended as aborted: 'bootwave service retire', said again/);
  await decideLife(fleet, OLD, RETIRED, BY, true);
  await look();
  t.is((await rollouts()).length, 2);
  t.is(await why(), null);
});

test('a successor that may not be brought keeps it waiting, and says why; then it goes on by itself', async (t) => {
  const { look, rollouts, fleet, why, paths } = await worldFor(t, { template: 'slow' });
  const waits = async (reason: RegExp) => {
    await look();
    t.regex((await why()) ?? '', reason);
    t.deepEqual(await rollouts(), []);
  };
  await waits(/there is no template 'slow'/);
  await setTemplate(fleet, 'slow', JSON.stringify({ nodes: { all: true }, approvals: { count: 1 } }), BY);
  await waits(/no certificate/);
  await setTemplate(fleet, 'slow', JSON.stringify({ nodes: { all: true }, waves: [{ take: 1 }, {}] }), BY);
  await decideLife(fleet, NEW, { ...CURRENT, state: 'preview' }, BY);
  await waits(/is in preview/);
  await decideLife(fleet, NEW, { ...RETIRED, successor: OLD }, BY);
  await waits(/is obsolete itself/);
  await decideLife(fleet, NEW, CURRENT, BY);
  await withdrawService({ name: 'fleet/chrony', version: '4.4' }, { paths });
  await waits(/is not released, or was withdrawn/);
  await published(paths, 'chrony:4.4', {});
  await look();
  t.is((await rollouts()).length, 1);
  t.is(await why(), null);
});

test('a retirement that is taken back ends what it began; nodes that another rollout has come later', async (t) => {
  const { look, rollouts, redis, fleet, member } = await worldFor(t);
  await look();
  const [first] = (await rollouts()) as [string];
  await decideLife(fleet, OLD, CURRENT, BY);
  await look();
  t.regex((await readState(redis, first)).rollout.state, /abort/);
  await member(5, ['chrony:4.3']);
  await look();
  t.deepEqual(await rollouts(), [first]);
});

test('nodes whose other services do not allow it keep nobody else, and it says how many stay and why', async (t) => {
  const { look, rollouts, redis, ids, why, release } = await worldFor(t, { successor: 'fleet/ntpd:1' });
  await release('ntpd:1', { dependsOn: ['fleet/unbound'] });
  await look();
  const [first] = (await rollouts()) as [string];
  t.deepEqual([...(await readState(redis, first)).nodes.keys()], [ids[0]!], 'the other one has no unbound');
  const stays = /^1 nodes cannot come to fleet\/ntpd:1 .*ntpd: it depends on unbound/;
  t.regex((await why()) ?? '', stays);
  await look();
  t.regex((await why()) ?? '', stays, 'while the others are on their way');
});

test('with nobody left who can come it says why; who is held comes later', async (t) => {
  const { look, rollouts, fleet, ids, why, release } = await worldFor(t, { successor: 'fleet/chrony:5' });
  await release('chrony:5', { limits: { memory: 2 ** 36, cpu: 1, tasks: 1, io: null } });
  await fleet.hold(ids[0]!, 'not now', null, BY);
  await look();
  t.deepEqual(await rollouts(), []);
  t.regex((await why()) ?? '', /^1 nodes cannot come to fleet\/chrony:5 .* may take 65536 MiB/);
  await fleet.hold(ids[1]!, 'not now', null, BY);
  await look();
  t.is(await why(), null);
});

test('with nobody left the fleet is read seldom, and at once after a decision or an order', async (t) => {
  const { look, rollouts, ids, order, fleet, redis } = await worldFor(t);
  for (const id of ids) await order(id, []);
  const memory = new Memory();
  const reads = async (at: number) => {
    await look(at, fleet, redis, memory);
    return memory.idle?.at === at;
  };
  t.true(await reads(DAY));
  t.false(await reads(DAY + 1));
  t.true(await reads(DAY + 600_000), 'at the latest ten minutes after');
  await redis.zadd(SIGNED_AT, 5, ids[0]!);
  t.true(await reads(DAY + 600_001), 'an order was signed');
  t.false(await reads(DAY + 600_002));
  await decideLife(fleet, OLD, RETIRED, BY, true);
  t.true(await reads(DAY + 600_003), 'the retirement was said again');
  await order(ids[0]!, ['chrony:4.3']);
  await look(DAY + 600_004, fleet, redis, memory);
  t.deepEqual(await rollouts(), []);
  await redis.zadd(SIGNED_AT, 6, ids[0]!);
  for (const at of [5, 6]) {
    await look(DAY + 600_000 + at, fleet, redis, memory);
    t.is((await rollouts()).length, 1);
    t.is(memory.idle, null, 'somebody is left');
  }
});

test('whoever owns Redis can neither name a day nor take one back, nor put a rollout in the place of this one', async (t) => {
  const { look, rollouts, redis, ids, fleet } = await worldFor(t);
  const id = drainId({ service: OLD, epoch: 1 }, 1);
  await redis.hset(ROLLOUT_KEYS.rollout(id), {
    state: 'done',
    epoch: '1',
    body: JSON.stringify({ id, state: 'done' }),
  });
  await look();
  const [next] = (await rollouts()) as [string];
  t.is(next, drainId({ service: OLD, epoch: 1 }, 2));
  t.deepEqual([...(await readState(redis, next)).nodes.keys()].sort(), [...ids].sort());
  t.is(fleet.decisions.rollouts.of(id), undefined);
});

const QUICK = {
  ...{
    nodes: { all: true },
    waves: [{ name: 'canary', take: 1 }, {}],
    limits: { whole: 50, site: '100%', rack: 50 },
  },
  ...{ bake: { node: '1s', wave: '1s' }, offline: { wait: '1s' } },
  timeouts: { stage: '60s', activate: '20s', rollback: '40s', unhealthy: '2s', silent: '20s', resend: '5s' },
};

test.serial(
  'on the wire: it is emptied, also of nodes that come late; what is no good goes back, and not again',
  async (t) => {
    const bench = await benchFor(t, {
      count: 4,
      decides: 'all',
      faults: (_, version) => (version === 'fleet/chrony:4.5' ? 'unhealthy' : null),
    });
    const { fleet, nodes, redis } = bench;
    const paths = dataPaths(bench.root);
    for (const version of ['4.3', '4.4', '4.5']) await published(paths, `chrony:${version}`, {});
    const now = () => ({ ...BY, at: Date.now() });
    await setTemplate(fleet, 'quick', JSON.stringify(QUICK), BY);
    bench.orchestrator();
    bench.orchestrator();
    const source = JSON.stringify({ ...QUICK, services: ['chrony:4.3'] });
    const { plan, images } = await planned(paths, fleet, source, Date.now());
    const first = await create(redis, plan, images, { author: BY.actor, at: Date.now(), start: true });
    t.is((await bench.until(first, hasEnded)).rollout.state, 'done');
    const versions = () =>
      nodes.map(({ services }) =>
        services
          .status()
          .map(({ version }) => version)
          .join(),
      );
    t.deepEqual(versions(), ['4.3', '4.3', '4.3', '4.3']);

    const late = nodes[3]!;
    await fleet.hold(late.id, 'not now', null, now());
    const retire = (service: string, successor: string) =>
      decideLife(fleet, service, { ...RETIRED, successor, on: Date.now(), template: 'quick' }, now());
    await retire(OLD, NEW);
    const one = await bench.until(drainId({ service: OLD, epoch: 1 }, 1), hasEnded);
    t.is(one.rollout.state, 'done', one.rollout.why);
    t.deepEqual(versions(), ['4.4', '4.4', '4.4', '4.3'], 'two versions, side by side');
    await fleet.unhold(late.id, now());
    const two = await bench.until(drainId({ service: OLD, epoch: 1 }, 2), hasEnded);
    t.is(two.rollout.state, 'done', two.rollout.why);
    t.deepEqual(versions(), ['4.4', '4.4', '4.4', '4.4']);

    await retire(NEW, 'fleet/chrony:4.5');
    const bad = await bench.until(drainId({ service: NEW, epoch: 1 }, 1), hasEnded);
    t.is(bad.rollout.state, 'failed', bad.rollout.why);
    t.is(bad.rollout.touches, 1, 'the canary alone');
    t.deepEqual(versions(), ['4.4', '4.4', '4.4', '4.4']);
    for (let left = 100; (await redis.hget(NOT_DRAINED, NEW)) === null && left > 0; left -= 1)
      await sleep(100);
    t.regex((await redis.hget(NOT_DRAINED, NEW)) ?? '', /ended as failed/);
    t.is((await redis.smembers(ROLLOUT_KEYS.all)).length, 4);
  },
);
