/** What the agent's part of services is given: how it reaches others, and how often it does what. */
import type { AskServices } from '../../../../protocol/agent/services.ts';
import type { Order, OrderedService } from '../../../../protocol/order.ts';
import type { LinkLog } from '../link/server.ts';
import type { DownloadOptions } from '../release/download.ts';
import type { Mirrors } from '../release/from-mirrors.ts';
import type { NodeSecrets } from './node-secrets.ts';
import type { Probe } from './probe.ts';

export type ServicesParts = {
  ask: AskServices;
  /** The verified order in force; null before the first. */
  order(): { order: Order; digest: string } | null;
  /** Whether root has begun anything in this boot. */
  hasBegun(): Promise<boolean>;
  /** Fetches the metadata that releases a service, for root to see. @throws BootwaveError if it does not */
  release(service: OrderedService, order: Order, signal: AbortSignal): Promise<unknown>;
  /** HTTP URL of a bundle; null while no boot server is known. */
  bundleUrl(sha256: string): string | null;
  /** Near this node. */
  mirrors(sha256: string): Mirrors;
  /** Folder for bundles that were fetched and not taken yet; its own. */
  downloads: string;
  probe: Probe;
  secrets: Pick<NodeSecrets, 'heard' | 'bring' | 'errorOf'>;
  log: LinkLog;
  /** Milliseconds since the epoch. */
  now(): number;
  signal: AbortSignal;
  pace?: Partial<ServicesPace> & { download?: NonNullable<DownloadOptions['pace']> };
};

/** Milliseconds. */
export type ServicesPace = {
  tick: number;
  settled: number;
  unsettled: number;
  first: number;
  most: number;
  spread: number;
  hear: number;
};

export const PACE: ServicesPace = {
  tick: 1000,
  /** Between two looks at what runs, when all is as ordered and well; and when it is not. */
  settled: 60_000,
  unsettled: 10_000,
  /** Before what could not be fetched, or was refused, is tried again; doubles up to `most`. */
  first: 15_000,
  most: 300_000,
  /** Within which secrets that have changed are asked for. */
  spread: 30_000,
  /** Within which it is heard that what runs was withdrawn. */
  hear: 3600_000,
};
