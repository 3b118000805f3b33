/** What somebody does with any record of a fleet in Redis: change it, take it away, double it, put it back to what it was. */
import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { simPcr11 } from '../../../lab/sim/node.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { STATES } from '../../../orchestrator/fleet/transitions.ts';
import { orderKey } from '../../../orchestrator/orders/issued.ts';
import { digestOf, makeDocument } from '../../../protocol/configuration/document.ts';
import { enrolment } from '../../orchestrator/fleet/support.ts';

export type Dump = Map<string, Buffer>;

export async function dump(redis: Redis): Promise<Dump> {
  const keys = await redis.keys('*');
  return new Map(await Promise.all(keys.map(async (key) => [key, (await redis.dumpBuffer(key))!] as const)));
}

export async function load(redis: Redis, from: Dump): Promise<void> {
  // At once: each write of its own waits for the disk.
  const all = redis.multi().flushall();
  for (const [key, bytes] of from) all.restore(key, 0, bytes);
  await all.exec();
}

/** Published here, by people or by somebody, and rolled out by nobody. */
const document = makeDocument({ dns: ['6.6.6.6'] }, 'denied');
export const DENIED = {
  image: { version: '3.0', sha256: simPcr11('3.0'), size: 1_000_000 },
  config: digestOf(document),
};

/** What somebody writes who knows all about our records, and what somebody writes who does not. */
export const value = fc.oneof(
  fc.constantFrom<unknown>(
    ...STATES,
    'default',
    'munich',
    'open',
    'used',
    'SN3',
    'SN6',
    true,
    false,
    null,
    0,
    1,
    99,
    {},
    [],
  ),
  fc.constantFrom<unknown>(enrolment(3).id, enrolment(3).akName, enrolment(3).spkiDigest, enrolment(6).id),
  fc.constantFrom<unknown>(
    '1.0',
    '2.0',
    DENIED.image.version,
    DENIED.config,
    'netboot',
    'installed',
    DENIED.image,
  ),
  fc.string({ maxLength: 20 }),
);
export const act = fc.record({
  key: fc.nat(),
  how: fc.constantFrom(
    'order',
    'want',
    'body',
    'state',
    'field',
    'drop',
    'delete',
    'back',
    'copy',
    'join',
    'leave',
    'forget',
  ),
  field: fc.nat(),
  other: fc.nat(),
  value,
});
export type Act = { key: number; how: string; field: number; other: number; value: unknown };

const pick = <T>(all: readonly T[], n: number): T | undefined => all[n % Math.max(1, all.length)];
const text = (given: unknown) => (typeof given === 'string' ? given : JSON.stringify(given));

/** Replaces one leaf, or one branch, of a JSON text. */
export function changed(body: string, n: number, given: unknown): string {
  const root = { body: JSON.parse(body) as unknown };
  const places: [Record<string, unknown>, string][] = [];
  const walk = (node: Record<string, unknown>) => {
    for (const [name, inside] of Object.entries(node)) {
      places.push([node, name]);
      if (inside !== null && typeof inside === 'object') walk(inside as Record<string, unknown>);
    }
  };
  walk(root);
  const [node, name] = pick(places, n)!;
  node[name] = given;
  return JSON.stringify(root.body);
}

/** Of an order, and of what is wanted of a node, what somebody would change who knows what it means. */
const WORTH: { [how in 'order' | 'want']: readonly (readonly [field: string, value?: unknown])[] } = {
  order: [
    ['image', DENIED.image],
    ['config', DENIED.config],
    ['config', null],
    ['mode', 'netboot'],
    ['wipe', true],
    ['node', enrolment(3).id],
    ['node', enrolment(2).id],
    ['epoch'],
    ['services'],
    ['forgiven'],
  ],
  want: [
    ['image', DENIED.image.version],
    ['image'],
    ['mode', 'netboot'],
    ['mode', 'installed'],
    ['wipe', true],
  ],
};

async function forge(
  redis: Redis,
  all: readonly string[],
  how: 'order' | 'want',
  n: number,
  f: number,
  given: unknown,
): Promise<void> {
  const prefix = how === 'order' ? orderKey('') : KEYS.node('');
  const key = pick(
    all.filter((one) => one.startsWith(prefix)),
    n,
  );
  const body = key === undefined ? null : await redis.hget(key, 'body');
  if (key === undefined || body === null) return;
  const record = JSON.parse(body);
  const part = how === 'order' ? record.order : record.wanted;
  const [field, value = given] = pick(WORTH[how], f)!;
  part[field] = value;
  // A number that was never signed, as a server takes the next one.
  if (how === 'order') part.epoch += 1;
  await redis.hset(key, { body: JSON.stringify(record), epoch: part.epoch ?? record.epoch });
}

export async function apply(
  redis: Redis,
  before: Dump,
  { key: n, how, field: f, other, value: given }: Act,
): Promise<void> {
  const keys = (await redis.keys('*')).sort();
  if (how === 'order' || how === 'want') return forge(redis, keys, how, n, f, given);
  const key = pick(keys, n);
  if (key === undefined) return;
  const type = await redis.type(key);
  if (how === 'delete') await redis.del(key);
  else if (how === 'back') {
    const bytes = before.get(key);
    if (bytes !== undefined) await redis.restore(key, 0, bytes, 'REPLACE');
  } else if (how === 'copy') await redis.copy(key, pick(keys, other)!, 'REPLACE');
  else if (type === 'set' && how === 'join') await redis.sadd(key, text(given));
  else if (type === 'set' && how === 'leave')
    await redis.srem(key, pick((await redis.smembers(key)).sort(), f) ?? '');
  else if (type === 'zset')
    await redis.zadd(key, Number.isFinite(given) ? Number(given) : 0, enrolment(3).id);
  else if (type === 'stream' && how === 'forget') await redis.xtrim(key, 'MAXLEN', f % 5);
  else if (type === 'stream') await redis.xadd(key, '*', 'entry', text(given), 'seal', text(given));
  else if (type === 'hash') {
    const fields = Object.keys(await redis.hgetall(key)).sort();
    const body = await redis.hget(key, 'body');
    const field = pick(fields, f) ?? 'state';
    if (how === 'drop') await redis.hdel(key, field);
    else if (how === 'state' && body !== null) {
      // As a server would write it, in every place.
      const record = { ...(JSON.parse(body) as object), state: given };
      await redis.hset(key, { state: text(given), body: JSON.stringify(record) });
    } else if (how === 'body' && body !== null) await redis.hset(key, 'body', changed(body, f, given));
    else await redis.hset(key, field, text(given));
  }
}
