/** Simulated nodes in a process of their own, told what to do by the one that forked it; ends with it. */
import { createPublicKey } from 'node:crypto';
import { dataPaths } from '../../base/paths.ts';
import { Fleet } from '../../orchestrator/fleet/fleet.ts';
import { connect } from '../../orchestrator/redis/connect.ts';
import { orderKeyId } from '../../protocol/order.ts';
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
  const { redis, ...connection } = await connect(dataPaths(root), { url: '' });
  close = connection.close;
  sim = await startSimFleet({
    ...rest,
    fleet: new Fleet(redis),
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
