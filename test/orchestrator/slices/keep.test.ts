/** Slices kept as they were decided, over a real Redis: their nodes, their warnings, their end. */
import test, { type ExecutionContext } from 'ava';
import type { Slice } from '../../../orchestrator/fleet/decisions/slices.ts';
import { SLICE_TIMES, sliceKey } from '../../../orchestrator/fleet/decisions/slices.ts';
import { openFleet } from '../../../orchestrator/operators/bans-of.ts';
import { ROLLOUT_KEYS } from '../../../orchestrator/rollout/run/keys.ts';
import { lookAtSlices, SLICE_WAITS, SliceMemory } from '../../../orchestrator/rollout/run/slices/keep.ts';
import { readState } from '../../../orchestrator/rollout/run/stored.ts';
import { workId } from '../../../orchestrator/rollout/slice-work.ts';
import {
  decideSlice,
  findSlice,
  readSlice,
  type SliceWord,
  wordOf,
} from '../../../orchestrator/slices/store.ts';
import { rewrite } from '../../attack/redis/server.ts';
import { silent } from '../fleet/support.ts';
import { dyingAfter } from '../rollout/run/waiting-world.ts';
import { servicesFor } from '../services/world.ts';

const DAY = 24 * 3600_000;
const MIB = 2 ** 20;
const BY = { actor: 'operator:ann', at: 7 };

async function worldFor(t: ExecutionContext) {
  const world = await servicesFor(t);
  const { fleet, redis, paths, release } = world;
  await release('shop:1');
  await release('shop:2');
  const make = async (name: string, count: number, more: Partial<SliceWord> = {}) => {
    const word: SliceWord = {
      ...{
        state: 'live',
        where: {},
        count,
        perSite: null,
        teams: [],
        services: [],
        template: null,
        reason: '',
      },
      ...{
        share: { cpu: 1, memory: 16 * MIB, disk: 0, ports: [] },
        nodes: [],
        expires: Date.now() + 30 * DAY,
      },
      ...more,
    };
    return (await decideSlice(fleet, name, BY, 'made', () => word)).slice;
  };
  const say = async (name: string, change: Partial<Slice> & { says?: boolean }) =>
    (await decideSlice(fleet, name, BY, 'said', (known) => ({ ...wordOf(known!), ...change }))).slice;
  const memory = new SliceMemory();
  const look = (at = Date.now()) => lookAtSlices({ fleet, redis, paths, log: silent, now: () => at }, memory);
  const rollouts = async () => (await redis.smembers(ROLLOUT_KEYS.all)).sort();
  return { ...world, make, say, look, memory, rollouts };
}

const SHOP = 'fleet/shop@probe:1';
const SAYS = { services: [SHOP], says: true };

test('it gets its nodes, and a rollout of its own for each word: one, whoever looks and however often', async (t) => {
  const { member, make, say, look, rollouts, redis, fleet, order } = await worldFor(t);
  const ids = [await member(1, []), await member(2, []), await member(3, [])];
  await make('probe', 2);
  await look();
  const { nodes } = await readSlice(fleet, 'probe');
  t.is(nodes.length, 2);
  t.deepEqual(await rollouts(), [], 'it runs nothing yet');
  const { said } = await say('probe', SAYS);
  await Promise.all([look(), look()]);
  await look();
  const id = workId({ name: 'probe', said, ends: false }, 1);
  t.deepEqual(await rollouts(), [id]);
  const { setup, nodes: steps } = await readState(redis, id);
  t.like(setup, { author: 'operator:ann', slice: { name: 'probe', said, ends: false } });
  t.is(setup.target.version, SHOP);
  t.deepEqual([...steps.keys()].sort(), nodes);
  t.like(fleet.decisions.rollouts.of(id), {
    slice: { name: 'probe' },
    services: [{ name: 'fleet/shop@probe' }],
  });
  // Its owner says something else: what is under way comes to its end, and brings nobody more.
  await say('probe', { services: ['fleet/shop@probe:2'], says: true });
  await look();
  t.is((await readState(redis, id)).rollout.state, 'aborted');
  for (const node of ids) await order(node, []);
});

test('a node that leaves is replaced, one that comes back as none of it loses what it ran; the others stay', async (t) => {
  const { member, make, say, look, redis, fleet, order, rollouts } = await worldFor(t);
  const ids: string[] = [];
  for (let n = 1; n <= 4; n += 1) ids.push(await member(n, []));
  await make('probe', 3);
  await look();
  await say('probe', SAYS);
  const before = (await readSlice(fleet, 'probe')).nodes;
  for (const id of before) await order(id, ['fleet/shop@probe:1']);
  await look();
  t.deepEqual(await rollouts(), [], 'all of it is ordered already');
  const [gone] = before;
  await fleet.retire(gone!, 'sold', BY);
  await look();
  const after = (await readSlice(fleet, 'probe')).nodes;
  t.is(after.length, 3);
  t.deepEqual(
    after.filter((id) => before.includes(id)),
    before.slice(1),
  );
  const [fresh] = after.filter((id) => !before.includes(id));
  const [id] = await rollouts();
  t.deepEqual([...(await readState(redis, id!)).nodes.keys()], [fresh]);

  // By another selection a node that is well is of it no more.
  await order(fresh!, ['fleet/shop@probe:1']);
  const [out] = after;
  await say('probe', { where: { not: [out!] } });
  await look(Date.now() + DAY / 2);
  const now = await readSlice(fleet, 'probe');
  t.deepEqual([now.nodes.length, now.nodes.includes(out!)], [2, false]);
  const end = workId({ name: 'probe', said: now.epoch, ends: true }, 1);
  const { setup, nodes } = await readState(redis, end);
  t.deepEqual([[...nodes.keys()], setup.target.version], [[out], 'fleet/shop@probe:none']);
  t.regex((await redis.hget(SLICE_WAITS, 'probe')) ?? '', /2 of 3 nodes.*slice plan probe/);
});

test('warned a week and a day before, when it expires, once each; after its grace it ends with all that it has', async (t) => {
  const { member, make, say, look, redis, fleet, order } = await worldFor(t);
  const id = await member(1, []);
  const expires = Date.now() + 30 * DAY;
  await make('probe', 1, { expires });
  await look();
  await say('probe', SAYS);
  await order(id, ['fleet/shop@probe:1']);
  const told = async () =>
    (await fleet.audit.read()).filter(({ action }) => action === 'slice-expires').map(({ reason }) => reason);
  for (const at of [-8 * DAY, -6 * DAY, -6 * DAY, -DAY / 2, 0, 1, SLICE_TIMES.grace - 1])
    await look(expires + at);
  t.deepEqual(await told(), [
    'slice probe expires within 7 days',
    'slice probe expires within a day',
    'slice probe has expired: it ends for good 72 h after that',
  ]);
  t.like(await readSlice(fleet, 'probe'), { state: 'live', nodes: [id], services: [SHOP] });
  // Without any news it is looked at once a minute.
  await look(expires + SLICE_TIMES.grace + 60_000);
  const ended = await readSlice(fleet, 'probe');
  t.like(ended, { state: 'ended', nodes: [], services: [], by: 'orchestrator' });
  const end = await readState(redis, workId({ name: 'probe', said: ended.epoch, ends: true }, 1));
  t.deepEqual([[...end.nodes.keys()], end.setup.target.version], [[id], 'fleet/shop@probe:none']);
  t.is((await told()).length, 3);
});

test('extended in its grace it goes on', async (t) => {
  const { member, make, say, look, fleet } = await worldFor(t);
  await member(1, []);
  const { expires } = await make('probe', 1);
  await look(expires + DAY);
  await say('probe', { expires: expires + 30 * DAY });
  await look(expires + SLICE_TIMES.grace + 1);
  t.like(await readSlice(fleet, 'probe'), { state: 'live' });
});

test('killed after any of its commands to Redis, and looked at again: the same nodes, and one rollout', async (t) => {
  const { member, make, say, look, redis, fleet, paths, rollouts } = await worldFor(t);
  for (const n of [1, 2]) await member(n, []);
  await make('probe', 1);
  await say('probe', SAYS);
  const seen: number[] = [];
  for (let commands = 0; seen.length === 0 && commands < 400; commands += 7) {
    const dying = dyingAfter(redis, commands);
    const whole = async () =>
      lookAtSlices({
        fleet: (await openFleet(paths, dying, silent)).fleet,
        redis: dying,
        paths,
        log: silent,
      });
    await whole().then(
      () => seen.push(commands),
      () => {},
    );
    t.true((await rollouts()).length <= 1);
  }
  await look();
  t.is((await rollouts()).length, 1);
  t.is((await readSlice(fleet, 'probe')).nodes.length, 1);
});

test('whoever owns Redis moves no slice: what it says is written again as it was decided', async (t) => {
  const { member, make, look, redis, fleet } = await worldFor(t);
  for (const n of [1, 2]) await member(n, []);
  await make('probe', 1);
  await look();
  const { nodes } = await readSlice(fleet, 'probe');
  await rewrite(redis, sliceKey('probe'), (body) => ({
    ...body,
    count: 2,
    nodes: [],
    services: [SHOP],
    said: 9,
    epoch: 99,
  }));
  await rewrite(redis, sliceKey('forged'), (body) => ({ ...body, name: 'forged' }));
  await look(Date.now() + DAY / 2);
  t.like(JSON.parse((await redis.hget(sliceKey('probe'), 'body')) ?? ''), { count: 1, nodes, services: [] });
  t.is(await findSlice(fleet, 'forged'), undefined);
});
