/** A fleet whose rollouts wait for others, as records on a real Redis: no machine answers, and the looks are called one by one. */
import type { ExecutionContext } from 'ava';
import type { Redis } from 'ioredis';
import { publishManifests } from '../../../../lab/sim/images.ts';
import { publishConfig } from '../../../../orchestrator/config/store.ts';
import type { Fleet } from '../../../../orchestrator/fleet/fleet.ts';
import type { Acting } from '../../../../orchestrator/operations/operation.ts';
import { start } from '../../../../orchestrator/operations/rollout/start.ts';
import type { OperatorEvent } from '../../../../orchestrator/rollout/event.ts';
import { ROLLOUT_KEYS } from '../../../../orchestrator/rollout/run/keys.ts';
import { operate } from '../../../../orchestrator/rollout/run/operate.ts';
import { readRollout, readState } from '../../../../orchestrator/rollout/run/stored.ts';
import { startWaiting } from '../../../../orchestrator/rollout/run/waiting.ts';
import { HOLDERS } from '../../../../orchestrator/upkeep/holders.ts';
import { silent } from '../../fleet/support.ts';
import { membersFor } from './members.ts';

export const BY = { actor: 'operator:ann', at: 1 };
export const DOCUMENT = { image: '2.0', nodes: { all: true }, waves: [{}] };

export async function worldFor(t: ExecutionContext) {
  const world = await membersFor(t);
  const { redis, fleet, paths } = world;
  await publishManifests(paths.images, ['1.0', '2.0', '3.0']);
  for (const version of ['1', '2'])
    await publishConfig(redis, JSON.stringify({ labels: { pool: version } }), version, BY);
  const acting = (fleet: Fleet): Acting =>
    ({
      ...{ fleet, paths, by: { ...BY, at: Date.now() } },
      identity: { actor: BY.actor, role: 'core', sites: [] },
    }) as unknown as Acting;
  const begin = async (
    spec: object,
    how: { after?: string; supersede?: string; preempt?: string; plan?: string } = {},
    by = fleet,
  ) => {
    const { id, later } = await start({ spec: JSON.stringify(spec), ...how }, acting(by));
    return [id, ...later] as [string, ...string[]];
  };
  const say = (id: string, event: OperatorEvent) => operate(redis, id, event);
  /** It has nodes under way: any step of the engine begins with some. */
  const move = (id: string) => say(id, { type: 'edit', by: BY.actor, changes: { onSpent: 'pause' } });
  /** It ends as if an engine had driven it there. */
  const end = async (id: string, state: 'done' | 'partial' | 'failed') => {
    const rollout = { ...(await readRollout(redis, id)), state, endedAt: 2, why: 'as the test says' };
    await redis.hset(ROLLOUT_KEYS.rollout(id), { state, body: JSON.stringify(rollout) });
    await redis.srem(ROLLOUT_KEYS.live, id);
    for (const node of (await readState(redis, id)).nodes.keys()) await redis.hdel(HOLDERS, node);
  };
  const look = () => startWaiting({ redis, fleet, paths, log: silent });
  const of = (id: string) => readRollout(redis, id);
  return { ...world, begin, say, move, end, look, of };
}

/** For a process that is killed after so many commands to Redis. */
export const dyingAfter = (redis: Redis, commands: number): Redis =>
  failing(redis, (command) => command >= commands);

/** For one command that Redis does not answer, before it is there again. */
export const failingAt = (redis: Redis, number: number): Redis =>
  failing(redis, (command) => command === number);

/** @param fails asked with the number of each command, from 0 */
function failing(redis: Redis, fails: (command: number) => boolean): Redis {
  let next = 0;
  return new Proxy(redis, {
    get(target, key) {
      const value = Reflect.get(target, key);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        next += 1;
        if (fails(next - 1)) throw new Error('killed');
        return value.apply(target, args);
      };
    },
  });
}

/** The states that a rollout went through, by the audit. */
export const told = async (world: Awaited<ReturnType<typeof worldFor>>, id: string) =>
  (await world.fleet.audit.read()).filter(({ detail }) => detail?.rollout === id).map(({ to }) => to);
