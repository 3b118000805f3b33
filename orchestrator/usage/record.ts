/**
 * What is kept of a node's last word about what it uses: that word, and how fast its counters rose since the one before.
 * No history. A node can lie about its own numbers within their limits, and about nothing else. Pure.
 */
import { z } from 'zod';
import { type InstanceUsage, type Usage, usageSchema } from '../../protocol/link/usage.ts';

/** Null: unknown, because there was no word before in this boot, or the node cannot count it. */
const ratesSchema = z.object({
  /** Processors that were busy all the time: 1.5 are one and a half. */
  cpu: z.number().min(0).nullable(),
  /** Bytes a second. */
  disk: z.object({ read: z.number().min(0), written: z.number().min(0) }).nullable(),
  network: z.object({ received: z.number().min(0), sent: z.number().min(0) }).nullable(),
});
export type Rates = z.infer<typeof ratesSchema>;

export const usageRecordSchema = z.object({
  /** Milliseconds since the epoch, by the server's clock. */
  heard: z.number(),
  usage: usageSchema,
  rates: ratesSchema,
  /** By name of service. */
  services: z.record(z.string(), ratesSchema),
});
export type UsageRecord = z.infer<typeof usageRecordSchema>;

/** Milliseconds of the node between two words, below which they say nothing about speed. */
const LEAST = 1_000;

export const UNKNOWN: Rates = { cpu: null, disk: null, network: null };

/**
 * @param ordered names of the services that its order names: a node has no other
 * @param before its word before this one
 */
export function recordOf(
  told: Usage,
  ordered: ReadonlySet<string>,
  heard: number,
  before: UsageRecord | null,
): UsageRecord {
  const last = before !== null && before.usage.bootId === told.bootId ? before.usage : null;
  const passed = last === null ? 0 : told.at - last.at;
  // Asked twice at once, by two orchestrators.
  if (before !== null && last !== null && passed >= 0 && passed < LEAST) return before;
  const named = new Map<string, InstanceUsage>();
  for (const one of told.services)
    if (ordered.has(one.name) && !named.has(one.name)) named.set(one.name, one);
  const usage: Usage = { ...told, services: [...named.values()] };
  const between = (now: Counters, then: Counters | undefined): Rates =>
    then === undefined || passed <= 0 ? UNKNOWN : ratesOf(now, then, passed, usage.processors);
  const former = new Map((last?.services ?? []).map((one) => [one.name, one]));
  return {
    heard,
    usage,
    rates: between(usage, last ?? undefined),
    services: Object.fromEntries(usage.services.map((one) => [one.name, between(one, former.get(one.name))])),
  };
}

type Counters = Pick<Usage, 'cpu' | 'disk' | 'network'>;

/** @param passed milliseconds */
function ratesOf(now: Counters, then: Counters, passed: number, processors: number): Rates {
  /** A counter that went back began anew: what it counted since is the least that was used. */
  const rise = (a: number, b: number) => (a >= b ? a - b : a);
  const perSecond = (a: number, b: number) => (rise(a, b) * 1000) / passed;
  const cpu = now.cpu === null || then.cpu === null ? null : rise(now.cpu, then.cpu) / passed;
  return {
    // Both times are read a moment apart.
    cpu: cpu === null || cpu > processors * 1.1 ? null : Math.min(cpu, processors),
    disk:
      now.disk === null || then.disk === null
        ? null
        : {
            read: perSecond(now.disk.read, then.disk.read),
            written: perSecond(now.disk.written, then.disk.written),
          },
    network:
      now.network === null || then.network === null
        ? null
        : {
            received: perSecond(now.network.received, then.network.received),
            sent: perSecond(now.network.sent, then.network.sent),
          },
  };
}
