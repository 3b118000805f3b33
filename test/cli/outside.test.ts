/** The command as the system treats it: its reader leaves, it may not open what it needs. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { run } from '../../base/run.ts';
import { ofTheSystem } from '../../cli/outside.ts';
import { enrolment, fleetFor, redisFor, temporaryData } from '../orchestrator/fleet/support.ts';
import { doorOf } from '../orchestrator/operations/support.ts';

const BOOTWAVE = fileURLToPath(new URL('../../bin/bootwave', import.meta.url));
const ENV = { ...process.env, BOOTWAVE_REDIS_URL: '', BOOTWAVE_OPERATOR: '' };
/** nobody */
const NOBODY = 65_534;

test('a reader that has seen enough ends the list and the watch without a word', async (t) => {
  const { paths } = await redisFor(t);
  await doorOf(t, paths);
  for (const what of ['watch', 'list']) {
    const child = spawn(BOOTWAVE, ['--data', paths.root, 'node', what], {
      env: ENV,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let words = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      words += text;
    });
    child.stdout.destroy();
    const [code, signal] = await once(child, 'close');
    t.deepEqual([words, code, signal], ['', 0, null], what);
  }
});

test('a site that there is not is said to be unknown; a state that nobody is in is said to be empty', async (t) => {
  const { paths, fleet, directory, by } = await fleetFor(t);
  await directory.enrol(enrolment(1));
  await fleet.sites.add('lab1', {}, by());
  await doorOf(t, paths);
  const list = (...more: string[]) =>
    run(BOOTWAVE, ['--data', paths.root, 'node', 'list', ...more], { env: ENV });
  const wrong = await list('--site', 'lab9');
  t.is(wrong.code, 1);
  t.regex(wrong.stderr, /SITE_UNKNOWN/);
  t.regex((await list('--site', 'lab1')).stdout, /^no machine is at site lab1\n/);
  t.regex((await list('--state', 'quarantined')).stdout, /^no machine is in state quarantined\n/);
  const watched = await run(BOOTWAVE, ['--data', paths.root, 'node', 'watch', '--site', 'lab9'], {
    env: ENV,
  });
  t.regex(watched.stderr, /SITE_UNKNOWN/);
});

test('another user than root is told so by one line with a code, whatever the command', async (t) => {
  const closed = await temporaryData(t);
  await chmod(closed.root, 0o700);
  const root = join(closed.root, 'data');
  await mkdir(root);
  for (const args of [
    ['node', 'list'],
    ['node', 'watch'],
    ['image', 'list'],
    ['audit'],
    ['rollout', 'list'],
    ['keys', 'show'],
    ['keys', 'init'],
    ['site', 'list'],
  ]) {
    const { code, stdout, stderr } = await asNobody(['--data', root, ...args]);
    t.is(code, 1, `${args.join(' ')}: ${stdout}${stderr}`);
    t.notRegex(stderr, /\n\s+at /, args.join(' '));
    t.regex(stderr, /^bootwave: .* \[[A-Z_]+\]\n/, args.join(' '));
    t.notRegex(stderr, /UNEXPECTED/, `${args.join(' ')}: ${stderr}`);
  }
  const codeOf = async (...args: string[]) =>
    JSON.parse((await asNobody(['--data', root, ...args, '--json'])).stdout).error.code;
  t.is(await codeOf('image', 'list'), 'NOT_PERMITTED');
  t.is(await codeOf('node', 'list'), 'OPERATOR_MISSING', 'a certificate would do');
  const doctor = await asNobody(['--data', root, 'doctor', '--json']);
  const { checks } = JSON.parse(doctor.stdout) as { checks: { name: string; status: string }[] };
  t.true(checks.length > 5, 'what is closed to this user does not keep the doctor from the rest');
  t.like(
    checks.find(({ name }) => name === 'key files'),
    { status: 'fail' },
  );
});

async function asNobody(args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const home = await mkdtemp(join(tmpdir(), 'bw-'));
  try {
    const child = spawn(BOOTWAVE, args, {
      ...{ env: { ...ENV, HOME: home }, cwd: '/', uid: NOBODY, gid: NOBODY },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const [code] = await once(child, 'close');
    return { code, stdout, stderr };
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

test('what the system refuses has a code and says what to do; a fault of ours keeps its trace', (t) => {
  const refused = (code: string, more: object = { syscall: 'open', path: '/x' }) =>
    ofTheSystem(Object.assign(new Error(`${code}: no`), { code, ...more }));
  t.is(refused('EACCES')?.code, 'NOT_PERMITTED');
  for (const code of ['ENOSPC', 'EROFS', 'EMFILE', 'EIO']) t.is(refused(code)?.code, 'SYSTEM_REFUSED', code);
  for (const code of ['EACCES', 'EIO'])
    t.regex(refused(code)?.unchanged ?? '', /what was done before it stays/);
  t.is(refused('ENOENT'), null);
  const named = (code: string, ...words: string[]) =>
    ofTheSystem(Object.assign(new Error(code), { code, syscall: 'open', path: 'a.pem' }), words);
  for (const code of ['ENOENT', 'EEXIST', 'EISDIR', 'ENOTDIR'])
    for (const word of ['a.pem', '--key=a.pem']) t.is(named(code, 'add', word)?.code, 'SYSTEM_REFUSED', code);
  t.is(named('ENOENT', 'ba.pem'), null, 'nobody named it');
  t.is(refused('EACCES', {}), null, 'somebody else’s code');
  t.is(ofTheSystem(new TypeError('x is not a function')), null);
});
