/**
 * The fleet's state `updating`: from the order that disrupts a node until its rollout is done with it, let go of it, or
 * has ended. It is set when orders are carried out, and ended by a regular look, never by an event: so no node stays in
 * it, even if a process was killed or an event was lost.
 */
import type { Logger } from '../../../base/log.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import { KEYS } from '../../fleet/keys.ts';
import { take } from '../../fleet/outcome.ts';
import type { NodeRecord } from '../../fleet/record.ts';
import { mayBecome } from '../../fleet/transitions.ts';
import { holdersOf } from '../../upkeep/holders.ts';
import { keepLooking } from '../../upkeep/look.ts';
import { type StepState, UNDER_WAY } from '../node-step.ts';
import { ROLLOUT_KEYS } from './keys.ts';

/** Nodes whose records are written at the same time. */
const AT_ONCE = 50;
/** The step of the node's record in the rollout for which something is done. */
export type Fence = { state: StepState; epoch: number };

/**
 * This node is about to be disrupted by an order of this rollout.
 * @param image what the fleet wants it to run from now on, also when it boots from the network; null leaves that as it is
 * @param stays the node is not disturbed, and keeps its state: it is about its next boot
 */
export async function markUpdating(
  fleet: Fleet,
  node: string,
  {
    rollout,
    image,
    at,
    while: fence,
    stays = false,
  }: { rollout: string; image: string | null; at: number; while: Fence; stays?: boolean },
): Promise<void> {
  const key = ROLLOUT_KEYS.node(rollout, node);
  const ops = [{ op: 'is', key, ...fence } as const];
  await fleet.nodes.update(node, async (record) => {
    // A process that was stopped in the middle and wakes up has an outdated wish.
    const [now, epoch] = await fleet.redis.hmget(key, 'state', 'epoch');
    const isOver = now !== fence.state || epoch !== String(fence.epoch);
    if (record === null || isOver) return { outcome: { kind: 'same' } };
    const { state, wanted } = record;
    // Other code decides the state of a node that is being installed or is fenced.
    const to = !stays && mayBecome(state, 'updating') ? 'updating' : state;
    const changes = image !== null && image !== wanted.image;
    if (to === state && !changes) return { outcome: { kind: 'same' } };
    const step = { to, at, actor: 'rollout' } as const;
    if (!changes)
      return {
        outcome: take(record, { ...step, action: 'update', reason: `by ${rollout}` }),
        extras: { ops },
      };
    const set = { wanted: { ...wanted, image } };
    return {
      outcome: take(record, { ...step, action: 'want', reason: `${image}, by ${rollout}`, set }),
      extras: { ops },
    };
  });
}

/** The state of a node by its own last heartbeat. The fleet's sweeper finds a silent one, as always. */
export function stateByHeartbeat({
  observed: { healthy },
}: Pick<NodeRecord, 'observed'>): 'enrolled' | 'healthy' | 'degraded' {
  if (healthy === null) return 'enrolled';
  return healthy ? 'healthy' : 'degraded';
}

/**
 * Ends `updating` for every node that no rollout has under way.
 * @param now milliseconds since the epoch
 * @returns their ids
 */
export async function settleUpdating(fleet: Fleet, now: number): Promise<string[]> {
  const { redis } = fleet;
  const ids = await redis.smembers(KEYS.nodesInState('updating'));
  const under = await underWay(fleet, ids);
  const over = ids.filter((id) => !under.has(id));
  const settled: string[] = [];
  const settle = async (id: string) => {
    const done = await fleet.nodes.update(id, async (record) => {
      // Checked again beside the record: a rollout may have taken it since.
      if (record?.state !== 'updating' || (await underWay(fleet, [id])).has(id)) {
        return { outcome: { kind: 'same' } };
      }
      const step = { to: stateByHeartbeat(record), at: now, actor: 'rollout', action: 'settle' } as const;
      return { outcome: take(record, { ...step, reason: 'no rollout has it under way' }) };
    });
    if (done.kind === 'changed') settled.push(id);
  };
  for (let i = 0; i < over.length; i += AT_ONCE) await Promise.all(over.slice(i, i + AT_ONCE).map(settle));
  return settled;
}

async function underWay({ redis }: Fleet, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  const held = [...(await holdersOf(redis, ids))].map(([id, rollout]) => ({ id, rollout }));
  const pipeline = redis.pipeline();
  for (const { id, rollout } of held) pipeline.hget(ROLLOUT_KEYS.node(rollout, id), 'state');
  const states = (await pipeline.exec()) ?? [];
  return new Set(
    held.flatMap(({ id }, i) => {
      const [error, state] = states[i] ?? [];
      if (error) throw error;
      return UNDER_WAY.includes(state as StepState) ? [id] : [];
    }),
  );
}

/** Settles until the signal aborts; of several orchestrators one at a time does the work. Never rejects. */
export function keepSettling(options: {
  fleet: Fleet;
  log: Logger;
  /** Milliseconds between two looks, at least. */
  every: number;
  signal: AbortSignal;
}): Promise<void> {
  const { fleet, log } = options;
  return keepLooking({ ...options, redis: fleet.redis, name: 'updating' }, async () => {
    const settled = await settleUpdating(fleet, Date.now());
    if (settled.length > 0) log.debug({ nodes: settled.length }, 'nodes are no longer updating');
  });
}
