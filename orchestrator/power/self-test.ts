/** A harmless look at one BMC: a BMC that fails is known before it is needed. */
import { createHash } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { jsonIn } from '../../base/json.ts';
import type { DataPaths } from '../../base/paths.ts';
import { at } from '../fleet/keys.ts';
import type { NodeRecord } from '../fleet/record.ts';
import type { Bmc } from './bmc.ts';
import type { Entry } from './book.ts';
import { judge } from './claim.ts';
import { nodeClaim, reach } from './reach.ts';
import { type NodeNetwork, WEAKNESSES, weaknesses } from './weak.ts';

const testSchema = z.object({
  /** Milliseconds since the epoch. */
  at: z.number(),
  /** Milliseconds that it took. */
  took: z.number(),
  ok: z.boolean(),
  power: z.enum(['on', 'off']).nullable(),
  /** Code of what is wrong; empty: nothing. */
  code: z.string(),
  what: z.string(),
  weaknesses: z.array(z.object({ code: z.enum(WEAKNESSES), what: z.string() })),
});
export type BmcTest = z.infer<typeof testSchema>;

/** Hash: node id -> its last test. */
const TESTS = at('power', 'tests');

/** Never throws for what the BMC does. */
export async function testBmc(
  paths: Pick<DataPaths, 'power' | 'keys'>,
  record: NodeRecord,
  networks: readonly NodeNetwork[],
  signal: AbortSignal,
): Promise<BmcTest> {
  const began = performance.now();
  const result = (found: Pick<BmcTest, 'ok' | 'power' | 'code' | 'what' | 'weaknesses'>): BmcTest => ({
    at: Date.now(),
    took: Math.round(performance.now() - began),
    ...found,
  });
  try {
    return await reach(paths, record, signal, async ({ bmc, entry }) =>
      result(await looked(bmc, entry, record, networks)),
    );
  } catch (error) {
    signal.throwIfAborted();
    const { code, what } =
      error instanceof BootwaveError ? error : { code: 'BMC_FAILED', what: messageOf(error).slice(0, 300) };
    return result({ ok: false, power: null, code, what, weaknesses: [] });
  }
}

/** What is found of a BMC that is the node's. */
export async function looked(
  bmc: Bmc,
  entry: Entry,
  record: Pick<NodeRecord, 'inventory'>,
  networks: readonly NodeNetwork[],
) {
  const power = await bmc.power();
  const found = weaknesses(entry, await bmc.holes(), networks);
  if (!entry.unproven && judge(nodeClaim(record), entry.claim) === 'other')
    found.push({
      code: 'node-differs',
      what: 'the node says another UUID and serial number now than its BMC: was its board changed, or is it owned?',
    });
  return { ok: true, power, code: '', what: '', weaknesses: found };
}

/** Those of the interfaces on which this process serves nodes. */
export function networksOf(interfaces: readonly string[]): NodeNetwork[] {
  const all = networkInterfaces();
  return interfaces.flatMap((name) =>
    (all[name] ?? []).flatMap(({ cidr }) => (cidr === null ? [] : [{ interface: name, cidr }])),
  );
}

export async function keepTest(redis: Redis, node: string, test: BmcTest): Promise<void> {
  await redis.hset(TESTS, node, JSON.stringify(test));
}

export async function forgetTest(redis: Redis, node: string): Promise<void> {
  await redis.hdel(TESTS, node);
}

export async function testsOf(redis: Redis, nodes: readonly string[]): Promise<Map<string, BmcTest>> {
  if (nodes.length === 0) return new Map();
  const bodies = await redis.hmget(TESTS, ...nodes);
  return new Map(
    nodes.flatMap((node, i) => {
      const parsed = testSchema.safeParse(jsonIn(bodies[i] ?? ''));
      return parsed.success ? [[node, parsed.data] as const] : [];
    }),
  );
}

export type TestTimes = {
  /** Milliseconds from a good test to the next one, and from one that failed. */
  good: number;
  failed: number;
};
export const TEST_TIMES: TestTimes = { good: 24 * 3600_000, failed: 3600_000 };

/**
 * When a BMC is looked at again: a quarter of the time earlier or later, another one each time, so that a thousand that were
 * set together are not asked together. The same for everybody who asks.
 */
export function nextTest(node: string, last: BmcTest | undefined, times: TestTimes = TEST_TIMES): number {
  if (last === undefined) return 0;
  const wait = last.ok ? times.good : times.failed;
  const draw = createHash('sha256').update(`${node} ${last.at}`).digest().readUInt32BE() / 2 ** 32;
  return last.at + wait * (0.75 + draw / 2);
}
