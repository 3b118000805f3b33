/** Redis, simulated nodes and orchestrators, each in processes of their own, and rollouts over them. */
import { type ChildProcess, fork } from 'node:child_process';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { dataPaths } from '../../../base/paths.ts';
import { compareVersions } from '../../../formats/version.ts';
import { makeHostKey } from '../../../image/agent/root/host-key.ts';
import { simPcr11 } from '../../../lab/sim/node.ts';
import { type SimProcesses, type SimStart, startSimProcesses } from '../../../lab/sim/processes.ts';
import { publishConfig } from '../../../orchestrator/config/store.ts';
import { Fleet } from '../../../orchestrator/fleet/fleet.ts';
import { connect } from '../../../orchestrator/redis/connect.ts';
import { makePlan } from '../../../orchestrator/rollout/plan.ts';
import type { RolloutRecord } from '../../../orchestrator/rollout/record.ts';
import { planNodes, publishedFor } from '../../../orchestrator/rollout/run/facts.ts';
import { create, operate } from '../../../orchestrator/rollout/run/operate.ts';
import { readRollout, readState } from '../../../orchestrator/rollout/run/stored.ts';
import { checkSpec } from '../../../orchestrator/rollout/spec.ts';
import { type RealSigner, realSigner } from '../../support/real-signer.ts';

export type OrchestratorOrder =
  | { kind: 'start'; root: string; port: number; clientKey: string; signer: string }
  | { kind: 'warm' }
  | { kind: 'usage' }
  | { kind: 'end' };
export type OrchestratorAnswer =
  | { kind: 'ready' }
  | { kind: 'warm'; ms: number; nodes: number }
  | ({ kind: 'usage' } & Usage);

/** Versions that the nodes start from and go to, to and fro. They are words: nothing is downloaded. */
const VERSIONS = Array.from({ length: 40 }, (_, i) => `${i + 1}.0`);
const IMAGES = Object.fromEntries(
  VERSIONS.map((version) => [version, { sha256: simPcr11(version), size: 1_000_000 }]),
);
const FACTS = {
  graph: {
    versions: VERSIONS.map((version) => ({ version, pcr11: [simPcr11(version)] })),
    floor: null,
    compare: compareVersions,
  },
};

export type BedOptions = Pick<SimStart, 'count' | 'times' | 'faults' | 'https' | 'sshds'> & {
  /** The orchestrator's key, where the nodes know one already. */
  client?: { file: string; line: string };
  sites?: number;
};

/** Milliseconds of CPU, bytes, and how often any node was asked how it is. */
export type Usage = { cpu: number; rss: number; asked: number };

export class Bed {
  readonly root: string;
  readonly fleet: Fleet;
  readonly sim: SimProcesses;
  readonly #clientKey: string;
  readonly #signer: RealSigner;
  readonly #close: () => Promise<void>;
  readonly #orchestrators = new Set<ChildProcess>();
  #version = 0;
  #configs = 0;

  private constructor(
    root: string,
    fleet: Fleet,
    sim: SimProcesses,
    clientKey: string,
    signer: RealSigner,
    close: () => Promise<void>,
  ) {
    this.root = root;
    this.fleet = fleet;
    this.sim = sim;
    this.#clientKey = clientKey;
    this.#signer = signer;
    this.#close = close;
  }

  static async make({ client = makeHostKey(), sites = 10, ...options }: BedOptions): Promise<Bed> {
    const root = await mkdtemp(join(tmpdir(), 'bw-bench-'));
    const { redis, close } = await connect(dataPaths(root), { url: '' });
    const end = async () => {
      await close();
      await rm(root, { recursive: true, force: true });
    };
    try {
      const fleet = new Fleet(redis);
      const names = Array.from({ length: sites }, (_, i) => `site${i}`);
      for (const site of names) await fleet.sites.add(site, {}, { actor: 'operator:bench', at: Date.now() });
      const { privateKey } = generateKeyPairSync('ed25519');
      const sim = await startSimProcesses({
        ...options,
        root,
        sites: names,
        version: VERSIONS[0]!,
        clientPub: client.line,
        orderPub: createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }).toString(),
      });
      const signer = await realSigner(dataPaths(root), privateKey, IMAGES);
      const all = () => signer.close().then(end);
      return new Bed(root, fleet, sim, client.file, signer, all);
    } catch (error) {
      await end();
      throw error;
    }
  }

  /** Ready when this resolves. @param namespace network namespace to run in */
  async orchestrator(options: { namespace?: string } = {}): Promise<ChildProcess> {
    const flags = ['--disable-warning=ExperimentalWarning'];
    const program = fileURLToPath(new URL('./orchestrator.ts', import.meta.url));
    const child =
      options.namespace === undefined
        ? fork(program, [], { execArgv: flags })
        : // `ip` takes the place of the program, which it then becomes.
          fork('netns', ['exec', options.namespace, process.execPath, ...flags, program], {
            execPath: 'ip',
            execArgv: [],
          });
    this.#orchestrators.add(child);
    child.once('exit', () => this.#orchestrators.delete(child));
    const signer = this.#signer.socket;
    await ask(child, {
      ...{ kind: 'start', root: this.root, port: this.sim.port },
      ...{ clientKey: this.#clientKey, signer },
    });
    return child;
  }

  /** Milliseconds until every node has an open connection. */
  async warm(orchestrator: ChildProcess): Promise<number> {
    const answer = await ask(orchestrator, { kind: 'warm' });
    return answer.kind === 'warm' ? answer.ms : 0;
  }

  async usage(orchestrator: ChildProcess): Promise<Usage> {
    const answer = await ask(orchestrator, { kind: 'usage' });
    return answer.kind === 'usage' ? answer : { cpu: 0, rss: 0, asked: 0 };
  }

  /** Of the Redis server; its memory as it counts itself. */
  async redis(): Promise<{ cpu: number; memory: number }> {
    const text = `${await this.fleet.redis.info('cpu')}\n${await this.fleet.redis.info('memory')}`;
    const field = (name: string) => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(text)?.[1] ?? 0);
    return { cpu: (field('used_cpu_sys') + field('used_cpu_user')) * 1000, memory: field('used_memory') };
  }

  /** Plans the next version for every node and records the rollout; `go` starts it. */
  async plan(spec: Record<string, unknown>): Promise<string> {
    this.#version += 1;
    const checked = checkSpec({ image: VERSIONS[this.#version], nodes: { all: true }, ...spec });
    if (!checked.ok) throw new Error(JSON.stringify(checked.refusals));
    const planned = makePlan(await planNodes(this.fleet, VERSIONS), checked.spec, Date.now(), FACTS);
    if (!planned.ok) throw new Error(JSON.stringify(planned.refusals));
    return create(this.fleet.redis, planned.plan, IMAGES, { author: 'operator:bench', at: Date.now() });
  }

  /** As `plan`, but of a configuration that nobody has yet: applied without a restart. */
  async planConfig(spec: Record<string, unknown>): Promise<string> {
    this.#configs += 1;
    const { redis } = this.fleet;
    const by = { actor: 'operator:bench', at: Date.now() };
    const config = `${this.#configs}.0`;
    await this.#signer.knows(
      await publishConfig(redis, JSON.stringify({ labels: { pool: `v${config}` } }), config, by),
    );
    const checked = checkSpec({ config, nodes: { all: true }, ...spec });
    if (!checked.ok) throw new Error(JSON.stringify(checked.refusals));
    const { facts, images } = await publishedFor(this.fleet, join(this.root, 'images'), checked.spec);
    const planned = makePlan(await planNodes(this.fleet, []), checked.spec, Date.now(), facts);
    if (!planned.ok) throw new Error(JSON.stringify(planned.refusals));
    return create(redis, planned.plan, images, { author: by.actor, at: by.at });
  }

  async go(id: string): Promise<void> {
    await operate(this.fleet.redis, id, { type: 'start', by: 'operator:bench' });
  }

  async until(id: string, what: (rollout: RolloutRecord) => boolean, seconds = 900): Promise<RolloutRecord> {
    const last = performance.now() + seconds * 1000;
    for (;;) {
      const rollout = await readRollout(this.fleet.redis, id).catch(() => null);
      if (rollout !== null && what(rollout)) return rollout;
      if (performance.now() > last) throw new Error(`not within ${seconds} s: ${JSON.stringify(rollout)}`);
      await sleep(20);
    }
  }

  /** Ids of the nodes that a rollout has under way. */
  async underWay(id: string): Promise<string[]> {
    return [...(await readState(this.fleet.redis, id)).active];
  }

  /** Place in the audit stream. */
  async lastAudit(): Promise<string> {
    return (await this.fleet.audit.read({ last: 1 }))[0]?.key ?? '0-0';
  }

  /** Ids of the nodes that a rollout has moved since a place in the audit stream. */
  async movedSince(key: string, id: string): Promise<Set<string>> {
    const [since, place] = key.split('-').map(Number) as [number, number];
    const moved = (await this.fleet.audit.read({ since })).filter((entry) => {
      const [at, number] = entry.key.split('-').map(Number) as [number, number];
      // The range begins with the whole millisecond.
      const later = at > since || number > place;
      return later && entry.action === 'rollout' && entry.detail?.rollout === id;
    });
    return new Set(moved.flatMap(({ node }) => (node === undefined ? [] : [node])));
  }

  /** SIGKILL. */
  async kill(orchestrator: ChildProcess): Promise<void> {
    const gone = new Promise((resolve) => orchestrator.once('exit', resolve));
    orchestrator.kill('SIGKILL');
    await gone;
  }

  async end(orchestrator: ChildProcess): Promise<void> {
    const gone = new Promise((resolve) => orchestrator.once('exit', resolve));
    orchestrator.send({ kind: 'end' } satisfies OrchestratorOrder);
    await gone;
  }

  async close(): Promise<void> {
    for (const child of this.#orchestrators) await this.kill(child);
    await this.sim.close();
    await this.#close();
  }
}

function ask(child: ChildProcess, order: OrchestratorOrder): Promise<OrchestratorAnswer> {
  return new Promise((resolve, reject) => {
    const gone = (code: number | null) => reject(new Error(`the orchestrator ended with ${code}`));
    child.once('exit', gone);
    child.once('message', (answer: OrchestratorAnswer) => {
      child.off('exit', gone);
      resolve(answer);
    });
    child.send(order);
  });
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/** What else the machine does stretches every wall time: it stands beside each. */
export function load(): string {
  return `load ${loadavg()[0]?.toFixed(1)}`;
}
