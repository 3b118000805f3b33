/** Whoever can write to Redis can change the history there; that it was changed, by what and from where on, is seen. */
import { appendFile, readFile, truncate, writeFile } from 'node:fs/promises';
import test, { type ExecutionContext } from 'ava';
import type { Redis } from 'ioredis';
import { startSealer } from '../../../../orchestrator/fleet/audit/sealer.ts';
import { SealFile } from '../../../../orchestrator/fleet/audit/seals.ts';
import { sealAudit, verifyAudit } from '../../../../orchestrator/fleet/audit/verify.ts';
import { KEYS } from '../../../../orchestrator/fleet/keys.ts';
import { fleetFor, silent, temporaryData } from '../support.ts';

const NOW = 1_800_000_000_000;
const entry = (n: number) => ({ at: n, actor: 'test', action: 'note', reason: `entry ${n} \ud800 Ü` });

/** A history of `n` entries, sealed up to entry `sealed`. */
async function history(t: ExecutionContext, n: number, sealed = 0) {
  const { fleet, redis } = await fleetFor(t);
  const seals = new SealFile(await temporaryData(t));
  const write = async (first: number, last: number) => {
    for (let i = first; i <= last; i += 1) await fleet.audit.append(entry(i));
  };
  await write(1, sealed);
  if (sealed > 0) t.is(await sealAudit(fleet.audit, seals, NOW), null);
  await write(sealed + 1, n);
  const verify = async () => verifyAudit(fleet.audit, await seals.read(), NOW);
  return { fleet, redis, seals, write, verify, fault: async () => (await verify()).fault };
}

type Items = [key: string, fields: string[]][];

/** Puts the stream down and up again as somebody with all rights over Redis would, with `change` made to it. */
async function rebuild(redis: Redis, change: (items: Items) => Items): Promise<void> {
  const items = await redis.xrange(KEYS.audit, '-', '+');
  const changed = change(items);
  await redis.del(KEYS.audit);
  let n = 0;
  for (const [, fields] of changed) await redis.xadd(KEYS.audit, `1-${++n}`, ...fields);
}

test('what was written fits, over any number of pages and from any number of writers at once', async (t) => {
  const { fleet, verify } = await history(t, 0);
  t.like(await verify(), { fault: null, entries: 0 });
  const burst = (n: number) => Array.from({ length: n }, (_, i) => entry(i));
  await Promise.all(Array.from({ length: 30 }, () => fleet.audit.append(...burst(40))));
  t.like(await verify(), { fault: null, entries: 1200, last: { seq: 1200 } });
  const records = await fleet.audit.read();
  t.deepEqual(
    records.map(({ seq }) => seq),
    Array.from({ length: 1200 }, (_, i) => i + 1),
  );
  t.is(records.at(-1)?.hash, (await fleet.audit.head())?.hash);
});

test('an entry that was changed is named', async (t) => {
  const { redis, fault } = await history(t, 9);
  await rebuild(redis, (items) =>
    items.map(([key, fields], i) => [key, i === 4 ? ['entry', '{}', ...fields.slice(2)] : fields]),
  );
  t.like(await fault(), { seq: 5, kind: 'changed', key: '1-5' });
});

test('an entry that was taken out is named, and where several are gone, all of them', async (t) => {
  const { redis, fault } = await history(t, 9);
  const [, , third, fourth] = await redis.xrange(KEYS.audit, '-', '+');
  await redis.xdel(KEYS.audit, third?.[0] ?? '');
  t.like(await fault(), { seq: 3, kind: 'missing', what: 'entry 3 is missing' });
  await redis.xdel(KEYS.audit, fourth?.[0] ?? '');
  t.like(await fault(), { seq: 3, kind: 'missing', what: 'entries 3 to 4 are missing' });
});

test('entries taken out with the others numbered anew', async (t) => {
  const { redis, fault } = await history(t, 9);
  await rebuild(redis, (items) =>
    items
      .toSpliced(2, 1)
      .map(([key, [a = '', b = '', c = '', , ...rest]], i) => [key, [a, b, c, `${i + 1}`, ...rest]]),
  );
  t.like(await fault(), { seq: 3, kind: 'changed' });
});

for (const [which, fields, kind] of [
  ['with a number', ['entry', '{}', 'seq', '4', 'hash', 'ab'.repeat(32)], 'changed'],
  ['without', ['entry', '{}'], 'unchained'],
] as const) {
  test(`an entry that was put in, ${which}`, async (t) => {
    const { redis, fault } = await history(t, 6);
    await rebuild(redis, (items) => items.toSpliced(3, 0, ['', [...fields]]));
    t.like(await fault(), { seq: 4, kind });
  });
}

test('an entry that was put behind the others', async (t) => {
  const { redis, fault } = await history(t, 6);
  await redis.xadd(KEYS.audit, '*', 'entry', '{}');
  t.like(await fault(), { seq: 7, kind: 'unchained' });
});

test('an entry that stands twice', async (t) => {
  const { redis, fault } = await history(t, 6);
  await rebuild(redis, (items) => items.toSpliced(3, 0, items[2]!));
  t.like(await fault(), { seq: 4, kind: 'misplaced' });
});

test('entries that changed places', async (t) => {
  const { redis, fault } = await history(t, 6);
  await rebuild(redis, (items) => items.toSpliced(2, 2, items[3]!, items[2]!));
  t.like(await fault(), { seq: 3, kind: 'missing' });
});

test('an end that was cut off: by the head, and where that was set back too, by the seal', async (t) => {
  const { redis, fleet, fault, seals, verify } = await history(t, 9, 8);
  const [, ...rest] = (await redis.xrange(KEYS.audit, '-', '+')).slice(-3).reverse();
  const newest = (await redis.xrevrange(KEYS.audit, '+', '-', 'COUNT', 1))[0]?.[0] ?? '';
  await redis.xdel(KEYS.audit, newest);
  t.like(await fault(), { seq: 9, kind: 'cut' });
  t.like(await sealAudit(fleet.audit, seals, NOW), { kind: 'cut' }, 'the sealer sees it too');

  const [, back] = rest[0] ?? ['', []];
  await redis.hset(KEYS.auditHead, 'seq', 8, 'hash', back[5] ?? '');
  t.like(await verify(), { fault: null, sealed: 8 }, 'what was never sealed can be cut off without a trace');
  await redis.xdel(KEYS.audit, rest[0]?.[0] ?? '');
  await redis.hset(KEYS.auditHead, 'seq', 7, 'hash', rest[1]?.[1][5] ?? '');
  t.like(await fault(), { seq: 8, kind: 'cut' });
  t.like(await sealAudit(fleet.audit, seals, NOW), { seq: 8, kind: 'cut' });
});

test('Redis set back to an older dump, at once and when it has grown past the seal again', async (t) => {
  const { redis, fleet, fault, seals, write } = await history(t, 4);
  const dump = await Promise.all([KEYS.audit, KEYS.auditHead].map((key) => redis.dumpBuffer(key)));
  await write(5, 8);
  t.is(await sealAudit(fleet.audit, seals, NOW), null);
  await redis.restore(KEYS.audit, 0, dump[0]!, 'REPLACE');
  await redis.restore(KEYS.auditHead, 0, dump[1]!, 'REPLACE');
  t.like(await fault(), { seq: 5, kind: 'cut' });
  await write(50, 59);
  t.like(await fault(), { seq: 1, kind: 'rewritten' }, 'entries 1 to 8 have no seal between them');
  t.like(await sealAudit(fleet.audit, seals, NOW), { seq: 8, kind: 'rewritten' });
});

test('a history forged from the beginning, with all hashes right, breaks the seals', async (t) => {
  const { redis, fault, seals, fleet, write } = await history(t, 6, 3);
  await sealAudit(fleet.audit, seals, NOW);
  await redis.del(KEYS.audit, KEYS.auditHead);
  await write(1, 3);
  await write(40, 44);
  const what = 'entries 4 to 6 are not those that were sealed: it was rewritten';
  t.like(await fault(), { seq: 4, kind: 'rewritten', what });
  await redis.del(KEYS.audit, KEYS.auditHead);
  t.like(await fault(), { seq: 1, kind: 'cut' });
});

test('the record of the newest entry cannot be removed to begin anew', async (t) => {
  const { redis, fault, write } = await history(t, 4);
  await redis.del(KEYS.auditHead);
  t.like(await fault(), { seq: 4, kind: 'missing' });
  await write(5, 6);
  t.like(await fault(), { seq: 5, kind: 'misplaced' });
});

test('the seal file only grows, survives a write that was cut, and says so when somebody wrote into it', async (t) => {
  const { fleet, seals, write, fault } = await history(t, 4, 4);
  const before = await readFile(seals.path, 'utf8');
  t.is(await sealAudit(fleet.audit, seals, NOW), null);
  t.is(await readFile(seals.path, 'utf8'), before, 'nothing new, no new seal');
  await write(5, 6);
  await sealAudit(fleet.audit, seals, NOW);
  const after = await readFile(seals.path, 'utf8');
  t.true(after.startsWith(before));
  await truncate(seals.path, after.length - 20);
  t.deepEqual(
    (await seals.read()).seals.map(({ seq }) => seq),
    [4],
  );
  await sealAudit(fleet.audit, seals, NOW);
  t.deepEqual(
    (await seals.read()).seals.map(({ seq }) => seq),
    [4, 6],
  );
  t.is(await fault(), null);
  await appendFile(seals.path, '{"seq":1}\n');
  t.like(await fault(), { what: 'line 7 of the seal file was not written by a server' });
  await writeFile(seals.path, '');
  t.is(
    await fault(),
    null,
    'an emptied seal file takes its witness away: it must lie where Redis users cannot write',
  );
});

test('behind an accepted loss the check begins anew, and is as strict', async (t) => {
  const { redis, fleet, seals, write, fault, verify } = await history(t, 6);
  await redis.xdel(KEYS.audit, (await redis.xrange(KEYS.audit, '-', '+'))[2]?.[0] ?? '');
  t.like(await fault(), { seq: 3 });
  const { seq = 0, hash = '', key = '' } = (await fleet.audit.read()).at(-1) ?? {};
  await seals.append({ seq, hash, key, at: NOW, accepted: { by: 'x', reason: 'y', loss: 'z' } });
  t.like(await verify(), { fault: null, entries: 0, accepted: { seq: 6 } });
  await write(7, 9);
  t.is(await sealAudit(fleet.audit, seals, NOW), null);
  t.like(await verify(), { fault: null, entries: 3, sealed: 9 });
  await redis.xdel(KEYS.audit, (await redis.xrange(KEYS.audit, '-', '+'))[6]?.[0] ?? '');
  t.like(await fault(), { seq: 8, kind: 'missing' });
});

test('the sealer seals what comes, and ends with its signal', async (t) => {
  const { fleet, seals, write } = await history(t, 3);
  const stop = new AbortController();
  const running = startSealer({
    audit: fleet.audit,
    file: seals,
    log: silent,
    signal: stop.signal,
    interval: 5,
  });
  const sealedTo = async (seq: number) => {
    while ((await seals.read()).seals.at(-1)?.seq !== seq) await new Promise((done) => setTimeout(done, 5));
  };
  await sealedTo(3);
  await write(4, 5);
  await sealedTo(5);
  stop.abort();
  await running;
  t.pass();
});
