/** A backup that is tried: what is well, and what a drill has to find. A real server comes up on each that is whole. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { appendFile, mkdir, readdir, readFile, readlink, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { drillRestore, type RestoreDrill } from '../../../orchestrator/backup/drill.ts';
import { fleetOf } from '../../../orchestrator/backup/manifest.ts';
import { banNode } from '../../../orchestrator/fleet/bans/act.ts';
import { find } from '../../../orchestrator/operations/catalogue.ts';
import type { Report } from '../../../orchestrator/recovery/report.ts';
import { nameOf, SCHEDULES } from '../../../orchestrator/recovery/schedule.ts';
import { recordConsent } from '../../../orchestrator/signer/consents.ts';
import { signerFiles } from '../../../orchestrator/signer/files.ts';
import { enrolment, silent } from '../fleet/support.ts';
import { by, fleetFor, opened } from './support.ts';

async function drillsOf(t: ExecutionContext) {
  const made = await fleetFor(t);
  const { admit, fleet, bans, paths, key } = made;
  for (const n of [1, 2]) await admit(enrolment(n));
  const ban = async (n: number) =>
    bans.keep((await banNode(fleet, bans.set, `dev-${n.toString(16).padStart(64, '0')}`, 'stolen', by)).ban);
  await ban(7);
  await recordConsent(signerFiles(paths).consents, { say: 'floor', version: '1.0.0' }, by);
  const input = async (from: string) => ({ from, key: key.file, fleet: await fleetOf(paths.keys) });
  const scratch = `${paths.root}.drill`;
  const left = async () =>
    (await readdir(dirname(scratch))).filter((name) => name === basename(scratch)).length === 0;
  /** As far as the server: that one takes seconds. */
  const drilled = async (from: string, more: Partial<RestoreDrill> = {}) =>
    drillRestore({
      ...{
        from,
        identity: key.file,
        fleet: await fleetOf(paths.keys),
        by,
        log: silent,
        paths,
        now: Date.now,
      },
      look: async () => [],
      serve: async () => (await fleet.nodes.ids()).length,
      ...more,
    });
  return { ...made, ban, input, scratch, left, drilled };
}

test('a good one: it is restored, compared, and a real server comes up on it; nothing is left, nothing is touched', async (t) => {
  const { paths, backup, ban, input, left, redis, scratch } = await drillsOf(t);
  const { file } = await backup();
  await ban(8);
  const before = [await readFile(join(paths.root, 'bans.log'), 'utf8'), await redis.dbsize()];
  const apart = watchNetworks(t, scratch);
  const act = await find('drill restore').act();
  const signal = new AbortController().signal;
  const report = (await act(await input(file), { paths, by, log: silent, signal } as never)) as Report;
  t.is(report.fault, null);
  t.deepEqual(
    report.steps.map(([step]) => step),
    ['restored', 'checked', 'served'],
  );
  t.true(report.facts.includes('release floor 1.0.0, 0 images withdrawn'));
  t.regex(report.facts.join('\n'), /2 nodes, 1 bans, \d+ entries/);
  t.regex(report.facts.join('\n'), /bans\.log: [1-9]\d* lines came later, and would be lost/);
  t.true(await left(), 'the keys of the fleet lie nowhere');
  t.deepEqual([...apart()], [true], 'what served it had a network of its own');
  t.deepEqual([await readFile(join(paths.root, 'bans.log'), 'utf8'), await redis.dbsize()], before);
});

/** Of the servers on this folder: whether each was in another network namespace than this process. */
function watchNetworks(t: ExecutionContext, folder: string) {
  const seen = new Set<boolean>();
  const look = async () => {
    const ours = await readlink('/proc/self/ns/net');
    for (const pid of await processesOf(folder)) {
      const theirs = await readlink(`/proc/${pid}/ns/net`).catch(() => null);
      if (theirs !== null) seen.add(theirs !== ours);
    }
  };
  const timer = setInterval(() => void look(), 50);
  t.teardown(() => clearInterval(timer));
  return () => seen;
}

/** Node itself, once all that starts it has become it. */
async function processesOf(folder: string): Promise<string[]> {
  const all = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(all.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  return all.filter((_, i) => /^[^\0]*\/node\0/.test(lines[i]!) && lines[i]!.includes(`${folder}/data\0up`));
}

test('one that is killed while its server runs leaves no server, and the next one removes what it left', async (t) => {
  const { paths, backup, input, scratch, left, drilled } = await drillsOf(t);
  const { file } = await backup();
  const { key, fleet } = await input(file);
  const args = ['--data', paths.root, 'drill', 'restore', file, '--key', key, '--fleet', fleet];
  const child = spawn(join(import.meta.dirname, '../../../bin/bootwave'), args, { stdio: 'ignore' });
  const gone = once(child, 'exit');
  while (!existsSync(join(scratch, 'data/run/door.sock'))) await sleep(20);
  const [server] = await processesOf(scratch);
  // Else it might end by itself, because nobody reads what it says.
  process.kill(Number(server), 'SIGSTOP');
  child.kill('SIGKILL');
  await gone;
  while ((await processesOf(scratch)).length > 0) await sleep(20);
  t.false(await left());
  t.is((await drilled(file)).fault, null);
  t.true(await left());
});

test('what is wrong is in the report, and nothing is left of it', async (t) => {
  const { paths, backup, left, drilled } = await drillsOf(t);
  const { file } = await backup();
  t.is((await drilled(file)).fault, null);
  t.regex((await drilled(`${file}.gone`)).fault ?? '', /^RESTORE_FILE: /);
  t.regex((await drilled(file, { after: Date.now() + 1 })).fault ?? '', /^RESTORE_OLD: /);
  const bytes = await readFile(file);
  const torn = `${file}.torn`;
  await writeFile(torn, bytes.subarray(0, bytes.length - 200));
  t.regex((await drilled(torn)).fault ?? '', /^RESTORE_DAMAGED: /);
  t.regex((await drilled(file, { serve: async () => 1 })).fault ?? '', /shows 1 nodes of 2/);
  const dead = async () => Promise.reject(new Error('no server'));
  t.is((await drilled(file, { serve: dead })).fault, 'no server');
  t.is((await drilled(file, { look: async () => ['keys: torn'] })).fault, 'keys: torn');
  // As if a ban had been in force before, and the backup did not have it.
  const log = join(paths.root, 'bans.log');
  const lines = (await readFile(log, 'utf8')).split('\n');
  await writeFile(log, [lines[0], '{"a":"ban that it has lost"}', ...lines.slice(1)].join('\n'));
  t.regex((await drilled(file)).fault ?? '', /1 lines of bans\.log from before it began are not in it/);
  t.true(await left());
});

test('a history that is not whole is found', async (t) => {
  const { backup, drilled, redis, fleet } = await drillsOf(t);
  await fleet.audit.append({ ...by, action: 'note', reason: 'one' });
  const [key] = (await redis.keys('*audit*')).filter((name) => /audit$/.test(name));
  const [[id] = []] = (await redis.xrange(key!, '-', '+', 'COUNT', 2)).slice(1) as [string, string[]][];
  await redis.xdel(key!, id!);
  const { file } = await backup();
  t.regex((await drilled(file)).fault ?? '', /its history is not whole/);
});

test('a restored fleet begins no drill by itself: that may have been taken back since', async (t) => {
  const { fleet, backup, restored } = await fleetFor(t);
  for (const [kind, site] of [
    ['recovery', 'default'],
    ['restore', null],
  ] as const)
    await SCHEDULES.decide(
      fleet,
      nameOf({ kind, site }),
      () => ({ kind, site, every: 7 * 86_400_000, hours: [0, 24] }),
      { ...by, reason: 'weekly' },
    );
  const { file } = await backup();
  const { paths } = await restored(file);
  const after = await opened(t, paths);
  t.deepEqual(
    (await SCHEDULES.list(after.fleet)).map(({ value }) => value.kind),
    ['restore'],
  );
});

test('one at a time; what no drill has made is left alone; what a killed one has left is removed', async (t) => {
  const { backup, drilled, scratch, left } = await drillsOf(t);
  const { file } = await backup();
  const other = await new Promise((resolve, reject) => {
    drilled(file, {
      serve: async () => {
        resolve(await drilled(file).catch((error: unknown) => error));
        return 2;
      },
    }).catch(reject);
  });
  t.like(other, { code: 'DRILL_RUNNING' });
  while (!(await left())) await sleep(20);
  await mkdir(scratch, { mode: 0o700 });
  await writeFile(join(scratch, 'mine'), 'x');
  await t.throwsAsync(drilled(file), { code: 'DRILL_SCRATCH' });
  t.true((await stat(join(scratch, 'mine'))).isFile());
  await appendFile(join(scratch, 'drill.lock'), '');
  await mkdir(join(scratch, 'data/keys'), { recursive: true });
  t.is((await drilled(file)).fault, null);
  t.true(await left());
});
