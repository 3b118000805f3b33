/**
 * Many simulated nodes in one process, each with an address, an SSH server and keys of its own. They enter the fleet's
 * records through a NodeDirectory, as the boot server enters real ones.
 */
import { createHash } from 'node:crypto';
import { createLogger } from '../../base/log.ts';
import type { Enrolment } from '../../bootserver/enroll/protocol.ts';
import type { OrderPublicKeys } from '../../keys/order.ts';
import { FleetDirectory } from '../../orchestrator/fleet/directory.ts';
import type { Fleet } from '../../orchestrator/fleet/fleet.ts';
import { take } from '../../orchestrator/fleet/outcome.ts';
import { type Faults, noFaults } from './fault.ts';
import { SIM_TIMES, SimNode, type SimTimes } from './node.ts';
import { type SimSshd, simSshd } from './ssh.ts';

export type SimFleetOptions = {
  fleet: Fleet;
  count: number;
  /** Names of sites that exist; nodes take turns. */
  sites: readonly string[];
  /** What all of them run at first. */
  version: string;
  /** The orchestrator's SSH key, as the nodes know it. */
  clientPub: string;
  orderKeys: OrderPublicKeys;
  faults?: Faults;
  times?: Partial<SimTimes>;
  signal: AbortSignal;
};

export type SimFleet = {
  readonly nodes: readonly SimNode[];
  /** Every node's sshd listens on this port, each on an address of its own in 127.0.0.0/8. */
  readonly port: number;
  close(): Promise<void>;
};

const addressOf = (n: number) => `127.66.${1 + Math.floor(n / 250)}.${1 + (n % 250)}`;
const digest = (...words: (string | number)[]) => createHash('sha256').update(words.join(' ')).digest('hex');

/** The nodes are up, approved and installed when this resolves. */
export async function startSimFleet(options: SimFleetOptions): Promise<SimFleet> {
  const { fleet, sites, count, signal } = options;
  const log = createLogger('sim', 'silent');
  const directories = sites.map(
    (site) => new FleetDirectory({ fleet, site, log, defaultImage: async () => options.version }),
  );
  const servers: SimSshd[] = [];
  const first = await simSshd(options.clientPub, addressOf(0), 0);
  const { port } = first;
  servers.push(first);
  for (let n = 1; n < count; n += 1) servers.push(await simSshd(options.clientPub, addressOf(n), port));

  const nodes = servers.map(
    (server, n) =>
      new SimNode({
        id: `tpm-${digest('ek', n)}`,
        number: n,
        version: options.version,
        orderKeys: options.orderKeys,
        faults: options.faults ?? noFaults,
        times: { ...SIM_TIMES, ...options.times },
        signal,
        onUp: async (node) => {
          server.up(node.hostKey.file, node.handlers);
          await enrolled(directories[n % directories.length]!, node).catch((error: unknown) => {
            // The lab is closing, or Redis is away: a real node would try again.
            if (!signal.aborted) return retry(directories[n % directories.length]!, node, error);
          });
        },
        onDown: (_node, how) => server.down(how),
      }),
  );
  for (let at = 0; at < nodes.length; at += 20) {
    await Promise.all(nodes.slice(at, at + 20).map((node) => enter(fleet, node, options.version)));
  }
  return {
    nodes,
    port,
    async close() {
      await Promise.all(servers.map((server) => server.close()));
    },
  };
}

async function retry(directory: FleetDirectory, node: SimNode, last: unknown): Promise<void> {
  const { bootId } = node;
  for (let attempt = 0; attempt < 40 && node.bootId === bootId; attempt += 1) {
    await new Promise((resolve) => setTimeout(resolve, 250));
    if (
      await enrolled(directory, node).then(
        () => true,
        () => false,
      )
    )
      return;
  }
  throw last;
}

/** Up for the first time, and approved by its four words. */
async function enter(fleet: Fleet, node: SimNode, version: string): Promise<void> {
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

async function enrolled(directory: FleetDirectory, node: SimNode): Promise<void> {
  const n = node.number;
  const ek = digest('ek', n);
  const hex = n.toString(16).padStart(6, '0');
  const enrolment: Enrolment = {
    id: node.id,
    ekDigest: ek,
    akName: `000b${digest('ak', n)}`,
    spkiDigest: digest('csr', n, node.bootId),
    hostKey: node.hostKey.line,
    words: ['simulated', 'node', `n${n}`, node.bootId.slice(0, 4)],
    inventory: {
      uuid: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
      manufacturer: 'Bootwave',
      product: 'simulated node',
      serial: `SIM${n}`,
      firmware: { kind: 'uefi', vendor: 'simulated', version: '1', date: '01/01/2026' },
      secureBoot: 'on',
      cpu: { model: 'simulated', threads: 1 },
      memory: 2 ** 31,
      nics: [
        {
          name: 'eth0',
          mac: `52:54:01:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4)}`,
          driver: 'sim',
          speed: null,
        },
      ],
      disks: [],
      tpm: { manufacturer: 'SIM', firmware: '1' },
    },
    running: { version: node.running, kernel: '6.1.0', bootId: node.bootId },
    ekCertificate: { verified: false, reason: 'simulated' },
    clock: null,
    pcrs: { '7': digest('pcr7'), '11': node.status().running.pcr11 ?? '' },
    token: null,
    address: addressOf(n),
    at: Date.now(),
  };
  const decision = await directory.enrol(enrolment);
  if (decision.state !== 'approved') return;
  const serial = digest('certificate', enrolment.spkiDigest).slice(0, 16);
  const { at, spkiDigest, running } = enrolment;
  await directory.recordCertificate(node.id, {
    serial,
    spkiDigest,
    notBefore: at,
    notAfter: at + 86_400_000,
  });
  await directory.heartbeat(node.id, serial, { running, uptime: 1, healthy: true, reason: '' });
}
