/** What is down around a rollout, as the fleet's records and the other rollouts show it. */
import test from 'ava';
import { setNode } from '../../../../orchestrator/fleet/events/set.ts';
import type { Fleet } from '../../../../orchestrator/fleet/fleet.ts';
import { KEYS } from '../../../../orchestrator/fleet/keys.ts';
import { take } from '../../../../orchestrator/fleet/outcome.ts';
import type { State } from '../../../../orchestrator/fleet/transitions.ts';
import { LOOKED_AT, Surroundings } from '../../../../orchestrator/rollout/run/around.ts';
import { readState } from '../../../../orchestrator/rollout/run/stored.ts';
import { membersFor } from './members.ts';
import { benchFor, hasEnded } from './support.ts';

const BY = { actor: 'operator:test', at: 2 };

async function place(fleet: Fleet, rack: string, ids: readonly string[]) {
  for (const id of ids)
    await fleet.nodes.update(id, (record) => ({ outcome: setNode(record!, { ...BY, change: { rack } }) }));
}

const become = (fleet: Fleet, id: string, to: State) =>
  fleet.nodes.update(id, (record) => ({
    outcome: take(record!, { to, ...BY, action: 'test', reason: 'test' }),
  }));

async function look(fleet: Fleet, id: string, surroundings = new Surroundings(fleet)) {
  const states = new Map(
    await Promise.all(
      LOOKED_AT.map(async (state) => [state, new Set(await fleet.nodes.ids({ state }))] as const),
    ),
  );
  return surroundings.look(await readState(fleet.redis, id), states);
}

test('it sees its own nodes that are down, those beside it, and how many there are', async (t) => {
  const { fleet, member, start } = await membersFor(t);
  const ids: string[] = [];
  for (let n = 1; n <= 7; n += 1) ids.push(await member(n, n > 4 ? '3.0' : '1.0'));
  await place(fleet, 'r1', [ids[0]!, ids[1]!, ids[4]!, ids[5]!]);
  await place(fleet, 'r2', [ids[2]!]);
  await place(fleet, 'r3', [ids[6]!]);
  const id = await start({ nodes: { running: '1.0' } });
  t.like(await look(fleet, id), { fence: 0, down: [], others: { site: {}, rack: {} } });

  await become(fleet, ids[1]!, 'unreachable');
  await fleet.redis.zadd(KEYS.seen, Date.now(), ids[1]!);
  await become(fleet, ids[4]!, 'degraded');
  await become(fleet, ids[6]!, 'quarantined');
  const surroundings = new Surroundings(fleet);
  t.like(await look(fleet, id, surroundings), {
    down: [ids[1]],
    others: { site: { default: 2 }, rack: { 'default/r1': 1 } },
    of: { site: { default: 7 }, rack: { 'default/r1': 4, 'default/r2': 1 } },
  });
  // Who was silent for longer than a day is nobody to count on, until it is heard again.
  const seen = (ago: number) => fleet.redis.zadd(KEYS.seen, Date.now() - ago, ids[1]!);
  const DAY = 24 * 3600_000;
  await seen(DAY + 60_000);
  t.like(await look(fleet, id, surroundings), {
    down: [],
    others: { site: { default: 2 }, rack: { 'default/r1': 1 } },
    of: { site: { default: 6 }, rack: { 'default/r1': 3 } },
  });
  await seen(DAY - 60_000);
  t.like(await look(fleet, id, surroundings), { down: [ids[1]], of: { site: { default: 7 } } });
  // Who leaves is no member any more; who is moved is counted where it is now.
  await become(fleet, ids[4]!, 'retired');
  await place(fleet, 'r1', [ids[6]!]);
  await look(fleet, id, surroundings);
  t.like(await look(fleet, id, surroundings), {
    others: { site: { default: 1 }, rack: { 'default/r1': 1 } },
    of: { site: { default: 6 }, rack: { 'default/r1': 4 } },
  });
});

test('what another rollout takes down is counted once, also when the fleet finds it down', async (t) => {
  const { fleet, redis, member, start } = await membersFor(t);
  const [mine, other] = [await member(1), await member(2, '3.0')];
  await place(fleet, 'r1', [mine, other]);
  const one = await start({ nodes: { running: '1.0' } });
  const two = await start({ nodes: { running: '3.0' }, downgrade: true });
  t.like(await look(fleet, one), { others: { rack: {} } }, 'what is only staged works on');
  const key = `{bootwave}:rollout:${two}`;
  const body = JSON.parse((await redis.hget(key, 'body')) ?? '');
  const disrupted = { site: { default: 1 }, rack: { 'default/r1': 1, 'default/r9': 4 }, service: {} };
  await redis.hset(key, 'body', JSON.stringify({ ...body, disrupted }));
  const stepKey = `${key}:node:${other}`;
  const step = JSON.parse((await redis.hget(stepKey, 'body')) ?? '');
  const is = (more: { state: string; slot: boolean }) =>
    redis.hset(stepKey, 'state', more.state, 'body', JSON.stringify({ ...step, ...more }));
  await is({ state: 'activating', slot: true });
  const seen = { others: { site: { default: 1 }, rack: { 'default/r1': 1 }, service: {} } };
  t.like(await look(fleet, one), seen);
  await become(fleet, other, 'unreachable');
  t.like(await look(fleet, one), seen);
  // One that has failed and waits for its turn to go back is under way for nobody: it is one that is down.
  const shown = { site: { default: 1 }, rack: { 'default/r9': 4 }, service: {} };
  await redis.hset(key, 'body', JSON.stringify({ ...body, disrupted: shown }));
  await is({ state: 'failed', slot: false });
  t.like(await look(fleet, one), { others: { rack: { 'default/r1': 1 } } });
  await is({ state: 'failed', slot: true });
  t.is((await look(fleet, one)).others.rack['default/r1'], undefined, 'its own rollout counts it');
  await is({ state: 'rolling-back', slot: false });
  t.like(await look(fleet, one), { others: { rack: { 'default/r1': 1 } } }, 'only a file is taken off');
  await is({ state: 'activating', slot: true });
  await redis.hset(key, 'body', JSON.stringify({ ...body, disrupted }));
  // An older orchestrator only writes what it has under way.
  await redis.hset(key, 'body', JSON.stringify({ ...body, disrupted: undefined }));
  t.like(await look(fleet, one), { others: { site: { default: 1 }, rack: { 'default/r1': 1 } } });
});

test('on the wire: it waits for a node of the rack that is down, says so, and ends when that is back', async (t) => {
  const bench = await benchFor(t, { count: 4, sites: ['default'] });
  const [dead, ...rest] = bench.nodes.map((node) => node.id) as [string, ...string[]];
  await place(bench.fleet, 'r1', [dead, ...rest]);
  await become(bench.fleet, dead, 'quarantined');
  bench.orchestrator();
  const id = await bench.start({ waves: [{}], limits: { whole: 50, site: '100%', rack: 1 } });
  const waits = await bench.until(id, ({ rollout }) => rollout.waits !== undefined);
  t.deepEqual(
    Object.values(waits.rollout.waits ?? {}).map(({ why }) => why),
    ['1 of 4 nodes of rack default/r1 is down already (limit 1)'],
  );
  const entries = (await bench.fleet.audit.read()).filter(({ detail }) => detail?.rollout === id);
  t.true(entries.some(({ reason }) => reason.startsWith('waits: 1 of 4 nodes of rack')));
  t.deepEqual([...new Set(bench.nodes.map(({ running }) => running))], ['1.0']);
  await become(bench.fleet, dead, 'retired');
  const end = await bench.until(id, hasEnded);
  t.is(end.rollout.state, 'done', end.rollout.why);
  t.is(end.waves[0]?.counts.done, 3);
});

test('on the wire: of two rollouts in one rack only one takes a node down at a time', async (t) => {
  const bench = await benchFor(t, { count: 2, sites: ['default'] });
  const records = await bench.fleet.nodes.getMany(bench.nodes.map(({ id }) => id));
  await place(
    bench.fleet,
    'r1',
    records.map(({ id }) => id),
  );
  const started = await Promise.all(
    records.map(({ name }) => bench.start({ nodes: { names: name }, waves: [{}], gates: [] })),
  );
  bench.orchestrator();
  bench.orchestrator();
  for (const id of started) {
    const end = await bench.until(id, hasEnded);
    t.is(end.rollout.state, 'done', end.rollout.why);
  }
  // In the order in which it was written.
  const steps = (await bench.fleet.audit.read())
    .filter(
      ({ node, action, to }) =>
        node !== undefined && action === 'rollout' && ['activating', 'done'].includes(to ?? ''),
    )
    .map(({ to }) => to);
  t.deepEqual(steps, ['activating', 'done', 'activating', 'done']);
});

test('without an orchestrator that looks, a start takes nobody down, also where there is nothing to stage', async (t) => {
  const { fleet, redis, member, start } = await membersFor(t);
  const ids = [await member(1), await member(2)];
  for (const id of ids)
    await fleet.nodes.update(id, (record) => ({
      outcome: setNode(record!, { ...BY, change: { mode: 'netboot' } }),
    }));
  const id = await start({ limits: { whole: 9, site: 9, rack: 9 } });
  const { nodes } = await readState(redis, id);
  t.deepEqual(
    [...nodes.values()].map(({ how, state }) => [how, state]),
    [
      ['network', 'staged'],
      ['network', 'staged'],
    ],
  );
});
