/** A node without a disk under the image that a rollout brought: its services come again before their gate is asked. */
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { readIssued } from '../../../../orchestrator/orders/issued.ts';
import { createRollout } from '../../../../orchestrator/rollout/engine.ts';
import { hasForgotten, remind } from '../../../../orchestrator/rollout/run/remind.ts';
import { targetsOf } from '../../../../orchestrator/rollout/run/targets.ts';
import { Watch } from '../../../../orchestrator/rollout/run/watch.ts';
import { LinkPool } from '../../../../orchestrator/transport/pool.ts';
import { node, planOf } from '../fleet.ts';
import { release, running, startServices } from './service-bench.ts';
import { benchFor, hasEnded } from './support.ts';
import { POOL } from './times.ts';

test('only a node without a disk, in a boot of the image, that has no order and knows services', (t) => {
  const setup = { target: { of: 'image', version: '2.0' } } as const;
  const step = { state: 'booted', how: 'network' } as const;
  const status = { order: null, services: [] };
  t.true(hasForgotten(setup, step, status));
  t.false(hasForgotten({ target: { of: 'config', version: '1' } }, step, status));
  t.false(hasForgotten(setup, { ...step, how: 'disk' }, status));
  t.false(
    hasForgotten(setup, { ...step, state: 'activating' }, status),
    'it is about to be ordered something',
  );
  t.false(hasForgotten(setup, step, { ...status, order: { epoch: 1, digest: 'a'.repeat(64), expires: 1 } }));
  t.false(hasForgotten(setup, step, { order: null, services: undefined }));
});

test.serial('it is given the order in force again, and starts what that names', async (t) => {
  const bench = await benchFor(t, { count: 1, decides: 'all' });
  const { fleet, redis, signer, sim } = bench;
  const [lost] = bench.nodes as [(typeof bench.nodes)[0]];
  await release(bench, 'fleet/chrony:4.3');
  const { stop } = bench.orchestrator();
  await bench.until(await startServices(bench, ['chrony:4.3'], { waves: [{}] }), hasEnded);
  await stop();
  const { epoch } = (await readIssued(redis, [lost.id])).get(lost.id)!.order;
  lost.loseState();
  await lost.boot('2.0');
  t.deepEqual(running(bench), ['']);

  const end = new AbortController();
  const { signal } = end;
  const pool = new LinkPool({
    privateKey: bench.clientKey,
    resolve: targetsOf(fleet, sim.port),
    limits: POOL,
    signal,
  });
  const plan = planOf([node(lost.id, { mode: 'netboot' })], { waves: [{ take: 'rest' }] });
  const state = createRollout(plan, { id: 'ro-1', author: 'operator:ann', at: 0 });
  const step = state.nodes.get(lost.id)!;
  step.state = 'booted';
  state.active.add(lost.id);
  const watch = new Watch({
    pool,
    fleet,
    times: { active: 100, fleet: 60_000 },
    signal,
    tell: () => {},
    versionOf: (config) => config,
    refuses: () => {},
    joiners: async () => [],
    remind: (id, options) => remind({ redis, pool, signer: signer.client }, id, options),
  });
  for (const last = performance.now() + 60_000; lost.epoch === 0 && performance.now() < last; await sleep(50))
    watch.look(state);
  end.abort();
  t.is(lost.epoch, epoch, 'word for word');
  await sleep(200);
  t.deepEqual(running(bench), ['fleet/chrony:4.3 healthy']);
});
