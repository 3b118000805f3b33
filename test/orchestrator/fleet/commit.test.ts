import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import test from 'ava';
import { AuditLog } from '../../../orchestrator/fleet/audit/audit.ts';
import { ChainCheck } from '../../../orchestrator/fleet/audit/chain.ts';
import { commit } from '../../../orchestrator/fleet/commit.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { take } from '../../../orchestrator/fleet/outcome.ts';
import { enrolment, fleetFor, redisFor } from './support.ts';

const record = (key: string, epoch: number, state = 'a') => ({ key, next: { state, epoch, body: '{}' } });

test('a record is made once, and changed only from the state and epoch that were seen', async (t) => {
  const { redis } = await redisFor(t);
  const made = { ...record('{bootwave}:x', 1), expect: null };
  t.is((await commit(redis, { records: [made] })).result, 'done');
  t.is((await commit(redis, { records: [made] })).result, 'conflict');
  const next = record('{bootwave}:x', 2);
  const from = (state: string, epoch: number) =>
    commit(redis, { records: [{ ...next, expect: { state, epoch } }] });
  t.is((await from('b', 1)).result, 'conflict');
  t.is((await from('a', 2)).result, 'conflict');
  t.is((await from('a', 1)).result, 'done');
  t.is((await from('a', 1)).result, 'conflict');
});

test('records, claims, audit and outbox stand or fall together', async (t) => {
  const { redis } = await redisFor(t);
  await commit(redis, {
    records: [],
    ops: [{ op: 'claim', key: KEYS.names, field: 'web1', owner: 'other' }],
  });
  const change = {
    records: [
      { ...record('{bootwave}:x', 1), expect: null },
      { ...record('{bootwave}:y', 1), expect: null },
    ],
    ops: [
      { op: 'join', key: KEYS.nodes, value: 'x' },
      { op: 'claim', key: KEYS.names, field: 'web1', owner: 'x' },
    ] as const,
    audit: [{ entry: '{}', node: 'x' }],
    outbox: [{ topic: 'wake', body: 'x' }],
  };
  t.deepEqual(await commit(redis, change), {
    result: 'taken',
    key: KEYS.names,
    field: 'web1',
    owner: 'other',
  });
  const written = () =>
    Promise.all([
      redis.exists('{bootwave}:x', '{bootwave}:y'),
      redis.scard(KEYS.nodes),
      redis.xlen(KEYS.audit),
      redis.xlen(KEYS.auditOf('x')),
      redis.xlen(KEYS.outbox),
    ]);
  t.deepEqual(await written(), [0, 0, 0, 0, 0]);
  await commit(redis, {
    records: [],
    ops: [{ op: 'release', key: KEYS.names, field: 'web1', owner: 'other' }],
  });
  t.is((await commit(redis, change)).result, 'done');
  t.deepEqual(await written(), [2, 1, 1, 1, 1]);
  t.is((await commit(redis, change)).result, 'conflict', 'one of two records already there');
  t.deepEqual(await written(), [2, 1, 1, 1, 1]);
});

test('many processes race on one record: exactly one wins each epoch, and the audit tells every change once', async (t) => {
  const { fleet, directory, paths } = await fleetFor(t);
  const e = enrolment(1);
  await directory.enrol(e);
  const before = await fleet.nodes.get(e.id);
  const program = join(import.meta.dirname, 'racer.ts');
  const racers = Array.from({ length: 4 }, async () => {
    const child = spawn(process.execPath, [program, paths.root, e.id, '40'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    return JSON.parse(await text(child.stdout)) as number[];
  });
  const won = (await Promise.all(racers)).flat().sort((a, b) => a - b);
  const first = before?.epoch ?? 0;
  t.deepEqual(
    won,
    Array.from({ length: 160 }, (_, i) => first + 1 + i),
  );
  t.is((await fleet.nodes.get(e.id))?.epoch, first + 160);
  const notes = (await fleet.audit.read({ node: e.id })).filter((entry) => entry.action === 'note');
  t.is(notes.length, 160);
});

test('Redis killed in the middle of writes: nothing acknowledged is lost, nothing is written twice', async (t) => {
  const { fleet, redis, directory } = await fleetFor(t);
  const ids = await Promise.all(
    Array.from({ length: 8 }, async (_, n) => {
      await directory.enrol(enrolment(n));
      return enrolment(n).id;
    }),
  );
  const acknowledged = new Map<string, number>();
  const writer = async (id: string) => {
    for (let i = 0; i < 60; i += 1) {
      const done = await fleet.nodes.update(id, (record) => {
        if (record === null) throw new Error('lost');
        return {
          outcome: take(record, { to: record.state, at: 0, actor: 'w', action: 'note', reason: `${i}` }),
        };
      });
      if (done.kind === 'changed') acknowledged.set(id, done.record.epoch);
    }
  };
  const killer = async () => {
    for (const progress of [40, 160, 300]) {
      for (;;) {
        const written = [...acknowledged.values()].reduce((sum, epoch) => sum + epoch - 1, 0);
        if (written >= progress) break;
        await new Promise((resolve) => setImmediate(resolve));
      }
      const pid = Number(/process_id:(\d+)/.exec(await redis.info('server'))?.[1]);
      process.kill(pid, 'SIGKILL');
    }
  };
  await Promise.all([killer(), ...ids.map(writer)]);
  for (const id of ids) {
    const record = await fleet.nodes.get(id);
    t.is(record?.epoch, 61);
    t.is(acknowledged.get(id), 61);
    const notes = (await fleet.audit.read({ node: id })).filter((entry) => entry.action === 'note');
    t.deepEqual(
      notes.map((entry) => entry.reason),
      Array.from({ length: 60 }, (_, i) => `${i}`),
    );
  }
});

test('the chain fits whether its hashes were foreseen or computed in Redis', async (t) => {
  const { redis } = await redisFor(t);
  const other = redis.duplicate();
  t.teardown(() => other.disconnect());
  const scripts = async () =>
    Number(/cmdstat_evalsha:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0);
  let written = 0;
  const write = async (by: typeof redis, count: number) => {
    const audit = Array.from({ length: count }, () => ({ entry: `{"n":${written++}}` }));
    t.deepEqual(await commit(by, { records: [], audit }), { result: 'done' });
  };
  await write(redis, 5);
  let before = await scripts();
  // Nobody wrote in between.
  await write(redis, 5);
  t.is(await scripts(), before + 1);
  before = await scripts();
  // Somebody did: a second look where that is worth it, else Redis hashes.
  await write(other, 5);
  t.is(await scripts(), before + 2);
  before = await scripts();
  await write(redis, 1);
  t.is(await scripts(), before + 1);
  // A commit that came to nothing, and several under way at once on each connection.
  const never = { ...record('{bootwave}:x', 2), expect: { state: 'a', epoch: 1 } };
  const lost = commit(redis, { records: [never], audit: [{ entry: 'never' }] });
  await Promise.all([1, 7, 1, 6, 2].flatMap((count) => [write(redis, count), write(other, count)]));
  t.is((await lost).result, 'conflict');
  const check = new ChainCheck();
  let entries = 0;
  for await (const item of new AuditLog(redis).items()) {
    t.is(check.next(item), null);
    entries += 1;
  }
  t.is(entries, written);
  t.deepEqual(await new AuditLog(redis).head(), check.last);
});
