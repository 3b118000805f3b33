/** The last power action of each node, in Redis: what became of it is found out by whichever orchestrator looks next. */
import type { Redis } from 'ioredis';
import { jsonIn } from '../../base/json.ts';
import { at } from '../fleet/keys.ts';
import { script } from '../fleet/script.ts';
import { type Action, actionSchema } from './seen.ts';

/** Hash: node id -> its last action. */
const LAST = at('power', 'last');
/** Set: ids of nodes whose last action nobody has seen the end of. */
const WAITING = at('power', 'waiting');

/** Only if it is still the last one. */
const replaceScript = script<number>(`
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
if ARGV[4] == 'ended' then redis.call('SREM', KEYS[2], ARGV[1]) end
return 1
`);

export class Actions {
  readonly #redis: Redis;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  async begin(node: string, action: Action): Promise<void> {
    await this.#redis.multi().hset(LAST, node, bodyOf(action)).sadd(WAITING, node).exec();
  }

  /** @returns false: another action has begun, or another process was first */
  async replace(node: string, before: Action, after: Action): Promise<boolean> {
    const ended = after.verdict === 'waiting' ? '' : 'ended';
    const args = [node, bodyOf(before), bodyOf(after), ended];
    return (await replaceScript(this.#redis, [LAST, WAITING], args)) === 1;
  }

  async of(node: string): Promise<Action | null> {
    return readAction(await this.#redis.hget(LAST, node));
  }

  async waiting(): Promise<Map<string, Action>> {
    const nodes = await this.#redis.smembers(WAITING);
    if (nodes.length === 0) return new Map();
    const bodies = await this.#redis.hmget(LAST, ...nodes);
    const found = new Map<string, Action>();
    for (const [i, node] of nodes.entries()) {
      const action = readAction(bodies[i] ?? null);
      if (action !== null && action.verdict === 'waiting') found.set(node, action);
      else await this.#redis.srem(WAITING, node);
    }
    return found;
  }
}

/** The same text for the same action, whoever made it. */
const bodyOf = (action: Action): string => JSON.stringify(actionSchema.parse(action));

/** What cannot be understood is no action. */
function readAction(body: string | null): Action | null {
  const parsed = actionSchema.safeParse(body === null ? null : jsonIn(body));
  return parsed.success ? parsed.data : null;
}
