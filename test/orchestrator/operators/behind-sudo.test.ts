/** What sudo lets somebody add to a command line. Run as root, with the rights of nobody. */
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { run } from '../../../base/run.ts';
import { program } from '../../../cli/program.ts';
import { readNamedFile, refusedBehindSudo } from '../../../orchestrator/operators/behind-sudo.ts';

const NOBODY = { BOOTWAVE_BEHIND_SUDO: '1', SUDO_UID: '65534', SUDO_GID: '65534' };
const bootwaveAs = join(import.meta.dirname, '../../../bin/bootwave-as');

async function folder(t: ExecutionContext): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'bw-'));
  await chmod(made, 0o755);
  t.teardown(() => rm(made, { recursive: true, force: true }));
  return made;
}

test('a file that they name is read with their rights, byte for byte', async (t) => {
  const at = await folder(t);
  const bytes = Buffer.from([0, 255, 10, 13, 128, 65]);
  const [open, closed] = [join(at, 'open'), join(at, '-closed')];
  await writeFile(open, bytes, { mode: 0o644 });
  await writeFile(closed, 'a secret of root', { mode: 0o600 });
  t.deepEqual(await readNamedFile(open, NOBODY), bytes);
  const error = await t.throwsAsync(readNamedFile(closed, NOBODY));
  t.false(error.message.includes('secret'));
  t.deepEqual(await readNamedFile(closed, {}), await readFile(closed), 'root itself reads what it likes');
  for (const SUDO_UID of ['', 'root', '-1', '0x0', undefined])
    await t.throwsAsync(readNamedFile(open, { ...NOBODY, SUDO_UID }), { code: 'OPERATOR_SUDO' });
});

test('nobody becomes somebody else, or has root touch a file, by what they add', (t) => {
  const asked = { command: 'node list', isForAnyone: false, options: ['json'], args: 0 };
  t.is(refusedBehindSudo(asked), null);
  for (const option of ['as', 'data', 'to', 'out', 'save', 'keys', 'key', 'last'])
    t.is(refusedBehindSudo({ ...asked, options: [option] })?.code, 'OPERATOR_SUDO', option);
  t.is(refusedBehindSudo({ ...asked, command: 'lab up', isForAnyone: true })?.code, 'OPERATOR_SUDO');
  t.is(refusedBehindSudo({ ...asked, command: 'audit verify', args: 1 })?.code, 'OPERATOR_SUDO');
  t.is(refusedBehindSudo({ ...asked, command: 'audit verify' }), null);
  t.is(refusedBehindSudo({ ...asked, command: 'keys ceremony', args: 1 })?.code, 'OPERATOR_SUDO');
  t.is(refusedBehindSudo({ ...asked, command: 'incident take', args: 2 })?.code, 'OPERATOR_SUDO');
});

test('each option of a command that names a file is among those that are refused', async (t) => {
  const found: string[] = [];
  const walk = (command: Awaited<ReturnType<typeof program>>, path: string): void => {
    for (const option of command.options)
      if (/<(file|folder|directory)>/.test(option.flags)) found.push(`${path} --${option.name()}`.trim());
    for (const child of command.commands) walk(child, `${path} ${child.name()}`.trim());
  };
  walk(await program(), '');
  t.true(found.length > 8);
  for (const one of found) {
    // For anyone, and therefore refused as a whole.
    if (/^(lab|demo|doctor|team (key|sign))\b/.test(one)) continue;
    // Read with the rights of who names it (`readNamedFile`).
    if (one === 'service secret set --file' || one === 'node bmc set --password-file') continue;
    const options = [one.split('--')[1]!];
    t.not(refusedBehindSudo({ command: 'x', isForAnyone: false, options, args: 0 }), null, one);
  }
});

test('nobody is named twice, with or without sudo', async (t) => {
  for (const twice of [
    ['--as', 'a.pem', '--as', 'b.pem'],
    ['--data', '/a', '--data', '/b'],
  ])
    await t.throwsAsync(
      (await program())
        .configureOutput({ writeErr: () => {} })
        .parseAsync(['node', 'bootwave', ...twice, 'node', 'list']),
      { message: /given twice/ },
    );
});

test('the program for sudo is for people whom sudo names, and hands on nothing that they set', async (t) => {
  const as = async (env: Record<string, string>, ...args: string[]) =>
    run(bootwaveAs, args, { env: { PATH: process.env.PATH, ...env } });
  for (const SUDO_USER of ['', 'root', '../ann', 'ann pem', 'Ann'])
    t.is((await as({ SUDO_USER }, 'node', 'list')).code, 1, SUDO_USER);
  const ann = { SUDO_USER: 'ann', SUDO_UID: '65534', SUDO_GID: '65534', BOOTWAVE_OPERATOR: '/tmp/eve.pem' };
  const plain = await as(ann, 'node', 'list', '--json');
  t.regex(plain.stdout, /OPERATOR_FILE/);
  t.regex(plain.stdout, /\/etc\/bootwave\/operators\/ann\.pem/);
  for (const args of [
    ['--data', '/tmp', 'node', 'list', '--json'],
    ['--as', '/tmp/eve.pem', 'node', 'list', '--json'],
    ['doctor', '--json'],
  ])
    t.regex((await as(ann, ...args)).stdout, /OPERATOR_SUDO/, args.join(' '));
});
