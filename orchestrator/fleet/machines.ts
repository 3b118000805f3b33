import type { Redis } from 'ioredis';
import type { BootEvent } from '../../bootserver/directory.ts';
import { KEYS } from './keys.ts';
import { type Machine, machineSchema, sighted } from './machine.ts';
import { readStored } from './read-stored.ts';
import { script } from './script.ts';

/** Limits: anybody on the wire can invent MACs. */
const MACHINE_LIMITS = {
  /** Machines remembered; the one not seen for the longest time goes first. */
  machines: 20_000,
  /** Boot events kept per machine. */
  events: 50,
  /** Seconds that a machine is remembered after its last event. */
  life: 7 * 24 * 3600,
} as const;

/** Stores the machine and its event, forgets what is too old or too many. Best effort: no compare-and-set. */
const sawScript = script<number>(`
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1])
redis.call('LPUSH', KEYS[3], ARGV[3])
redis.call('LTRIM', KEYS[3], 0, tonumber(ARGV[6]) - 1)
redis.call('EXPIRE', KEYS[3], ARGV[7])
local old = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[5], 'LIMIT', 0, 100)
local over = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[8])
if over > 0 then
  for _, mac in ipairs(redis.call('ZRANGE', KEYS[1], 0, math.min(over, 1000) - 1)) do old[#old + 1] = mac end
end
if #old > 0 then
  redis.call('ZREM', KEYS[1], unpack(old))
  redis.call('HDEL', KEYS[2], unpack(old))
  -- Their events too: made-up MACs would otherwise fill the memory for as long as events live.
  for _, mac in ipairs(old) do redis.call('DEL', ARGV[9] .. mac) end
end
return #old
`);

export class MachineStore {
  readonly #redis: Redis;
  readonly #limits: { machines: number; events: number; life: number };

  constructor(redis: Redis, limits: { machines: number; events: number; life: number } = MACHINE_LIMITS) {
    this.#redis = redis;
    this.#limits = limits;
  }

  async saw(event: BootEvent, site: string): Promise<Machine> {
    const machine = sighted(await this.get(event.mac), event, site);
    const { machines, events, life } = this.#limits;
    await sawScript(
      this.#redis,
      [KEYS.machines, KEYS.machine, KEYS.boots(event.mac)],
      [
        event.mac,
        JSON.stringify(machine),
        JSON.stringify(event),
        String(event.at),
        String(event.at - life * 1000),
        String(events),
        String(life),
        String(machines),
        KEYS.boots(''),
      ],
    );
    return machine;
  }

  async get(mac: string): Promise<Machine | null> {
    const text = await this.#redis.hget(KEYS.machine, mac);
    return text === null ? null : readStored(machineSchema, text);
  }

  /** Every remembered machine by MAC, those with a node record too. */
  async all(): Promise<Map<string, Machine>> {
    const texts = await this.#redis.hvals(KEYS.machine);
    return new Map(
      texts.flatMap((text) => {
        const machine = readStored(machineSchema, text);
        return machine === null ? [] : [[machine.mac, machine]];
      }),
    );
  }

  /** The last boot events of a machine, oldest first. */
  async boots(mac: string): Promise<BootEvent[]> {
    const texts = await this.#redis.lrange(KEYS.boots(mac), 0, -1);
    return texts.map((text) => JSON.parse(text) as BootEvent).reverse();
  }
}
