/** Simulated nodes in a process of their own, told what to do by the one that forked it; ends with it. */
import { createPublicKey } from 'node:crypto';
import { createLogger } from '../../base/log.ts';
import { dataPaths } from '../../base/paths.ts';
import { watchDecisions } from '../../orchestrator/fleet/decisions/watch.ts';
import { openFleet } from '../../orchestrator/operators/bans-of.ts';
import { connect } from '../../orchestrator/redis/connect.ts';
import { orderKeyId } from '../../protocol/order-envelope.ts';
import { firstOf, randomFaults } from './fault.ts';
import { type SimFleet, startSimFleet } from './fleet.ts';
import type { SimAnswer, SimFacts, SimOrder, SimStart } from './processes.ts';
import { sshdDoor } from './sshd-door.ts';

const stop = new AbortController();
let sim: SimFleet | null = null;
let close = async () => {};
const send = (answer: SimAnswer) => process.send?.(answer);

async function start(order: SimStart): Promise<void> {
  const { root, orderPub, faults, sshds, ...rest } = order;
  const key = createPublicKey(orderPub);
  const paths = dataPaths(root);
  const { redis, ...connection } = await connect(paths, { url: '' });
  close = connection.close;
  // People approve these nodes, too: a server that runs beside believes nothing else.
  const log = createLogger('sim', 'error');
  const { fleet, bans } = await openFleet(paths, redis, log);
  watchDecisions(bans, fleet, { signal: stop.signal, log }).catch(() => {});
  sim = await startSimFleet({
    ...rest,
    fleet,
    orderKeys: new Map([[orderKeyId(key), key]]),
    signal: stop.signal,
    ...(faults === undefined
      ? {}
      : { faults: firstOf(faults.map((one) => randomFaults(one.seed, one.share, one.version, one.kinds))) }),
    ...(sshds === undefined ? {} : { door: (n: number) => sshdDoor(sshds, n) }),
  });
  send({ kind: 'ready', port: sim.port });
}

function facts(): SimFacts {
  const { user, system } = process.cpuUsage();
  return {
    nodes: (sim?.nodes ?? []).map((node) => ({
      number: node.number,
      id: node.id,
      running: node.running,
      up: node.up,
      lastGood: node.lastGood,
      hasLastGood: node.has(node.lastGood),
      deeds: node.deeds,
    })),
    beats: sim?.beats ?? 0,
    cpu: (user + system) / 1000,
    rss: process.memoryUsage.rss(),
  };
}

async function end(): Promise<void> {
  stop.abort();
  await sim?.close();
  await close();
  process.disconnect?.();
}

process.on('message', (order: SimOrder) => {
  const fail = (error: unknown) =>
    send({ kind: 'failed', reason: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  if (order.kind === 'start') start(order).catch(fail);
  else if (order.kind === 'facts') send({ kind: 'facts', facts: facts() });
  else end().then(() => process.exit(0), fail);
});
// Ctrl-C reaches every process of the terminal; the one that forked us says when to end.
process.on('SIGINT', () => {});
process.on('disconnect', () => process.exit(0));
