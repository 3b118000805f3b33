/** What a member is made of: its disk, trial, configuration and services, each given what it needs of the others. */
import { join } from 'node:path';
import type { AskConfig } from '../../../protocol/agent/config.ts';
import type { AskDisk } from '../../../protocol/agent/disk.ts';
import type { Remembered, Taken } from '../../../protocol/agent/machine.ts';
import type { AskServices } from '../../../protocol/agent/services.ts';
import type { Running } from '../../../protocol/enrolment/inventory.ts';
import type { Logs, LogsArgs } from '../../../protocol/link/logs.ts';
import type { Hello } from '../../../protocol/link/messages.ts';
import type { OrderPublicKeys } from '../../../protocol/order-envelope.ts';
import { type Machine, servedName } from '../../../protocol/release-target.ts';
import { bundleTarget, bundleUrlPath } from '../../../protocol/service/name.ts';
import type { Complaints } from './complaints.ts';
import { NodeConfig } from './config/node-config.ts';
import { configFile } from './config/record.ts';
import { NodeFlows } from './flows/node-flows.ts';
import type { Known } from './known.ts';
import type { LinkLog } from './link/server.ts';
import { OwnLists } from './own-lists.ts';
import { Probation } from './probation.ts';
import { Release } from './release/handlers.ts';
import { recordFile } from './release/kept-record.ts';
import { MetadataMemory } from './release/metadata-memory.ts';
import { mustBeReleased, type ReleasedParts, releasedTarget } from './release/released.ts';
import { NodeSecrets, type NodeSecretsParts } from './services/node-secrets.ts';
import { NodeServices } from './services/node-services.ts';
import type { Probe } from './services/probe.ts';
import type { UsagePlaces } from './usage/read.ts';
import { healthOf } from './vitals.ts';

export type AskOrders = {
  take(envelope: unknown): Promise<Taken>;
  memory(): Promise<Remembered>;
};

export type MemberParts = {
  askDisk: AskDisk;
  askConfig: AskConfig;
  services: {
    ask: AskServices;
    /** Whether root has begun any in this boot. */
    hasBegun(): Promise<boolean>;
    probe: Probe;
    secrets: Pick<NodeSecretsParts, 'ask' | 'server'>;
  };
  /** Names of the units that systemd counts as failed. */
  failedUnits(): Promise<readonly string[]>;
  /** Hands the firmware the Secure Boot lists that root prepared. */
  writeLists(): Promise<void>;
  /** The same with the lists of the running image. @returns names of variables */
  renewLists(): Promise<string[]>;
  restart(): Promise<void>;
  /** Whether something listens where the orchestrator connects. */
  reachable(): Promise<boolean>;
  running: Running;
  orderKeys: OrderPublicKeys;
  /** Asks root to judge orders. */
  orders: AskOrders;
  /** Where the kernel says what is used. */
  usage: UsagePlaces;
  /** What root says of what services have sent. */
  flows(): Promise<string>;
  /** What an instance has written. */
  logs(asked: LogsArgs): Promise<Logs>;
  /** Socket of root for commands in instances. */
  execs: string;
  /** The root of the fleet's release metadata that this image contains. */
  releaseRoot: Buffer;
  machine: Machine;
  /** Folders, see places.ts. */
  memory: string;
  downloads: string;
  socketPath: string;
  log: LinkLog;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds since the boot. */
  uptime(): number;
  signal: AbortSignal;
};

export type Assembled = {
  release: Release;
  probation: Probation;
  ownLists: OwnLists;
  config: NodeConfig;
  services: NodeServices;
  flows: NodeFlows;
  /** What was kept in memory is written to the partition that is now mounted in its place. */
  keep(): Promise<void>;
};

export const runningOf = ({ running }: Pick<MemberParts, 'running'>, { pcr11 }: Known): Hello['running'] => ({
  ...running,
  pcr11,
});

/** @param well milliseconds of health without a break, before an image is good */
export function assemble(parts: MemberParts, known: Known, complaints: Complaints, well: number): Assembled {
  const attempt = complaints.attempt.bind(complaints);
  const mirrors = (sha256: string) => ({ addresses: known.mirrors.get(sha256) ?? [] });
  const keep = () =>
    attempt('orders and records were not kept', async () => {
      await known.book?.keep();
      await release.keep();
      await metadata.keep();
      await config.keep();
    });
  const metadata = new MetadataMemory(join(parts.memory, 'releases'));
  const released: ReleasedParts = {
    root: parts.releaseRoot,
    machine: parts.machine,
    memory: metadata,
    images: () => known.images,
    now: () => parts.now(),
  };
  const release = new Release({
    get node() {
      return known.node;
    },
    get running() {
      return runningOf(parts, known);
    },
    order: () => known.book?.inForce ?? null,
    health: () => healthOf(known.vitals),
    ask: parts.askDisk,
    records: recordFile(join(parts.memory, 'release.json')),
    downloads: parts.downloads,
    mustBeReleased: (image, order, signal) => mustBeReleased(image, order, released, signal),
    imageUrl: ({ version, sha256 }) => known.images && `${known.images}/${servedName(version, sha256)}`,
    mirrors,
    writeLists: () => parts.writeLists(),
    warn: (text) => parts.log.warn({}, text),
    restart: () => parts.restart(),
    installed: keep,
    now: () => parts.now(),
  });
  const probation = new Probation({
    release,
    vitals: () => known.vitals,
    reachable: () => parts.reachable(),
    reached: (link) => {
      known.vitals = { ...known.vitals, link };
    },
    attempt,
    log: parts.log,
    uptime: () => parts.uptime(),
    well,
  });
  const ownLists = new OwnLists({
    renew: () => parts.renewLists(),
    attempt,
    log: parts.log,
  });
  const config = new NodeConfig({
    ask: parts.askConfig,
    records: configFile(join(parts.memory, 'config.json')),
    order: () => known.book?.inForce ?? null,
  });
  const services = new NodeServices({
    ...parts.services,
    secrets: new NodeSecrets({ ...parts.services.secrets, signal: parts.signal }),
    order: () => known.book?.inForce ?? null,
    release: (service, order, signal) => releasedTarget(bundleTarget(service), order, released, signal),
    bundleUrl: (sha256) => known.images && new URL(bundleUrlPath(sha256), known.images).href,
    mirrors,
    downloads: join(parts.downloads, 'bundles'),
    log: parts.log,
    now: () => parts.now(),
    signal: parts.signal,
  });
  const flows = new NodeFlows({
    read: () => parts.flows(),
    hasBegun: () => parts.services.hasBegun(),
    versions: () => new Map(services.told().map(({ name, runs }) => [name, runs])),
    uptime: () => parts.uptime(),
    log: parts.log,
    signal: parts.signal,
  });
  return { release, probation, ownLists, config, services, flows, keep };
}
