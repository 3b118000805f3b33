/** A real Redis, simulated nodes on the real wire, and published images that only have a manifest. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { BootwaveError } from '../../../../base/error.ts';
import type { Logger } from '../../../../base/log.ts';
import type { DataPaths } from '../../../../base/paths.ts';
import { compareVersions } from '../../../../formats/version.ts';
import { makeHostKey } from '../../../../image/agent/root/host-key.ts';
import type { Faults } from '../../../../lab/sim/fault.ts';
import { type SimFleet, startSimFleet } from '../../../../lab/sim/fleet.ts';
import { type SimNode, type SimTimes, simPcr11 } from '../../../../lab/sim/node.ts';
import { beginDecisions } from '../../../../orchestrator/fleet/decisions/confirm.ts';
import { sealConfirmed } from '../../../../orchestrator/fleet/decisions/entry.ts';
import { Fleet } from '../../../../orchestrator/fleet/fleet.ts';
import { openFleet } from '../../../../orchestrator/operators/bans-of.ts';
import type { OrderSigner } from '../../../../orchestrator/orders/order-signer.ts';
import type { RolloutState } from '../../../../orchestrator/rollout/engine.ts';
import { makePlan, type PlanFacts } from '../../../../orchestrator/rollout/plan.ts';
import { planNodes } from '../../../../orchestrator/rollout/run/facts.ts';
import { create, operate } from '../../../../orchestrator/rollout/run/operate.ts';
import { type RolloutTimes, startRollouts } from '../../../../orchestrator/rollout/run/start.ts';
import { readState } from '../../../../orchestrator/rollout/run/stored.ts';
import { targetsOf } from '../../../../orchestrator/rollout/run/targets.ts';
import { checkSpec } from '../../../../orchestrator/rollout/spec.ts';
import { LinkPool } from '../../../../orchestrator/transport/pool.ts';
import { orderKeyId } from '../../../../protocol/order-envelope.ts';
import { keysIn } from '../../../support/keys.ts';
import { redisFor, silent } from '../../../support/own-redis.ts';
import { type RealSigner, realSigner } from '../../../support/real-signer.ts';
import { POOL, TIMES } from './times.ts';

export const VERSIONS = ['1.0', '2.0', '3.0'];
export const IMAGES = Object.fromEntries(
  VERSIONS.map((version) => [version, { sha256: simPcr11(version), size: 1_000_000 }]),
);
export const FACTS: PlanFacts = {
  graph: {
    versions: VERSIONS.map((version) => ({ version, pcr11: [simPcr11(version)] })),
    floor: null,
    compare: compareVersions,
  },
};

/** Seconds at the most, because a spec knows nothing shorter; generous where only a dead node waits. */
export const SPEC = {
  image: '2.0',
  nodes: { all: true },
  waves: [{ name: 'canary', take: 2 }, { take: '30%' }, { take: 'rest' }],
  limits: { whole: 50, site: '100%', rack: 50 },
  gates: [{ kind: 'pcr11' }],
  bake: { node: '1s', wave: '1s' },
  timeouts: {
    stage: '60s',
    activate: '20s',
    rollback: '40s',
    unhealthy: '2s',
    silent: '20s',
    resend: '5s',
  },
  offline: { wait: '1s' },
};

export type Bench = {
  redis: Fleet['redis'];
  root: string;
  fleet: Fleet;
  sim: SimFleet;
  nodes: readonly SimNode[];
  clientKey: string;
  orderKey: KeyObject;
  /** What signs the orders of every orchestrator here. */
  signer: RealSigner;
  socket: string;
  /** More machines, approved and up when this resolves. */
  more(count: number): Promise<readonly SimNode[]>;
  /** Another orchestrator in this process. */
  orchestrator(
    times?: Partial<RolloutTimes>,
    other?: { signer: OrderSigner; now(): number },
  ): { stop(): Promise<void> };
  /** Cuts what orchestrators ask of these nodes from now on; nobody: the network is whole again. */
  cut(nodes: readonly SimNode[]): void;
  /** Plans, records and starts. @param through another connection: a process that keeps no log of decisions. @returns its id */
  start(spec?: Record<string, unknown>, through?: Fleet['redis']): Promise<string>;
  state(id: string): Promise<RolloutState>;
  until(id: string, what: (state: RolloutState) => boolean, seconds?: number): Promise<RolloutState>;
};

export async function benchFor(
  t: ExecutionContext,
  options: {
    count: number;
    faults?: Faults;
    /** Numbers of nodes whose images know no services. */
    withoutServices?: number[];
    sites?: string[];
    sim?: Partial<SimTimes>;
    /** A fleet with keys, whose servers believe only what was decided; `older`: about rollouts not yet. */
    decides?: 'older' | 'all';
    /** See SimFleetOptions. */
    https?: { keys: string; every: number };
    /** Of its orchestrators; none by default. */
    log?: Logger;
  },
): Promise<Bench> {
  const { redis, paths } = await redisFor(t);
  const fleet =
    options.decides === undefined ? new Fleet(redis) : await decidingFleet(redis, paths, options.decides);
  const client = makeHostKey();
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const stop = new AbortController();
  const sites = options.sites ?? ['default', 'par'];
  for (const site of sites.slice(1)) await fleet.sites.add(site, {}, { actor: 'operator:test', at: 1 });
  const common = {
    fleet,
    sites,
    version: '1.0',
    clientPub: client.line,
    orderKeys: new Map([[orderKeyId(publicKey), publicKey]]),
    ...(options.sim === undefined ? {} : { times: options.sim }),
    ...(options.faults === undefined ? {} : { faults: options.faults }),
    ...(options.withoutServices === undefined ? {} : { withoutServices: options.withoutServices }),
    ...(options.https === undefined ? {} : { https: options.https }),
    signal: stop.signal,
  };
  const signer = await realSigner(paths, privateKey, IMAGES);
  t.teardown(signer.close);
  const sims = [await startSimFleet({ ...common, count: options.count })];
  const sim = sims[0]!;
  t.teardown(async () => {
    stop.abort();
    await Promise.all(sims.map((part) => part.close()));
  });
  const state = (id: string) => readState(redis, id);
  let lost = new Set<string>();
  return {
    redis,
    root: paths.root,
    fleet,
    sim,
    nodes: sim.nodes,
    clientKey: client.file,
    orderKey: privateKey,
    signer,
    socket: paths.redis,
    async more(count) {
      const first = sims.reduce((sum, part) => sum + part.nodes.length, 0);
      const part = await startSimFleet({ ...common, first, count, port: sim.port });
      sims.push(part);
      return part.nodes;
    },
    cut(nodes) {
      lost = new Set(nodes.map(({ id }) => id));
    },
    orchestrator(times = {}, other = { signer: signer.client, now: Date.now }) {
      const end = new AbortController();
      const pool = new LinkPool({
        privateKey: client.file,
        resolve: targetsOf(fleet, sim.port),
        limits: POOL,
        signal: end.signal,
      });
      const running = startRollouts({
        paths,
        redis,
        fleet,
        pool: {
          request: async (node, ...rest) => {
            if (lost.has(node))
              throw new BootwaveError({ code: 'LINK_UNREACHABLE', what: 'the network is cut' });
            return pool.request(node, ...rest);
          },
          drop: (node) => pool.drop(node),
          helloOf: (node) => pool.helloOf(node),
        },
        ...other,
        log: options.log ?? silent,
        signal: end.signal,
        times: { ...TIMES, ...times },
      });
      const close = async () => {
        end.abort();
        await running.done;
      };
      t.teardown(close);
      return { stop: close };
    },
    async start(spec = {}, through = redis) {
      const checked = checkSpec({ ...SPEC, ...spec });
      if (!checked.ok) throw new Error(JSON.stringify(checked.refusals));
      const planned = makePlan(await planNodes(fleet, VERSIONS), checked.spec, Date.now(), FACTS);
      if (!planned.ok) throw new Error(JSON.stringify(planned.refusals));
      const id = await create(through, planned.plan, IMAGES, { author: 'operator:ann', at: Date.now() });
      await operate(through, id, { type: 'start', by: 'operator:ann' });
      return id;
    },
    state,
    async until(id, what, seconds = 240) {
      const last = performance.now() + seconds * 1000;
      for (;;) {
        const now = await state(id).catch(() => null);
        if (now !== null && what(now)) return now;
        if (performance.now() > last) {
          const nodes = [...(now?.nodes.values() ?? [])].map(
            (n) => `${n.name} ${n.wave} ${n.state} ${n.why}`,
          );
          throw new Error(
            `not within ${seconds} s: ${JSON.stringify(now?.rollout)} ${JSON.stringify(now?.waves)}\n${nodes.join('\n')}`,
          );
        }
        await sleep(100);
      }
    },
  };
}

async function decidingFleet(
  redis: Fleet['redis'],
  paths: DataPaths,
  decides: 'older' | 'all',
): Promise<Fleet> {
  await keysIn(paths.keys);
  const { fleet } = await openFleet(paths, redis, silent);
  const by = { actor: 'bootserver', at: 1 };
  if (decides === 'all') await beginDecisions(fleet, silent, by);
  else {
    const entry = sealConfirmed({ kind: 'confirmed', ...by, reason: 'by the version before' });
    await fleet.decisions.commit({ records: [] }, [entry]);
  }
  return fleet;
}

export const hasEnded = ({ rollout }: RolloutState): boolean => rollout.endedAt !== null;

/** How often each node did this with each version, as `node version`; only what happened more than once. */
export function twice(nodes: readonly SimNode[], what: 'wrote' | 'booted', version: string): string[] {
  return nodes.flatMap((node) => {
    const times = node.deeds.filter((deed) => deed.what === what && deed.version === version).length;
    return times > 1 ? [`${node.number}: ${what} ${version} ${times} times`] : [];
  });
}

export async function redisPid(folder: string): Promise<number> {
  return Number((await readFile(`${folder}/redis.pid`, 'utf8')).trim());
}
