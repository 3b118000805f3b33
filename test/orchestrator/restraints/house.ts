/** Nodes that run a service, and a keeper that brings them what is decided about them, over the real wire. */
import type { ExecutionContext } from 'ava';
import { dataPaths } from '../../../base/paths.ts';
import { releaseService } from '../../../image/publish/services.ts';
import { commit } from '../../../orchestrator/fleet/commit.ts';
import type { OrderKeeping } from '../../../orchestrator/orders/deliver.ts';
import { orderKey } from '../../../orchestrator/orders/issued.ts';
import { sign } from '../../../orchestrator/orders/sign.ts';
import { targetsOf } from '../../../orchestrator/rollout/run/targets.ts';
import { LinkPool } from '../../../orchestrator/transport/pool.ts';
import { bundle } from '../../image/publish/bundle.ts';
import { silent } from '../fleet/support.ts';
import { benchFor } from '../rollout/run/support.ts';
import { POOL } from '../rollout/run/times.ts';
import { orderOf } from '../signer/orders.ts';

export const NAME = 'fleet/shop';
export const by = { actor: 'operator:ann', at: 1 };

export async function house(
  t: ExecutionContext,
  count: number,
  keep: (options: OrderKeeping) => Promise<void>,
) {
  const bench = await benchFor(t, { count, decides: 'all' });
  const { fleet, redis, sim, nodes, signer, clientKey, root } = bench;
  const paths = dataPaths(root);
  const made = await bundle(paths, NAME, '1');
  await releaseService(made, { paths });
  const service = { name: NAME, version: '1', sha256: made.sha256, size: made.size };
  const { name: _, ...part } = service;
  const decision = {
    state: 'open' as const,
    opened: true,
    of: 'service' as const,
    approvals: [],
    setup: '',
    from: [],
    joins: [],
  };
  await fleet.decisions.commit({ records: [] }, [
    fleet.decisions.rollout(
      'ro-1',
      { ...decision, on: [`${NAME}:1`], services: [{ name: NAME, bundle: part }] },
      by,
      'test',
    ),
  ]);
  const stop = new AbortController();
  const pool = new LinkPool({
    privateKey: clientKey,
    resolve: targetsOf(fleet, sim.port),
    limits: POOL,
    signal: stop.signal,
  });
  for (const { id: node } of nodes) {
    const order = orderOf({ node, epoch: 4, image: null, services: [service] }, Date.now());
    const body = JSON.stringify({ rollout: 'ro-1', kind: 'activate', order });
    await commit(redis, {
      records: [{ key: orderKey(node), expect: null, next: { state: 'issued', epoch: 4, body } }],
    });
    await pool.request(
      node,
      'order',
      { envelope: await sign(redis, signer.client, order) },
      { signal: stop.signal, timeout: 20_000 },
    );
  }
  const kept = keep({
    ...{ fleet, pool, signer: signer.client, log: silent, signal: stop.signal },
    times: { look: 100, again: 200 },
  });
  t.teardown(async () => {
    stop.abort();
    await kept;
  });
  const acting = {
    fleet,
    paths,
    by: { ...by, at: Date.now() },
    links: () => pool,
    signal: stop.signal,
    log: silent,
  } as never;
  const shown = () => nodes.map(({ services }) => services.status()[0]?.restraint);
  return { ...bench, acting, shown, pool };
}
