/** What is reserved is in the orders of three nodes long before it begins, over the real wire and with the real signer. */
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { dataPaths } from '../../../../base/paths.ts';
import type { Acting } from '../../../../orchestrator/operations/operation.ts';
import * as slice from '../../../../orchestrator/operations/slice/acts.ts';
import { reserve, unreserve } from '../../../../orchestrator/operations/slice/reserve.ts';
import { run } from '../../../../orchestrator/operations/slice/run.ts';
import { targetsOf } from '../../../../orchestrator/rollout/run/targets.ts';
import { startReservationKeeper } from '../../../../orchestrator/slices/reservations/keep.ts';
import { LinkPool } from '../../../../orchestrator/transport/pool.ts';
import { slowJournal } from '../../../support/slow-journal.ts';
import { silent } from '../../fleet/support.ts';
import { release } from '../../rollout/run/service-bench.ts';
import { benchFor } from '../../rollout/run/support.ts';
import { POOL } from '../../rollout/run/times.ts';

const HOUR = 3600_000;
const MIB = 2 ** 20;

test('three nodes have it before it begins, and lose it when it is ended; an image that knows none gets no such order', async (t) => {
  t.timeout(10 * 60_000);
  const bench = await benchFor(t, { count: 4, decides: 'all', sites: ['default'] });
  const { fleet, nodes, sim, signer, clientKey, root } = bench;
  await release(bench, 'fleet/chrony:4.2');
  const paths = dataPaths(root);
  const acting = () =>
    ({
      ...{ fleet, paths, log: silent, signal: new AbortController().signal },
      by: { actor: 'operator:eve', at: Date.now() },
      identity: { actor: 'operator:eve', role: 'core', sites: [] },
    }) as unknown as Acting;
  const until = async (what: () => boolean) => {
    for (const last = performance.now() + 240_000; !what(); await sleep(200))
      if (performance.now() > last) throw new Error(JSON.stringify(nodes.map((one) => one.reservations)));
  };
  bench.orchestrator();
  const share = { cpu: 10, memory: 64 * MIB, disk: 0, ports: [] };
  const wish = { name: 'probe', count: 4, perSite: null, where: {}, share, teams: [] };
  await slice.create({ ...wish, expires: Date.now() + 99 * HOUR }, acting());
  await run({ name: 'probe', services: ['chrony:4.2'] }, acting());
  await until(() => nodes.every((node) => node.services.status()[0]?.health === 'healthy'));

  const old = nodes[3]!;
  const stop = new AbortController();
  const { signal } = stop;
  const links = new LinkPool({
    ...{ privateKey: clientKey, limits: POOL, signal },
    resolve: targetsOf(fleet, sim.port),
  });
  // An image from before reservations: its answer has no clock.
  const request: typeof links.request = async (id, op, ...rest) => {
    const answered = await links.request(id, op, ...rest);
    if (id === old.id && op === 'usage') delete (answered.result as { clock?: number }).clock;
    return answered;
  };
  const kept = startReservationKeeper({
    ...{ fleet, pool: { request }, signer: signer.client, log: silent, signal },
    times: { look: 200, again: 500 },
  });
  t.teardown(async () => {
    stop.abort();
    await kept;
  });
  const from = Math.ceil(Date.now() / HOUR + 1) * HOUR;
  const asked = { name: 'probe', cpu: 20, memory: 32 * MIB, from, length: HOUR };
  await reserve(asked, acting());
  const window = { slice: 'probe', from, until: from + HOUR, cpu: 20, memory: 32 * MIB };
  const three = nodes.slice(0, 3);
  const epoch = old.status().order?.epoch;
  await until(() => three.every((node) => node.reservations.length === 1));
  for (const node of three) t.deepEqual(node.reservations, [window]);
  // Known here before it is on the disk, where the signer reads.
  slowJournal(t);
  await unreserve({ name: 'probe', number: 1 }, acting());
  await until(() => three.every((node) => node.reservations.length === 0));
  t.deepEqual(old.reservations, []);
  t.is(old.status().order?.epoch, epoch, 'it was sent nothing');
  t.true(
    nodes.every((node) => node.services.started.length === 1),
    'and nothing was begun again',
  );
});
