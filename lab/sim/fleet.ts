/**
 * Many simulated nodes in one process, each with an address, an SSH server and keys of its own. They enter the fleet's
 * records through a NodeDirectory, as the boot server enters real ones.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createLogger } from '../../base/log.ts';
import type { HostKey } from '../../image/agent/root/host-key.ts';
import { FleetDirectory } from '../../orchestrator/fleet/directory.ts';
import type { Fleet } from '../../orchestrator/fleet/fleet.ts';
import { NO_IMAGE_RULES } from '../../orchestrator/fleet/image-rules.ts';
import { take } from '../../orchestrator/fleet/outcome.ts';
import type { OrderPublicKeys } from '../../protocol/order-envelope.ts';
import { enrolSim, type SimHttps, simAddress, simId } from './enrolment.ts';
import { type Faults, noFaults } from './fault.ts';
import { startSimHttps } from './https.ts';
import { SIM_TIMES, SimNode, type SimTimes, simPcr11 } from './node.ts';
import { type SimSshd, simSshd } from './ssh.ts';

/** What carries the link of one node: our own SSH server, or somebody's sshd with a host key of its own. */
export type SimDoor = SimSshd & { readonly hostKey?: HostKey };

export type SimFleetOptions = {
  fleet: Fleet;
  count: number;
  /** Number of the first one: several processes share a fleet. */
  first?: number;
  /** Port of every node; by default any that is free. */
  port?: number;
  /** Names of sites that exist; nodes take turns. */
  sites: readonly string[];
  /** What those run at first that are new to the fleet; the others what they ran last. */
  version: string;
  /** The orchestrator's SSH key, as the nodes know it. */
  clientPub: string;
  orderKeys: OrderPublicKeys;
  faults?: Faults;
  /** Numbers of nodes whose images know no services. */
  withoutServices?: readonly number[];
  times?: Partial<SimTimes>;
  /** Heartbeats over HTTPS and mutual TLS with certificates of these keys; by default they are told without a wire. */
  https?: { keys: string; every: number };
  /** By default an SSH server in this process. */
  door?: (number: number) => Promise<SimDoor>;
  signal: AbortSignal;
};

export type SimFleet = {
  readonly nodes: readonly SimNode[];
  /** Every node's sshd listens on this port, each on an address of its own in 127.0.0.0/8. */
  readonly port: number;
  /** Heartbeats that came in over HTTPS. */
  readonly beats: number;
  close(): Promise<void>;
};

/** Nodes that enter at once. */
const ENTER = 20;

/** The nodes are up, approved and installed when this resolves. */
export async function startSimFleet(options: SimFleetOptions): Promise<SimFleet> {
  const { fleet, sites, count, signal, clientPub } = options;
  const log = createLogger('sim', 'silent');
  const first = options.first ?? 0;
  const ids = Array.from({ length: count }, (_, i) => simId(first + i));
  const before = new Map((await fleet.nodes.getMany(ids)).map((record) => [record.id, record]));
  // Who is on record stays at its site, whatever sites are named now.
  const all = new Set([...sites, ...[...before.values()].map(({ site }) => site)]);
  const directories = new Map(
    [...all].map((site) => [
      site,
      new FleetDirectory({
        ...{ fleet, site, log },
        // Whatever a person decides of images concerns machines.
        imageRules: async () => NO_IMAGE_RULES,
        released: async () => null,
        defaultImage: async () => options.version,
        // Every version of a simulated node is published: it is no more than a word.
        pcr11: async (version) => simPcr11(version),
      }),
    ]),
  );
  const https =
    options.https === undefined
      ? null
      : await startSimHttps({ ...options.https, directory: directories.get(sites[0]!)!, signal });
  let port = options.port ?? 0;
  const door = options.door ?? ((n: number): Promise<SimDoor> => simSshd(clientPub, simAddress(n), port));
  const doors: SimDoor[] = [];
  for (let n = first; n < first + count; n += 1) {
    const opened = await door(n);
    doors.push(opened);
    port = opened.port;
  }

  const nodes = doors.map((server, i) => {
    const number = first + i;
    const id = simId(number);
    const record = before.get(id);
    const directory = directories.get(record?.site ?? sites[number % sites.length]!)!;
    return new SimNode({
      id,
      number,
      version: record?.observed.image ?? options.version,
      orderKeys: options.orderKeys,
      faults: options.faults ?? noFaults,
      times: { ...SIM_TIMES, ...options.times },
      services: !options.withoutServices?.includes(number),
      signal,
      ...(server.hostKey === undefined ? {} : { hostKey: server.hostKey }),
      onUp: async (node) => {
        server.up(node.hostKey.file, node.handlers);
        // The lab is closing, or Redis is away.
        await enrolSim(directory, node, https).catch(() => retry(directory, node, https, signal));
      },
      onDown: (_node, how) => server.down(how),
    });
  });
  for (let at = 0; at < nodes.length; at += ENTER) {
    await Promise.all(nodes.slice(at, at + ENTER).map((node) => enter(fleet, node)));
  }
  return {
    nodes,
    port,
    get beats() {
      return https?.beats ?? 0;
    },
    async close() {
      await Promise.all(doors.map((server) => server.close()));
      await https?.close();
    },
  };
}

/** Until it is on record or the boot is over: a real node does not give up either. */
async function retry(
  directory: FleetDirectory,
  node: SimNode,
  https: SimHttps | null,
  signal: AbortSignal,
): Promise<void> {
  const { bootId } = node;
  let on = false;
  while (!on && node.bootId === bootId && !signal.aborted) {
    await sleep(250, undefined, { signal, ref: false }).catch(() => {});
    on = await enrolSim(directory, node, https).then(
      () => true,
      () => false,
    );
  }
}

/** Up for the first time, and approved by its four words. */
async function enter(fleet: Fleet, node: SimNode): Promise<void> {
  const version = node.running;
  await node.boot(version);
  const record = await fleet.nodes.get(node.id);
  if (record?.state === 'pending') {
    await fleet.approve(node.id, record.words, { actor: 'operator:sim', at: Date.now() });
  }
  await node.announce();
  // The install issue sets this where an installation is done; here nothing is installed.
  await fleet.nodes.update(node.id, (now) => {
    if (now === null || now.installedAt !== null) return { outcome: { kind: 'same' } };
    const at = Date.now();
    const step = { to: 'healthy', at, actor: 'sim', action: 'install', reason: 'simulated' } as const;
    const set = { wanted: { mode: 'installed', image: version, wipe: false } as const, installedAt: at };
    return { outcome: take(now, { ...step, set }) };
  });
}
