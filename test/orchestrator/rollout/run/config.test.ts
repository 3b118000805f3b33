/** Configurations over waves, on the real wire. */
import { join } from 'node:path';
import test from 'ava';
import type { Faults } from '../../../../lab/sim/fault.ts';
import { publishConfig, readConfig } from '../../../../orchestrator/config/store.ts';
import { type Issued, orderKey, readIssued } from '../../../../orchestrator/orders/issued.ts';
import { makePlan } from '../../../../orchestrator/rollout/plan.ts';
import { planNodes, publishedFor } from '../../../../orchestrator/rollout/run/facts.ts';
import { issue } from '../../../../orchestrator/rollout/run/issue.ts';
import { create, operate } from '../../../../orchestrator/rollout/run/operate.ts';
import { checkSpec } from '../../../../orchestrator/rollout/spec.ts';
import { type Bench, benchFor, hasEnded, SPEC } from './support.ts';

const ANN = { actor: 'operator:ann', at: 1 };

async function start({ fleet, redis, root }: Bench, config: string): Promise<string> {
  const { image: _, ...spec } = SPEC;
  const gates = [{ kind: 'pcr11' }, { kind: 'attested' }];
  const checked = checkSpec({
    ...spec,
    gates,
    config,
    waves: [{ name: 'canary', take: 2 }, { take: 'rest' }],
  });
  if (!checked.ok) throw new Error(JSON.stringify(checked.refusals));
  const { facts, images } = await publishedFor(fleet, join(root, 'images'), checked.spec);
  const planned = makePlan(await planNodes(fleet, []), checked.spec, Date.now(), facts);
  if (!planned.ok) throw new Error(JSON.stringify(planned.refusals));
  const id = await create(redis, planned.plan, images, { author: ANN.actor, at: ANN.at });
  await operate(redis, id, { type: 'start', by: ANN.actor });
  return id;
}

test('what was applied is asked for at once: nobody waits for the next round of questions', async (t) => {
  const bench = await benchFor(t, { count: 4 });
  await bench.signer.knows(
    await publishConfig(bench.redis, JSON.stringify({ labels: { pool: 'a' } }), '1.0', ANN),
  );
  const hour = 3600_000;
  bench.orchestrator({ watch: { active: hour, fleet: hour } });
  const end = await bench.until(await start(bench, '1.0'), hasEnded);
  t.is(end.rollout.state, 'done', end.rollout.why);
});

test('a good one reaches every node without a restart; a bad one is taken back', async (t) => {
  const faults: Faults = (_, version) =>
    version === '2.0' ? 'panic' : version === '3.0' ? 'unhealthy' : null;
  const bench = await benchFor(t, { count: 8, faults, decides: 'all' });
  const { redis, nodes, fleet } = bench;
  for (const version of ['1.0', '2.0', '3.0'])
    await bench.signer.knows(
      await publishConfig(redis, JSON.stringify({ labels: { pool: `v${version}` } }), version, ANN),
    );
  const boots = nodes.map((node) => node.bootId);
  const versions = () => [...new Set(nodes.map((node) => node.configVersion))];
  bench.orchestrator();
  bench.orchestrator();

  const good = await bench.until(await start(bench, '1.0'), hasEnded);
  t.is(good.rollout.state, 'done', good.rollout.why);
  t.deepEqual(versions(), ['1.0']);
  t.deepEqual(
    good.waves.map((wave) => wave.counts.done),
    [2, 6, 0],
  );
  const { sha256 } = await readConfig(redis, '1.0');
  for (const [, { order }] of await readIssued(
    redis,
    nodes.map((node) => node.id),
  ))
    t.like(order, { config: sha256, mode: 'installed' });
  const planned = await planNodes(fleet, []);
  t.true(planned.every((node) => node.config === '1.0' && node.labels.pool === 'v1.0'));

  // Refused by the node: it went back by itself, and nobody else is touched.
  const refused = await bench.until(await start(bench, '2.0'), hasEnded);
  t.is(refused.rollout.state, 'failed', refused.rollout.why);
  t.is(refused.rollout.touches, 2, 'the canary alone');
  const why = (await fleet.audit.read()).filter((entry) => entry.to === 'failed').map(({ reason }) => reason);
  t.true(
    why.some((reason) => reason.includes('CONFIG_NOT_APPLIED: 2.0 cannot be applied here')),
    why.join('\n'),
  );
  t.deepEqual(versions(), ['1.0']);

  // Applied, and the node is ill under it.
  const ill = await bench.until(await start(bench, '3.0'), hasEnded);
  t.is(ill.rollout.state, 'failed', ill.rollout.why);
  t.is(ill.rollout.touches, 2, 'the canary alone');
  const states = new Set([...ill.nodes.values()].map(({ state }) => state));
  // The second of the canary may have had no time to fail by itself.
  states.delete('taken-back');
  t.deepEqual([...states].sort(), ['pending', 'rolled-back']);
  t.deepEqual(versions(), ['1.0']);

  t.deepEqual(
    nodes.map((node) => node.bootId),
    boots,
    'nobody has restarted',
  );
});

test('a Redis that names another configuration, or none, in the orders of nodes: what was decided stays', async (t) => {
  const bench = await benchFor(t, { count: 3, decides: 'all' });
  const { redis, nodes } = bench;
  const publish = (version: string) =>
    publishConfig(redis, JSON.stringify({ labels: { pool: version } }), version, ANN);
  const [safe, lax] = [await publish('safe'), await publish('lax')];
  for (const one of [safe, lax]) await bench.signer.knows(one);
  bench.orchestrator();
  await bench.until(await start(bench, 'safe'), hasEnded);
  for (const [i, { id }] of nodes.entries()) {
    const issued = (await readIssued(redis, [id])).get(id)!;
    const order = { ...issued.order, config: i === 0 ? null : lax.sha256 };
    await redis.hset(orderKey(id), 'body', JSON.stringify({ ...issued, order }));
  }
  const end = await bench.until(await bench.start(), hasEnded);
  t.is(end.rollout.state, 'done', end.rollout.why);
  t.deepEqual([...new Set(nodes.map(({ running }) => running))], ['2.0']);
  for (const [, { order }] of await readIssued(
    redis,
    nodes.map(({ id }) => id),
  ))
    t.is(order.config, safe.sha256);
});

test('an order keeps what its rollout does not move', (t) => {
  const images = { '2.0': { sha256: 'a'.repeat(64), size: 7 } };
  const documents = { '5': { sha256: 'c'.repeat(64), size: 70 } };
  const common = { rollout: 'ro-1', node: 'tpm-1', how: 'disk', bootId: 'b' } as const;
  const bodyOf = (made: ReturnType<typeof issue>): Issued => {
    if (made.result !== 'new') throw new Error(made.result);
    return JSON.parse(made.change.next.body) as Issued;
  };
  const first = bodyOf(
    issue({ ...common, kind: 'activate', of: 'image', epoch: 1, version: '2.0' }, undefined, images, 1),
  );
  t.like(first.order, { config: null, image: { version: '2.0' } });
  const second = bodyOf(
    issue({ ...common, kind: 'activate', of: 'config', epoch: 2, version: '5' }, first, documents, 2),
  );
  t.like(second.order, { config: 'c'.repeat(64), image: { version: '2.0' }, mode: 'installed' });
  const third = bodyOf(
    issue({ ...common, kind: 'activate', of: 'image', epoch: 3, version: '2.0' }, second, images, 3),
  );
  t.is(third.order.config, 'c'.repeat(64));
  const back = bodyOf(
    issue(
      { ...common, kind: 'rollback', of: 'config', epoch: 4, version: null, drop: '5' },
      third,
      documents,
      4,
    ),
  );
  t.like(back.order, { config: null, image: { version: '2.0' } });
});
