/** Any record of a fleet, with anything in it changed, taken away, doubled or put back to what it was. */
import { copyFile } from 'node:fs/promises';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { BootwaveError } from '../../../base/error.ts';
import { journalFile } from '../../../orchestrator/fleet/decisions/journal.ts';
import { STATES } from '../../../orchestrator/fleet/transitions.ts';
import type { Enrolment } from '../../../protocol/enrolment/messages.ts';
import { enrolment } from '../../orchestrator/fleet/support.ts';
import { by, server } from './server.ts';

const RUNS = 60;
type Dump = Map<string, Buffer>;

async function dump(redis: Redis): Promise<Dump> {
  const keys = await redis.keys('*');
  return new Map(await Promise.all(keys.map(async (key) => [key, (await redis.dumpBuffer(key))!] as const)));
}

async function load(redis: Redis, from: Dump): Promise<void> {
  await redis.flushall();
  for (const [key, bytes] of from) await redis.restore(key, 0, bytes);
}

/** Members, one that waits, one that has left, one that is expected, and a site that takes only expected ones. */
async function populated(t: ExecutionContext) {
  const world = await server(t);
  const { redis, paths, fleet, directory, admit } = world;
  await fleet.sites.add('munich', {}, by);
  for (const n of [1, 2, 4]) await admit(enrolment(n));
  await directory.enrol(enrolment(3));
  await fleet.expect({ site: 'default', criteria: { serial: 'SN5' }, expiresAt: null }, by);
  const before = await dump(redis);
  await fleet.retire(enrolment(4).id, 'sold', by);
  await fleet.sites.set('munich', { acceptUnknown: false, noTpm: 'refuse' }, by);
  await copyFile(journalFile(paths), `${journalFile(paths)}.kept`);
  return { ...world, before, now: await dump(redis) };
}

/** What somebody writes who knows all about our records, and what somebody writes who does not. */
const value = fc.oneof(
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
  fc.string({ maxLength: 20 }),
);
const act = fc.record({
  key: fc.nat(),
  how: fc.constantFrom('body', 'state', 'field', 'drop', 'delete', 'back', 'copy', 'join', 'leave', 'forget'),
  field: fc.nat(),
  other: fc.nat(),
  value,
});
type Act = { key: number; how: string; field: number; other: number; value: unknown };

const pick = <T>(all: readonly T[], n: number): T | undefined => all[n % Math.max(1, all.length)];
const text = (given: unknown) => (typeof given === 'string' ? given : JSON.stringify(given));

/** Replaces one leaf, or one branch, of a JSON text. */
function changed(body: string, n: number, given: unknown): string {
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

async function apply(
  redis: Redis,
  before: Dump,
  { key: n, how, field: f, other, value: given }: Act,
): Promise<void> {
  const keys = (await redis.keys('*')).sort();
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

test('nobody gets a place, or a certificate, that they would not have had', async (t) => {
  const { redis, paths, open, asks, before, now } = await populated(t);
  /** Refusals and errors of ours are fine: the fleet may be stalled. */
  const stalls = async <T>(question: Promise<T>): Promise<T | null> =>
    question.catch((error: unknown) => {
      if (error instanceof BootwaveError) return null;
      throw error;
    });
  let stalled = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 1, maxLength: 6 }), fc.boolean(), async (acts, restarts) => {
      await load(redis, now);
      await copyFile(`${journalFile(paths)}.kept`, journalFile(paths));
      let running = await open();
      // What Redis itself refuses was not done.
      for (const one of acts) await apply(redis, before, one).catch(() => {});
      if (restarts) {
        const again = await open().catch(() => null);
        // A server that does not start lets nobody in.
        if (again === null) {
          stalled += 1;
          return;
        }
        running = again;
      }
      const { directory, at } = running;
      const outcome = async (one: Enrolment, of = directory) => {
        const enrolled = await stalls(of.enrol(one));
        const told = await stalls(asks(one, of));
        return [enrolled?.state, told];
      };
      for (const one of [enrolment(3), enrolment(4, 2), enrolment(6)])
        for (const said of await outcome(one)) t.false(said?.startsWith('approved') ?? false, `${said}`);
      t.not(
        (await stalls(at('munich').enrol(enrolment(7))))?.state,
        'pending',
        'where nobody is let in unexpected',
      );
      const [member] = await outcome(enrolment(1, 2));
      if (member !== 'approved') stalled += 1;
    }),
    { numRuns: RUNS, includeErrorInReport: true },
  );
  t.true(stalled < RUNS / 2, `the member came back in all runs but ${stalled}`);
});
