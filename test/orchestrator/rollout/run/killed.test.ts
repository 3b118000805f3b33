import test from 'ava';
import { kill, orchestratorProcess } from './process.ts';
import { release, running, startServices } from './service-bench.ts';
import { benchFor, hasEnded, redisPid, twice } from './support.ts';

test('orchestrators killed one after the other: the next one carries on, and no effect happens twice', async (t) => {
  const bench = await benchFor(t, { count: 20 });
  const first = await orchestratorProcess(t, bench);
  const id = await bench.start({ waves: [{ name: 'canary', take: 2 }, { take: 'rest' }] });
  await bench.until(id, ({ waves }) => (waves[0]?.counts.activating ?? 0) > 0);
  await kill(first);
  const second = await orchestratorProcess(t, bench);
  // In the middle of the large wave: nodes in every state.
  await bench.until(id, ({ waves }) => (waves[1]?.counts.staging ?? 0) > 0);
  await kill(second);
  await orchestratorProcess(t, bench);
  const end = await bench.until(id, hasEnded);
  t.is(end.rollout.state, 'done', end.rollout.why);
  t.deepEqual([...new Set(bench.nodes.map((node) => node.running))], ['2.0']);
  t.deepEqual([...twice(bench.nodes, 'wrote', '2.0'), ...twice(bench.nodes, 'booted', '2.0')], []);
});

test('Redis killed and started again in the middle: nothing acknowledged is lost', async (t) => {
  const bench = await benchFor(t, { count: 16 });
  bench.orchestrator();
  const id = await bench.start({ waves: [{ name: 'canary', take: 2 }, { take: 'rest' }] });
  await bench.until(id, ({ waves }) => (waves[1]?.counts.staging ?? 0) > 0);
  // The connection of the test and the orchestrator's start it again, as it is embedded.
  process.kill(await redisPid(bench.socket), 'SIGKILL');
  const end = await bench.until(id, hasEnded);
  t.is(end.rollout.state, 'done', end.rollout.why);
  t.is(end.rollout.term, 0, 'a restart that lost nothing is no failover');
  t.deepEqual([...new Set(bench.nodes.map((node) => node.running))], ['2.0']);
  t.deepEqual([...twice(bench.nodes, 'wrote', '2.0'), ...twice(bench.nodes, 'booted', '2.0')], []);
});

test.serial(
  'orchestrators killed while services move: the next one carries on, and none is started twice',
  async (t) => {
    const bench = await benchFor(t, { count: 10, decides: 'all', sim: { stage: 1_000 } });
    await release(bench, 'fleet/chrony:4.3', 'fleet/unbound:1');
    const first = await orchestratorProcess(t, bench);
    const id = await startServices(bench, ['chrony:4.3', 'unbound:1']);
    await bench.until(id, ({ waves }) => (waves[0]?.counts.activating ?? 0) > 0);
    await kill(first);
    const second = await orchestratorProcess(t, bench);
    await bench.until(id, ({ waves }) => (waves[1]?.counts.activating ?? 0) > 0);
    await kill(second);
    await orchestratorProcess(t, bench);
    const end = await bench.until(id, hasEnded);
    t.is(end.rollout.state, 'done', end.rollout.why);
    t.deepEqual(running(bench), ['fleet/chrony:4.3 healthy, fleet/unbound:1 healthy']);
    t.true(bench.nodes.every(({ services }) => services.started.length === 2));
  },
);
