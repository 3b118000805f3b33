/** Nodes that lose their configuration outside of rollouts, on the real wire. */

import test, { type ExecutionContext } from 'ava';
import { startConfigKeeper } from '../../../orchestrator/config/keep.ts';
import { publishConfig, readConfig } from '../../../orchestrator/config/store.ts';
import { commit } from '../../../orchestrator/fleet/commit.ts';
import { orderKey as issuedKey, readIssued } from '../../../orchestrator/orders/issued.ts';
import { reissue } from '../../../orchestrator/orders/reissue.ts';
import { sign } from '../../../orchestrator/orders/sign.ts';
import { ROLLOUT_KEYS } from '../../../orchestrator/rollout/run/keys.ts';
import { targetsOf } from '../../../orchestrator/rollout/run/targets.ts';
import { LinkPool } from '../../../orchestrator/transport/pool.ts';
import { HOLDERS, unmoved } from '../../../orchestrator/upkeep/holders.ts';
import { until } from '../../support/until.ts';
import { silent } from '../fleet/support.ts';
import { release, startServices } from '../rollout/run/service-bench.ts';
import { type Bench, benchFor, hasEnded } from '../rollout/run/support.ts';
import { POOL } from '../rollout/run/times.ts';
import { orderOf } from '../signer/orders.ts';

const ANN = { actor: 'operator:ann', at: 1 };

/** The keeper, until the test ends. */
function keeps(t: ExecutionContext, { fleet, sim, signer, clientKey }: Bench): { stop(): Promise<void> } {
  const stop = new AbortController();
  const { signal } = stop;
  const pool = new LinkPool({
    privateKey: clientKey,
    resolve: targetsOf(fleet, sim.port),
    limits: POOL,
    signal,
  });
  const running = startConfigKeeper({
    fleet,
    pool,
    signer: signer.client,
    log: silent,
    signal,
    times: { look: 100, again: 200 },
  });
  const end = async () => {
    stop.abort();
    await running;
  };
  t.teardown(end);
  return { stop: end };
}

test('a node that starts without its configuration is brought it again; one in a rollout is left alone', async (t) => {
  const bench = await benchFor(t, { count: 3 });
  const { redis, signer, nodes } = bench;
  await signer.knows(await publishConfig(redis, '{"labels":{"a":"1"}}', '1.0', ANN));
  const { sha256 } = await readConfig(redis, '1.0');
  const [told, held, plain] = nodes as [(typeof nodes)[0], (typeof nodes)[0], (typeof nodes)[0]];
  for (const { id } of [told, held]) {
    const now = Date.now();
    const order = {
      ...{
        format: 1,
        node: id,
        epoch: 4,
        issuedAt: now,
        expires: now + 30 * 24 * 3600_000,
        mode: 'installed',
      },
      ...{ image: null, services: [], config: sha256, wipe: false, forgiven: [] },
    };
    const body = JSON.stringify({ rollout: 'ro-1', kind: 'activate', order });
    const key = issuedKey(id);
    await commit(redis, { records: [{ key, expect: null, next: { state: 'issued', epoch: 4, body } }] });
  }
  await redis.hset(HOLDERS, held.id, 'ro-2');

  keeps(t, bench);

  await until(() => told.configVersion === '1.0');
  t.is(told.epoch, 4, 'the order in force, word for word');

  told.loseState();
  await told.boot('1.0');
  await until(() => told.configVersion === '1.0');
  t.deepEqual([held.configVersion, plain.configVersion], [null, null]);

  await redis.hdel(HOLDERS, held.id);
  await until(() => held.configVersion === '1.0');

  const ordered = told.deeds.filter(({ what }) => what === 'ordered').length;
  t.is(ordered, 2, 'once for each time that it was new to it');
});

test('an order that is gone from Redis, or names another configuration: the node is brought what was signed for it', async (t) => {
  const bench = await benchFor(t, { count: 2, decides: 'all' });
  const { redis, fleet, signer, nodes } = bench;
  const [safe, lax] = [
    await publishConfig(redis, '{"labels":{"a":"1"}}', '1.0', ANN),
    await publishConfig(redis, '{"labels":{"a":"2"}}', '2.0', ANN),
  ];
  for (const one of [safe, lax]) await signer.knows(one);
  const decide = (state: 'open' | 'ended') => {
    const versions = { on: ['1.0'], from: [], joins: [], approvals: [], setup: '' };
    const decision = { state, opened: true, of: 'config' as const, ...versions };
    return fleet.decisions.commit({ records: [] }, [fleet.decisions.rollout('ro-1', decision, ANN, 'test')]);
  };
  await decide('open');
  for (const { id: node } of nodes) {
    const order = orderOf({ node, epoch: 4, image: null, config: safe.sha256 }, Date.now());
    await sign(redis, signer.client, order);
  }
  await decide('ended');
  const [gone, forged] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
  const order = orderOf({ node: forged.id, epoch: 5, image: null, config: lax.sha256 }, Date.now());
  const body = JSON.stringify({ rollout: 'ro-1', kind: 'activate', order });
  await redis.hset(issuedKey(forged.id), { state: 'issued', epoch: 5, body });
  keeps(t, bench);
  await until(() => gone.configVersion === '1.0' && forged.configVersion === '1.0');
  t.is((await readIssued(redis, [forged.id])).get(forged.id)?.order.config, safe.sha256);
});

test('services that a node lost are brought again as its configuration is, and in an order that does not expire', async (t) => {
  const bench = await benchFor(t, { count: 3, decides: 'all' });
  const { redis, nodes } = bench;
  await release(bench, 'fleet/chrony:4.3');
  const { stop } = bench.orchestrator();
  await bench.until(await startServices(bench, ['chrony:4.3']), hasEnded);
  // A node that is still called 'updating' is left alone, and once the orchestrator is gone nobody ends that.
  await until(async () => (await bench.fleet.nodes.ids({ state: 'healthy' })).length === nodes.length);
  await stop();
  const [lost, gone, old] = nodes as [(typeof nodes)[0], (typeof nodes)[0], (typeof nodes)[0]];
  const runs = (node: (typeof nodes)[0]) => node.services.status().map(({ version }) => version)[0];
  lost.loseState();
  await redis.del(issuedKey(gone.id));
  gone.loseState();
  const issued = (await readIssued(redis, [old.id])).get(old.id)!;
  const [issuedAt, expires] = [Date.now() - 29 * 24 * 3600_000, Date.now() + 24 * 3600_000];
  const body = JSON.stringify({ ...issued, order: { ...issued.order, issuedAt, expires } });
  await redis.hset(issuedKey(old.id), 'body', body);
  for (const node of [lost, gone]) await node.boot('1.0');
  keeps(t, bench);
  await until(() => runs(lost) === '4.3' && runs(gone) === '4.3');
  t.is(lost.epoch, issued.order.epoch, 'the order in force, word for word');
  await until(() => old.epoch > issued.order.epoch);
  const renewed = (await readIssued(redis, [old.id])).get(old.id)!.order;
  t.true(renewed.expires > expires);
  t.deepEqual(renewed.services, issued.order.services);
  t.is(old.services.started.length, 1, 'nothing was started anew');
});

test('a node that waits for its turn in a rollout is brought what it lost, in an order that does not expire; not one whose turn has come', async (t) => {
  const bench = await benchFor(t, { count: 3, decides: 'all' });
  const { redis, nodes } = bench;
  for (const version of ['4.3', '4.4']) await release(bench, `fleet/chrony:${version}`);
  const { stop } = bench.orchestrator();
  await bench.until(await startServices(bench, ['chrony:4.3']), hasEnded);
  await until(async () => (await bench.fleet.nodes.ids({ state: 'healthy' })).length === nodes.length);
  await stop();
  // Nobody drives it: everybody waits.
  const id = await startServices(bench, ['chrony:4.4']);
  const [lost, moved, old] = nodes as [(typeof nodes)[0], (typeof nodes)[0], (typeof nodes)[0]];
  const step = ROLLOUT_KEYS.node(id, moved.id);
  const before = (await redis.hmget(step, 'state', 'body')) as [string, string];
  t.like(JSON.parse(before[1]), { state: 'pending', touch: 0 });
  await redis.hset(step, { body: JSON.stringify({ ...JSON.parse(before[1]), touch: 1 }) });
  const issued = (await readIssued(redis, [old.id])).get(old.id)!;
  const [issuedAt, expires] = [Date.now() - 29 * 24 * 3600_000, Date.now() + 24 * 3600_000];
  const body = JSON.stringify({ ...issued, order: { ...issued.order, issuedAt, expires } });
  await redis.hset(issuedKey(old.id), 'body', body);
  for (const node of [lost, moved]) {
    node.loseState();
    await node.boot('1.0');
  }
  const runs = (node: (typeof nodes)[0]) => node.services.status().map(({ version }) => version)[0];
  const { stop: stopKeeper } = keeps(t, bench);
  await until(() => runs(lost) === '4.3' && old.epoch > issued.order.epoch);
  t.is(moved.epoch, 0);
  await redis.hset(step, { state: before[0], body: before[1] });
  await until(() => runs(moved) === '4.3');
  await stopKeeper();
  // The rollout takes all of them on from there.
  bench.orchestrator();
  const { rollout } = await bench.until(id, hasEnded);
  t.is(rollout.state, 'done', rollout.why);
  t.deepEqual(nodes.map(runs), ['4.4', '4.4', '4.4']);
});

test('an order for a node whose turn in a rollout came in the same moment is not issued', async (t) => {
  const bench = await benchFor(t, { count: 1, decides: 'all' });
  const { redis, nodes } = bench;
  await release(bench, 'fleet/chrony:4.3');
  const id = await startServices(bench, ['chrony:4.3'], { waves: [{}] });
  const [{ id: node }] = nodes as [(typeof nodes)[0]];
  const free = (await unmoved(redis, [node])).get(node)!;
  t.is(free.length, 1);
  const wanted = orderOf({ node, epoch: 1, image: null }, Date.now());
  const wish = { ...{ node, wanted, by: 'test', inForce: undefined, kind: 'activate' as const }, floor: 0 };
  const say = () => reissue(redis, { ...wish, while: free, now: Date.now(), race: 'RACE' });
  await redis.hset(ROLLOUT_KEYS.node(id, node), 'state', 'staging');
  t.like(await t.throwsAsync(say()), { code: 'RACE' });
  await redis.hset(ROLLOUT_KEYS.node(id, node), 'state', 'pending');
  t.is((await say()).epoch, 1);
});
