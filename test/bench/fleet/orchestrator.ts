/** An orchestrator in a process of its own, with the limits and times that `bootwave up` has. Forked by bed.ts. */
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { createLogger } from '../../../base/log.ts';
import { dataPaths } from '../../../base/paths.ts';
import { Fleet } from '../../../orchestrator/fleet/fleet.ts';
import { connect } from '../../../orchestrator/redis/connect.ts';
import { startRollouts } from '../../../orchestrator/rollout/run/start.ts';
import { targetsOf } from '../../../orchestrator/rollout/run/targets.ts';
import { SignerClient } from '../../../orchestrator/signer/client.ts';
import { LinkPool } from '../../../orchestrator/transport/pool.ts';
import type { OrchestratorAnswer, OrchestratorOrder } from './bed.ts';

const stop = new AbortController();
let pool: LinkPool | null = null;
let fleet: Fleet | null = null;
/** Nodes that were asked how they are, since the start. */
let asked = 0;
let finish = async () => {};
const send = (answer: OrchestratorAnswer) => process.send?.(answer);

async function start(order: Extract<OrchestratorOrder, { kind: 'start' }>): Promise<void> {
  const paths = dataPaths(order.root);
  const { redis } = await connect(paths, { url: '' });
  fleet = new Fleet(redis);
  const { signal } = stop;
  pool = new LinkPool({
    privateKey: order.clientKey,
    resolve: targetsOf(fleet, order.port),
    signal,
  });
  const { request } = pool;
  pool.request = ((...args: Parameters<typeof request>) => {
    if (args[1] === 'status') asked += 1;
    return request.apply(pool, args);
  }) as typeof request;
  const log = createLogger('bench', process.env.BENCH_LOG ?? 'silent');
  if (process.env.BENCH_PROFILE !== undefined) await profile(process.env.BENCH_PROFILE);
  startRollouts({ paths, redis, fleet, pool, signer: new SignerClient(order.signer), log, signal });
  send({ kind: 'ready' });
}

/** Writes a CPU profile into the folder at the end. `--cpu-prof` samples so often that it starves a busy machine. */
async function profile(folder: string): Promise<void> {
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: 5_000 });
  await session.post('Profiler.start');
  finish = async () => {
    const { profile } = await session.post('Profiler.stop');
    writeFileSync(`${folder}/orchestrator-${process.pid}.cpuprofile`, JSON.stringify(profile));
  };
}

/** Opens a connection to every node, at the pool's own pace. */
async function warm(): Promise<void> {
  const ids = (await fleet?.nodes.ids()) ?? [];
  const began = performance.now();
  await Promise.all(ids.map((id) => pool?.request(id, 'status', {}, { connectWithin: 600_000 })));
  send({ kind: 'warm', ms: performance.now() - began, nodes: ids.length });
}

process.on('message', (order: OrchestratorOrder) => {
  const fail = (error: unknown) => {
    console.error(error);
    process.exit(1);
  };
  if (order.kind === 'start') start(order).catch(fail);
  else if (order.kind === 'warm') warm().catch(fail);
  else if (order.kind === 'end') finish().then(() => process.exit(0), fail);
  else {
    const { user, system } = process.cpuUsage();
    send({ kind: 'usage', asked, cpu: (user + system) / 1000, rss: process.memoryUsage.rss() });
  }
});
process.on('disconnect', () => process.exit(0));
