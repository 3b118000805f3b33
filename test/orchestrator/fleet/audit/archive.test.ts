import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import { mustRun, run } from '../../../../base/run.ts';
import { archiveAudit, archiveOf, knownOf } from '../../../../orchestrator/fleet/audit/archive.ts';
import { verifyExport } from '../../../../orchestrator/fleet/audit/export.ts';
import { SealFile } from '../../../../orchestrator/fleet/audit/seals.ts';
import { sealAudit, verifyAudit } from '../../../../orchestrator/fleet/audit/verify.ts';
import { KEYS } from '../../../../orchestrator/fleet/keys.ts';
import { verifyFile } from '../../../../orchestrator/operations/audit/acts.ts';
import { by, server } from '../../../attack/redis/server.ts';
import { START } from '../support.ts';

const NODE = `tpm-${'a'.repeat(64)}`;

async function history(t: ExecutionContext) {
  const world = await server(t);
  const { paths, fleet } = world;
  const file = new SealFile(paths);
  const known = () => knownOf(fleet, paths.keys);
  const write = async (count: number) => {
    for (let i = 0; i < count; i += 1)
      await fleet.audit.append({ ...by, node: NODE, action: 'note', reason: `entry ${i}` });
    t.is(await sealAudit(fleet.audit, file, START, await known()), null);
  };
  const archive = (keep = 10, of = fleet) =>
    archiveAudit({ fleet: of, seals: file, folder: file.archive, at: START, keep });
  const verify = async () => (await verifyAudit(fleet.audit, await file.read(), START, await known())).fault;
  const textOf = async (name: string) => gunzipSync(await readFile(join(file.archive, name))).toString();
  return { ...world, file, write, archive, verify, textOf };
}

test('what is too old for Redis is in files that an export check accepts, each from where the one before ended', async (t) => {
  const { redis, fleet, file, write, archive, verify, textOf } = await history(t);
  await write(11);
  t.is(await archive(), null, 'a quarter may be too much');
  await write(20);
  const first = (await archive())!;
  await write(30);
  const second = (await archive())!;
  t.is(await verify(), null);
  t.true((await redis.xlen(KEYS.audit)) <= 12, 'and the newest of those that were moved');
  t.is(await redis.xlen(KEYS.auditOf(NODE)), (await fleet.audit.read({ node: NODE })).length);
  t.deepEqual((await readdir(file.archive)).sort(), [first.file, second.file].sort());
  const [one, two] = await Promise.all(
    [first, second].map(async ({ file: name }) => verifyExport((await textOf(name)).split('\n'))),
  );
  t.is(one?.fault, null);
  t.is(two?.fault, null);
  t.like(one?.first, { seq: 0 });
  t.deepEqual(two?.first, one?.last);
  t.like(two?.last, { seq: second.seq, hash: second.hash });
  t.is((await verifyFile({ file: join(file.archive, second.file) })).last?.hash, second.hash);
  t.true((await fleet.audit.read()).some(({ action }) => action === 'archive-audit'));
});

test('nobody else shortens the history unseen, or says where it begins', async (t) => {
  const { redis, fleet, write, archive, verify } = await history(t);
  await write(40);
  const { key } = (await archive())!;
  const keys = (await fleet.audit.read()).map((entry) => entry.key);
  const later = keys[5]!;
  await redis.xtrim(KEYS.audit, 'MINID', later);
  t.like(await verify(), { kind: 'rewritten' });
  const entry = (await fleet.audit.read())[0]!;
  const body = { seq: entry.seq, hash: entry.hash, key: later, file: 'x', at: 1, epoch: 9 };
  await redis.hset(KEYS.auditArchive, { state: 'archived', epoch: 9, body: JSON.stringify(body) });
  t.is((await archiveOf(fleet))?.key, key);
  t.like(await verify(), { kind: 'rewritten' });
});

test('before a person has confirmed the records nothing is moved, nor what is not sealed or does not fit', async (t) => {
  const { redis, fleet, file, write, archive } = await history(t);
  await write(3);
  for (let i = 0; i < 40; i += 1) await fleet.audit.append({ ...by, action: 'note', reason: 'not sealed' });
  t.true(((await archive())?.seq ?? 0) <= 6);
  await write(1);
  const middle = (await fleet.audit.read())[20]!;
  await redis.xdel(KEYS.audit, middle.key);
  t.is(await archive(5), null);
  t.false(
    (await readdir(file.archive)).some((name) => name.endsWith('.tmp')),
    'nothing is left behind',
  );
});

test('of two servers one moves them; a server that was stopped before it took them away does it the next time', async (t) => {
  const { redis, open, write, archive, verify } = await history(t);
  await write(40);
  const dump = (await redis.dumpBuffer(KEYS.audit))!;
  const other = await open();
  const done = await Promise.all([archive(10), archive(10, other.fleet)]);
  t.is(done.filter((one) => one !== null).length, 1);
  t.is(await verify(), null);
  // As if it had been killed behind its decision: the entries are still there.
  const newest = await redis.xrange(KEYS.audit, '-', '+');
  await redis.restore(KEYS.audit, 0, dump, 'REPLACE');
  for (const [key, fields] of newest) await redis.xadd(KEYS.audit, key, ...fields).catch(() => {});
  await archive(10);
  t.is((await redis.xrange(KEYS.audit, '-', '+', 'COUNT', 1))[0]?.[0], newest[0]?.[0]);
  t.is(await verify(), null);
});

test('what a server that was killed had begun to write goes, what another one is writing stays', async (t) => {
  const { file, write, archive } = await history(t);
  await mkdir(file.archive, { recursive: true });
  const [old, young] = ['1-9.jsonl.gz.aa.tmp', '1-9.jsonl.gz.bb.tmp'].map((name) =>
    join(file.archive, name),
  ) as [string, string];
  for (const path of [old, young]) await writeFile(path, 'half');
  const before = new Date(Date.now() - 2 * 3600_000);
  await utimes(old, before, before);
  await write(40);
  const { file: whole } = (await archive())!;
  t.deepEqual((await readdir(file.archive)).sort(), [basename(young), whole].sort());
});

test('a full disk: nothing is taken out of Redis, nothing is left behind, and it is done when there is room', async (t) => {
  const { redis, fleet, file, write, archive, verify } = await history(t);
  await write(600);
  await mkdir(file.archive, { recursive: true });
  await mustRun('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', file.archive]);
  t.teardown(() => run('umount', [file.archive]));
  const before = await redis.xlen(KEYS.audit);
  await t.throwsAsync(archive(), { code: 'ENOSPC' });
  t.deepEqual(await readdir(file.archive), []);
  t.is(await redis.xlen(KEYS.audit), before);
  t.is(await archiveOf(fleet), null);
  t.is(await verify(), null);
  await mustRun('umount', [file.archive]);
  t.not(await archive(), null);
  t.is(await verify(), null);
});
