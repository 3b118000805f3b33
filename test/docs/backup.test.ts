/** docs/backup.md followed by somebody who types what it says: each command for real, on folders of the test's own. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { mustRun } from '../../base/run.ts';
import { fleetOf } from '../../orchestrator/backup/manifest.ts';
import { fleetFor, folderFor } from '../orchestrator/backup/support.ts';
import { commandsOf, pageAt, REPOSITORY } from './pages.ts';

test('the key, the backup, the restore, and the one with what survived', async (t) => {
  const made = await fleetFor(t);
  const home = await folderFor(t);
  const [data, old] = [made.paths.root, join(home, 'bootwave.old')];
  await mkdir(join(home, 'backup'));
  const fleet = await fleetOf(made.paths.keys);
  const there = (line: string) =>
    line
      .replaceAll('/var/lib/bootwave.old', old)
      .replaceAll('/var/lib/bootwave', data)
      .replaceAll('/backup/', `${home}/backup/`)
      .replaceAll('/media/monday.age', `${home}/backup/monday.age`)
      .replaceAll(/(?:\/media\/)?bootwave-backup\.key/g, `${home}/private.txt`)
      .replaceAll('/media/bans.log', `${home}/bans.log`)
      .replaceAll('/tmp/report.json', `${home}/report.json`)
      .replaceAll('/etc/bootwave-backup.pub', `${home}/public.txt`)
      .replaceAll(/--fleet [0-9a-f]{64}/g, `--fleet ${fleet}`);
  const env = {
    ...process.env,
    PATH: `${join(REPOSITORY, 'bin')}:${process.env.PATH}`,
    BOOTWAVE_REDIS_URL: '',
    BOOTWAVE_DATA: data,
  };
  const type = async (line: string) => (await mustRun('bash', ['-c', there(line)], { env })).stdout;
  const page = await pageAt('docs/backup.md');
  const [keygen = '', shown = '', backup = '', restore = '', up, move = '', again = '', ...drills] =
    commandsOf(page).filter((line) => !line.startsWith('systemctl'));
  // `up` has tests of its own (walkthrough.test.ts).
  t.regex(up ?? '', /^bootwave up /);
  await type(keygen);
  await writeFile(join(home, 'public.txt'), await type(shown));
  t.true((await type(backup)).includes(fleet), 'it shows the number to write down');
  // What its unit says every night, as systemd reads it.
  const [, nightly = ''] = /^ExecStart=\/bin\/sh -c '(.*)'$/m.exec(page.text) ?? [];
  await type(nightly.replaceAll('%%', '%').replace('/usr/local/bin/', ''));
  t.true(existsSync(join(home, 'backup', `${new Date().toISOString().slice(0, 10)}.age`)), nightly);
  // The last two take a server: who notes, and what is shown then, is tried in test/cli/drill.
  const [drill = '', noted, listed, ...more] = drills;
  t.deepEqual(
    [noted, listed, ...more],
    ['bootwave --as ann.pem drill note /tmp/report.json', 'bootwave drill list'],
  );
  t.regex(await type(drill), /it went well\n(?:.*\n)* {2}bans\.log: 0 lines came later/);
  t.is(JSON.parse(await readFile(join(home, 'report.json'), 'utf8')).fault, null);
  await mustRun('cp', [join(data, 'bans.log'), join(home, 'bans.log')]);
  await made.close();
  await t.throwsAsync(type(restore), { message: /RESTORE_NOT_EMPTY/ });
  await type(move);
  t.regex(await type(restore), /NOTHING is known of what came later/);
  await mustRun('rm', ['-r', data]);
  t.regex(await type(again), /Of what came later there are 0 decisions/);
  // The pipe of the table.
  await type(
    `bootwave --data ${data} backup --to /dev/stdout --recipients /etc/bootwave-backup.pub > ${home}/piped.age`,
  );
  await mustRun('bash', [
    '-c',
    `age --decrypt --identity ${home}/private.txt ${home}/piped.age | tar --zstd --list`,
  ]);
});
