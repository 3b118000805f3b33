/** A server that starts again with a snapshot looks only at what is new in Redis, and at the rest afterwards. */
import { readFile, writeFile } from 'node:fs/promises';
import test, { type ExecutionContext } from 'ava';
import { createLogger } from '../../../../base/log.ts';
import {
  type Entry,
  sealBan,
  sealDecided,
  sealMembership,
} from '../../../../orchestrator/fleet/decisions/entry.ts';
import { DecisionJournal, journalFile } from '../../../../orchestrator/fleet/decisions/journal.ts';
import { DecisionKeeper } from '../../../../orchestrator/fleet/decisions/keeper.ts';
import { DecisionsOnDisk } from '../../../../orchestrator/fleet/decisions/on-disk.ts';
import { Fleet } from '../../../../orchestrator/fleet/fleet.ts';
import { KEYS } from '../../../../orchestrator/fleet/keys.ts';
import { redisFor, testSealed, testSealer } from '../support.ts';

const by = { actor: 'operator:ann', reason: 'test', at: 1 };
const { signal } = new AbortController();
const record = (n: number): Entry =>
  sealDecided({ kind: 'record', ...by, key: `k${n}`, epoch: 1, body: `${n}` });
const place = (node: string, number: number) =>
  sealMembership({ kind: 'membership', ...by, node, number, place: null });
const ban = (node: string) =>
  sealBan({ kind: 'ban', ...by, name: null, nodes: [node], serials: [], keys: [] });

/** Which seals are believed. */
type Judge = (text: string, seal: string) => Promise<boolean>;

async function server(t: ExecutionContext) {
  const { redis, paths } = await redisFor(t);
  const fleet = new Fleet(redis, testSealer);
  const path = journalFile(paths);
  const written: string[] = [];
  const log = createLogger('test', 'warn', { write: (line: string) => void written.push(line) } as never);
  const seal = await testSealer();
  const add = async (...entries: Entry[]) => {
    const all = redis.pipeline();
    for (const { text } of entries) all.xadd(KEYS.bans, '*', 'entry', text, 'seal', seal(text));
    await all.exec();
  };
  /** How much was read of Redis since it was asked last. */
  let read = 0;
  const xrange = redis.xrange.bind(redis);
  redis.xrange = (async (...args: Parameters<typeof xrange>) => {
    const found = await xrange(...args);
    read += found.length;
    return found;
  }) as never;
  const lines = () => {
    const had = read;
    read = 0;
    return had;
  };
  /** As a process that has just started. */
  const start = async (sealed: Judge = testSealed) => {
    const journal = new DecisionJournal(path, new DecisionsOnDisk(path));
    const keeper = await DecisionKeeper.open({ fleet, journal, holds: async () => true, sealed, log });
    return keeper;
  };
  const first = await start();
  await add(...Array.from({ length: 700 }, (_, n) => record(n)));
  await first.look();
  lines();
  return { redis, path, fleet, add, start, first, lines, written, seal };
}

test('it reads what is new, and knows all', async (t) => {
  const { add, start, first, lines } = await server(t);
  await first.keepSnapshot();
  await add(record(700), ban('a'));
  const again = await start();
  await again.look();
  t.is(lines(), 3);
  t.is(again.set.entries.length, 702);
  t.not(again.banOf({ id: 'a' }), null);
});

test('without a snapshot it reads all, and says so if there should be one', async (t) => {
  const { path, start, first, lines, written } = await server(t);
  await start().then((again) => again.look());
  t.is(lines(), 700);
  t.regex(written.join(''), /DECISIONS_SNAPSHOT.*there is none/);
  await first.keepSnapshot();
  const text = await readFile(`${path}.snapshot`, 'utf8');
  await writeFile(`${path}.snapshot`, text.replace('operator:ann', 'operator:eve'));
  written.length = 0;
  const again = await start();
  await again.look();
  t.is(lines(), 700);
  t.regex(written.join(''), /DECISIONS_SNAPSHOT.*damaged or was changed/);
  t.is(again.set.entries.length, 700);
  t.true(again.set.entries.every(({ actor }) => actor === by.actor));
});

test('what Redis lost of what the snapshot has is put back afterwards, and believed meanwhile', async (t) => {
  const { redis, fleet, add, start, first, written } = await server(t);
  await add(ban('a'), place('a', 1), record(900));
  await first.look();
  await first.keepSnapshot();
  const all = await redis.xrange(KEYS.bans, '-', '+');
  for (const [key, [, text]] of all)
    if (text?.includes('"nodes":["a"]') || text?.includes('"node":"a"') || text?.includes('"k5"'))
      await redis.xdel(KEYS.bans, key);
  const again = await start();
  await again.look();
  t.not(again.banOf({ id: 'a' }), null);
  t.is((await fleet.decisionLog.set()).banOf({ id: 'a' }), null, 'not yet');
  await again.compare(signal);
  t.not((await fleet.decisionLog.set()).banOf({ id: 'a' }), null);
  t.not((await fleet.decisionLog.set()).decided.node('a'), undefined);
  t.is(await redis.xlen(KEYS.bans), all.length);
  t.regex(written.join(''), /lost decisions.*put back/);
  // Once.
  await again.compare(signal);
  t.is(await redis.xlen(KEYS.bans), all.length);
});

test('a Redis with another end, or a shorter log, is read as a whole at once', async (t) => {
  const { redis, fleet, add, start, first } = await server(t);
  await add(ban('a'));
  await first.look();
  await first.keepSnapshot();
  await redis.del(KEYS.bans);
  await add(ban('b'));
  const again = await start();
  await again.look();
  t.not(again.banOf({ id: 'b' }), null);
  t.not((await fleet.decisionLog.set()).banOf({ id: 'a' }), null);
  t.is((await fleet.decisionLog.set()).decided.entries.length, 700);
});

test('who keeps lines for later and plays them behind the end changes nothing', async (t) => {
  const { add, start, first } = await server(t);
  await add(place('a', 1), place('a', 2));
  await first.look();
  await first.keepSnapshot();
  await add(place('a', 1));
  const again = await start();
  await again.look();
  await again.compare(signal);
  t.is(again.set.decided.node('a')?.number, 2);
});

test('what was not believed is looked at again by the next start: the key of another server may be here by then', async (t) => {
  const { add, start, lines } = await server(t);
  await add(ban('a'), record(900));
  const early = await start(async (text, seal) => !text.includes('"nodes":["a"]') && testSealed(text, seal));
  await early.look();
  await early.keepSnapshot();
  t.is(early.banOf({ id: 'a' }), null);
  lines();
  const later = await start();
  await later.look();
  t.true(lines() > 700);
  t.not(later.banOf({ id: 'a' }), null);
});

test('lines that only a later version can read are looked at again', async (t) => {
  const { redis, start, lines, seal } = await server(t);
  await redis.xadd(KEYS.bans, '*', 'entry', '{"kind":"later"}', 'seal', seal('{"kind":"later"}'));
  const early = await start();
  await early.look();
  await early.keepSnapshot();
  lines();
  await start().then((later) => later.look());
  t.true(lines() > 700);
});

test('hidden before the end of what was read: it is learned when all is compared', async (t) => {
  const { redis, seal, start, first } = await server(t);
  await first.keepSnapshot();
  // The owner of Redis puts the log there anew, with the same end and more in it.
  const all = await redis.xrange(KEYS.bans, '-', '+');
  const [hidden, anew] = [ban('z'), redis.pipeline().del(KEYS.bans)];
  anew.xadd(KEYS.bans, '1-1', 'entry', hidden.text, 'seal', seal(hidden.text));
  for (const [key, fields] of all) anew.xadd(KEYS.bans, key, ...fields);
  await anew.exec();
  const again = await start();
  await again.look();
  t.is(again.banOf({ id: 'z' }), null);
  await again.compare(signal);
  t.not(again.banOf({ id: 'z' }), null);
  t.true((await start()).banOf({ id: 'z' }) !== null, 'and it is on the disk');
});

test('few lines are read quickly as they are: no snapshot is written for them', async (t) => {
  const { path, first, add } = await server(t);
  await first.keepSnapshot();
  const before = await readFile(`${path}.snapshot`, 'utf8');
  await add(ban('a'));
  await first.look();
  await first.keepSnapshot();
  t.is(await readFile(`${path}.snapshot`, 'utf8'), before);
});
