/** Killed at any moment, and on a disk that is full: there is all of it or nothing, and the next one goes on. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { dataPaths } from '../../../base/paths.ts';
import { mustRun, run } from '../../../base/run.ts';
import { PARTIAL } from '../../../orchestrator/backup/contents.ts';
import { fleetOf } from '../../../orchestrator/backup/manifest.ts';
import { type Restored, restore } from '../../../orchestrator/backup/restore.ts';
import { journalFile } from '../../../orchestrator/fleet/decisions/journal.ts';
import { enrolment } from '../fleet/support.ts';
import { fleetFor, folderFor, opened } from './support.ts';

const PROGRAM = join(import.meta.dirname, '../../../bin/bootwave');
const BIG = 120 << 20;

type Made = Awaited<ReturnType<typeof fleetFor>>;

/** A fleet with an image that takes its time. */
async function bigFleet(t: ExecutionContext): Promise<Made> {
  const made = await fleetFor(t);
  await made.admit(enrolment(1));
  await mkdir(made.paths.images);
  await writeFile(join(made.paths.images, 'bootwave_1.0.0.json'), '{}');
  await writeFile(join(made.paths.images, 'bootwave_1.0.0.efi'), randomBytes(BIG));
  return made;
}

/** Gives a command, and kills it as soon as `when` says so. @returns whether it was killed before it had ended */
async function killed(args: readonly string[], when: () => boolean): Promise<boolean> {
  const child = spawn(PROGRAM, args, { stdio: 'ignore', env: { ...process.env, BOOTWAVE_REDIS_URL: '' } });
  const ended = new Promise<NodeJS.Signals | null>((resolve) =>
    child.on('exit', (_, signal) => resolve(signal)),
  );
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  while (!isOver && !when()) await new Promise((resolve) => setImmediate(resolve));
  child.kill('SIGKILL');
  return (await ended) === 'SIGKILL';
}

test('a backup that is killed is none, and the next one is made', async (t) => {
  const made = await bigFleet(t);
  const { paths, folder, key, restored } = made;
  const recipients = join(folder, 'recipients');
  await writeFile(recipients, `# of the safe\n${key.recipient}\n`);
  const to = join(folder, 'nightly.age');
  const args = ['--data', paths.root, 'backup', '--to', to, '--recipients', recipients];
  const grown = (bytes: number) => () =>
    readdirSync(folder).some((name) => name.endsWith('.tmp') && statSync(join(folder, name)).size > bytes);
  for (const bytes of [0, BIG / 2]) {
    t.true(await killed(args, grown(bytes)), `at ${bytes}`);
    t.false(existsSync(to));
    for (const name of await readdir(folder)) if (name.endsWith('.tmp')) await rm(join(folder, name));
  }
  await mustRun(PROGRAM, args, { env: { ...process.env, BOOTWAVE_REDIS_URL: '' } });
  t.is((await restored(to)).told.nodes, 1);
});

test('a restore that is killed leaves no keys, and given again it is brought to its end', async (t) => {
  const made = await bigFleet(t);
  const { file } = await made.backup();
  const { root } = dataPaths(join(await folderFor(t), 'data'));
  const paths = dataPaths(root);
  const partial = join(root, PARTIAL);
  const fleet = await fleetOf(made.paths.keys);
  const args = ['--data', root, 'restore', file, '--key', made.key.file, '--fleet', fleet];
  const moments: [string, () => boolean][] = [
    ['while it is taken apart', () => existsSync(join(partial, 'data', 'images'))],
    ['while its Redis runs', () => existsSync(join(partial, 'data', 'redis', 'redis.sock'))],
  ];
  for (const [what, when] of moments) {
    t.true(await killed(args, when), what);
    t.false(existsSync(paths.keys), what);
  }
  // In the middle of the last step: somebody has put a folder there.
  const lastStep = killed(args, () => {
    const size =
      statSync(join(partial, 'data/images/bootwave_1.0.0.efi'), { throwIfNoEntry: false })?.size ?? 0;
    if (size > 0 && size < BIG) mkdirSync(join(paths.keys, 'x'), { recursive: true });
    return false;
  });
  t.false(await lastStep, 'it ends by itself');
  t.true(existsSync(join(root, 'bans.log')), 'all else was moved');
  t.true(existsSync(join(partial, 'restored.json')));
  await rm(paths.keys, { recursive: true });
  const again = await mustRun(PROGRAM, [...args, '--json'], {
    env: { ...process.env, BOOTWAVE_REDIS_URL: '' },
  });
  t.is((JSON.parse(again.stdout) as Restored).nodes, 1, 'the same is told');
  t.false(existsSync(partial));
  t.true(existsSync(paths.keys));
  t.is((await readFile(join(paths.images, 'bootwave_1.0.0.efi'))).length, BIG);
  t.true((await opened(t, paths)).bans.set.entries.length > 0);
  const left = await mustRun('pgrep', ['-fc', `${root}/`]).catch(() => ({ stdout: '0' }));
  // The one that was opened here.
  t.true(Number(left.stdout) <= 1, 'no Redis of those that were killed is left');
});

test('a full disk: no backup, no data directory, and the fleet is as it was', async (t) => {
  const made = await bigFleet(t);
  const small = await folderFor(t);
  await mustRun('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', small]);
  t.teardown(async () => {
    for (let i = 0; i < 50; i += 1) {
      if (
        await mustRun('umount', [small]).then(
          () => true,
          () => false,
        )
      )
        return;
      await sleep(100);
    }
  });
  await t.throwsAsync(made.backup({ to: join(small, 'x.age') }), { code: 'BACKUP_WRITE' });
  t.deepEqual(await readdir(small), []);
  const { file } = await made.backup();
  const options = await made.options(file, { paths: dataPaths(small) });
  await t.throwsAsync(restore(options), { code: 'RESTORE_DISK' });
  t.deepEqual(await readdir(small), []);
  t.is((await made.fleet.nodes.ids()).length, 1);
});

test('where it must not be written, and to whom it cannot be encrypted', async (t) => {
  const made = await fleetFor(t);
  const { file } = await made.backup();
  await t.throwsAsync(made.backup({ to: file }), { code: 'BACKUP_EXISTS' });
  await t.throwsAsync(made.backup({ to: join(made.paths.keys, 'x.age') }), { code: 'BACKUP_INSIDE' });
  await t.throwsAsync(made.backup({ to: join(made.paths.root, 'x.age') }), { code: 'BACKUP_INSIDE' });
  await t.throwsAsync(made.backup({ recipients: ['age1nonsense'] }), { code: 'BACKUP_RECIPIENT' });
  t.deepEqual(await readdir(made.folder), [file.slice(made.folder.length + 1)]);
  // The file that age-keygen has written, by mistake.
  const args = ['--data', made.paths.root, 'backup', '--to', `${file}.more`, '--recipients', made.key.file];
  const { code, stderr } = await run(PROGRAM, args, { env: { ...process.env, BOOTWAVE_REDIS_URL: '' } });
  t.not(code, 0);
  t.regex(stderr, /BACKUP_PRIVATE_KEY/);
  t.notRegex(stderr, /AGE-SECRET-KEY/);
});

test('a line that is being written is not taken for a whole one', async (t) => {
  const made = await fleetFor(t);
  const log = journalFile(made.paths);
  const whole = await readFile(log, 'utf8');
  await writeFile(log, `${whole}{"kind":"ban","at":1,"act`);
  const { paths } = await made.restored((await made.backup()).file);
  const restored = await readFile(journalFile(paths), 'utf8');
  t.true(restored.startsWith(whole));
  t.false(restored.includes('"act\n'));
  t.true(restored.split('\n').every((line) => line === '' || line.endsWith('}')));
});
