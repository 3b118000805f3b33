/** Secrets as people set them, through the real door; and where their values are found afterwards: nowhere. */
import { spawn } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { createLogger } from '../../../base/log.ts';
import { run } from '../../../base/run.ts';
import { openDoor } from '../../../orchestrator/operations/door.ts';
import { SecretStore } from '../../../orchestrator/secrets/store.ts';
import { temporaryData } from '../../orchestrator/fleet/support.ts';
import { houseOf } from '../../orchestrator/operations/support.ts';
import { keysIn } from '../../support/keys.ts';

const VALUE = 'correct-horse-battery-staple';
const PROGRAM = join(import.meta.dirname, '../../../bin/bootwave');

test('a value is set from a file or standard input, never shown, and in no argument, log, history or record', async (t) => {
  t.timeout(300_000);
  const paths = await temporaryData(t);
  await keysIn(paths.keys);
  const env = { ...process.env, BOOTWAVE_REDIS_URL: '', SUDO_USER: 'anna', BOOTWAVE_LOG: 'silent' };
  const logged: string[] = [];
  const log = createLogger('test', 'trace', { write: (line: string) => void logged.push(line) } as never);
  const house = await houseOf(t, paths);
  const stop = new AbortController();
  const { done } = await openDoor({ ...house, log, signal: stop.signal });
  t.teardown(async () => {
    stop.abort();
    await done;
  });
  const bootwave = async (input: string, ...args: string[]) => {
    const { code, stdout, stderr } = await run(PROGRAM, ['--data', paths.root, ...args], { env, input });
    return { code, out: stdout.trim(), err: stderr.trim() };
  };
  const secret = (input: string, ...args: string[]) => bootwave(input, 'service', 'secret', ...args);
  const file = join(paths.root, 'value');
  await writeFile(file, `${VALUE}\n`);

  t.regex((await secret('', 'list')).out, /no secret is set here/);
  const set = await secret(VALUE, 'set', 'web/shop', 'db-password');
  t.regex(
    set.out,
    /^db-password of web\/shop is set: 28 bytes, change \d+\nno released version asks for it/,
    set.err,
  );
  const byFile = await secret('', 'set', 'web/shop', 'db-password', '--file', file, '--json');
  t.like(JSON.parse(byFile.out), {
    service: 'web/shop',
    name: 'db-password',
    site: null,
    versions: [],
  });
  const { number } = JSON.parse(byFile.out);
  t.regex((await secret(`${VALUE}\n`, 'set', 'web/shop', 'other')).out, /its last byte is the end of a line/);
  const list = await secret('', 'list');
  t.regex(list.out, new RegExp(`web/shop +db-password +all +${number} .* anna`), list.err);
  const { values } = await new SecretStore(paths).values('web/shop', ['db-password'], 'default');
  t.is(values.get('db-password')!.toString(), `${VALUE}\n`);

  const refused: [code: RegExp, input: string, args: string[]][] = [
    [/SECRET_VALUE/, '', ['set', 'web/shop', 'x']],
    [/SECRET_VALUE/, 'x'.repeat(16 * 1024 + 1), ['set', 'web/shop', 'x']],
    [/SECRET_VALUE/, '', ['set', 'web/shop', 'x', '--file', '/nowhere']],
    [/SERVICE_NAME/, VALUE, ['set', 'web/shop:1.4', 'x']],
    [/SERVICE_NAME/, VALUE, ['set', '../x', 'x']],
    [/SECRET_NAME/, VALUE, ['set', 'web/shop', '../x']],
    [/SECRET_NAME/, VALUE, ['set', 'web/shop@probe', 'slice-growth']],
    [/SITE_UNKNOWN/, VALUE, ['set', 'web/shop', 'x', '--site', 'nowhere']],
    [/SECRET_UNKNOWN/, '', ['remove', 'web/shop', 'absent']],
    // A value on the command line is an argument too many.
    [/too many arguments/, VALUE, ['set', 'web/shop', 'x', 'on-the-command-line']],
  ];
  for (const [code, input, args] of refused) {
    const { code: exit, err } = await secret(input, ...args);
    t.not(exit, 0);
    t.regex(err, code);
    t.false(err.includes(VALUE));
  }

  // While it is asked for: in no argument of a process, and in no environment.
  const slow = spawn(PROGRAM, ['--data', paths.root, 'service', 'secret', 'set', 'web/shop', 'slow'], {
    env,
  });
  slow.stdin.write(VALUE);
  await sleep(300);
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name)))
    for (const what of ['cmdline', 'environ']) {
      const text = await readFile(join('/proc', pid, what), 'utf8').catch(() => '');
      t.false(text.includes(VALUE), `${pid} ${what}`);
    }
  slow.stdin.end();
  await new Promise((resolve) => slow.once('exit', resolve));

  // Somebody without the role: refused, and told of without what they gave.
  for (const role of ['viewer', 'site-admin']) {
    const as = join(paths.root, `${role}.pem`);
    const site = role === 'viewer' ? [] : ['--site', 'default'];
    const added = await bootwave('', 'operator', 'add', role, '--role', role, ...site, '--out', as);
    t.is(added.code, 0, added.err);
    for (const args of [
      ['set', 'web/shop', 'db-password'],
      ['remove', 'web/shop', 'db-password'],
    ])
      t.regex((await bootwave(VALUE, '--as', as, 'service', 'secret', ...args)).err, /OPERATOR_ROLE/);
    t.regex(
      (await bootwave('', '--as', as, 'service', 'secret', 'list')).out,
      /db-password/,
      'which there are is no secret',
    );
  }

  t.regex((await secret('', 'remove', 'web/shop', 'other')).out, /is removed: no node is given it again/);
  const history = await bootwave('', 'audit', '--json');
  t.regex(history.out, /secret-set.*secret db-password of web\/shop/s, history.err);
  t.regex(history.out, /secret-remove/);
  const { fleet } = await house.records();
  const keys = await fleet.redis.keys('*');
  const all = Buffer.concat(await Promise.all(keys.map(async (key) => (await fleet.redis.dumpBuffer(key))!)));
  const found = [logged.join(''), history.out, list.out, set.out, byFile.out, all.toString('latin1')];
  t.regex(logged.join(''), /service secret set/, 'that it was done is in the log');
  for (const text of found)
    for (const form of [
      VALUE,
      Buffer.from(VALUE).toString('base64').slice(0, 32),
      Buffer.from(VALUE).toString('hex'),
    ])
      t.false(text.includes(form), form);
  for (const path of await readdir(paths.root, { recursive: true, withFileTypes: true })) {
    const at = join(path.parentPath, path.name);
    if (!path.isFile() || at === file) continue;
    t.false((await readFile(at, 'latin1')).includes(VALUE), at);
  }
});
