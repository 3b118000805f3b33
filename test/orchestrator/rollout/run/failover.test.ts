/** A Redis that failed over and lost what was acknowledged last: the nodes' own reports decide what was done. */
import test from 'ava';
import type { Redis } from 'ioredis';
import { operate } from '../../../../orchestrator/rollout/run/operate.ts';
import { release, running, startServices } from './service-bench.ts';
import { benchFor, hasEnded, SPEC, twice } from './support.ts';

/** All that is stored, at one instant: a replica is behind, never torn. */
async function snapshot(redis: Redis): Promise<Buffer[]> {
  const lua = `local all = {}
    for _, key in ipairs(redis.call('KEYS', '*')) do
      all[#all + 1] = key
      all[#all + 1] = redis.call('DUMP', key)
    end
    return all`;
  return (await redis.callBuffer('EVAL', lua, '0')) as Buffer[];
}

async function restore(redis: Redis, saved: readonly Buffer[]): Promise<void> {
  const lua = `for _, key in ipairs(redis.call('KEYS', '*')) do redis.call('DEL', key) end
    for i = 1, #ARGV, 2 do redis.call('RESTORE', ARGV[i], 0, ARGV[i + 1]) end`;
  await redis.callBuffer('EVAL', lua, '0', ...saved);
}

test.serial('what was done and forgotten is not done again, and the rollout comes to its end', async (t) => {
  const bench = await benchFor(t, { count: 12 });
  bench.orchestrator();
  const gates = [{ kind: 'pcr11' }, { kind: 'manual' }];
  const id = await bench.start({
    waves: [{ name: 'canary', take: 2, gates }, { take: 4, gates }, { take: 'rest' }],
    // Nothing starts until those that are silent had their time: most of what this test takes.
    timeouts: { ...SPEC.timeouts, silent: '8s' },
  });
  const gated = (wave: number) => bench.until(id, ({ waves }) => waves[wave]?.state === 'gated');
  const approve = (wave: number) => operate(bench.redis, id, { type: 'approve', by: 'operator:bob', wave });
  const early = await gated(0);
  t.is(early.rollout.term, 0);
  const saved = await snapshot(bench.redis);
  await approve(0);
  const later = await gated(1);
  const epochs = new Map([...later.nodes.values()].map(({ node, epoch }) => [node, epoch]));

  await restore(bench.redis, saved);
  // Their certificates are unknown to what was restored: real nodes see that at their next heartbeat and enrol again.
  for (const node of bench.nodes) await node.announce();
  const noticed = await bench.until(id, ({ rollout }) => rollout.term > 0);
  t.is(noticed.waves[0]?.state, 'gated', 'the approval is lost, and said again');
  await approve(0);
  await gated(1);
  await approve(1);

  const end = await bench.until(id, hasEnded);
  t.is(end.rollout.state, 'done', end.rollout.why);
  t.deepEqual([...new Set(bench.nodes.map((node) => node.running))], ['2.0']);
  t.deepEqual([...twice(bench.nodes, 'wrote', '2.0'), ...twice(bench.nodes, 'booted', '2.0')], []);
  for (const { node, epoch } of end.nodes.values()) t.true(epoch >= (epochs.get(node) ?? 0), node);
});

test.serial('the same of services: none is started twice', async (t) => {
  const bench = await benchFor(t, { count: 6, decides: 'all' });
  await release(bench, 'fleet/chrony:4.3');
  bench.orchestrator();
  const gates = [{ kind: 'manual' }];
  const id = await startServices(bench, ['chrony:4.3'], {
    waves: [{ name: 'canary', take: 2, gates }, { take: 2, gates }, { take: 'rest' }],
    timeouts: { ...SPEC.timeouts, silent: '8s' },
  });
  const gated = (wave: number) => bench.until(id, ({ waves }) => waves[wave]?.state === 'gated');
  const approve = (wave: number) => operate(bench.redis, id, { type: 'approve', by: 'operator:bob', wave });
  await gated(0);
  const saved = await snapshot(bench.redis);
  await approve(0);
  await gated(1);
  await restore(bench.redis, saved);
  for (const node of bench.nodes) await node.announce();
  await bench.until(id, ({ rollout }) => rollout.term > 0);
  await approve(0);
  await gated(1);
  await approve(1);
  const end = await bench.until(id, hasEnded);
  t.is(end.rollout.state, 'done', end.rollout.why);
  t.deepEqual(running(bench), ['fleet/chrony:4.3 healthy']);
  t.deepEqual(
    bench.nodes.map(({ services }) => services.started),
    bench.nodes.map(() => ['fleet/chrony:4.3']),
  );
});
