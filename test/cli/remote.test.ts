/** A server and somebody elsewhere: real processes, a real `bootwave up` on whose network no machine boots. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test, { type ExecutionContext } from 'ava';
import { run } from '../../base/run.ts';
import { temporaryData } from '../orchestrator/fleet/support.ts';
import { freePort } from '../support/free-port.ts';
import { keysIn } from '../support/keys.ts';

const PROGRAM = join(import.meta.dirname, '../../bin/bootwave');
const ENV = { ...process.env, BOOTWAVE_REDIS_URL: '', BOOTWAVE_LOG: 'warn' };

async function server(t: ExecutionContext, root: string, ...more: string[]) {
  const args = ['--data', root, 'up', '--json', ...more];
  const child = spawn(PROGRAM, args, { env: ENV, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  t.teardown(async () => {
    if (child.exitCode === null) child.kill('SIGTERM');
    await ended;
  });
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  const stop = async () => {
    child.kill('SIGTERM');
    return (await ended)[0] as number;
  };
  return { ready: JSON.parse(line), stop };
}

test('a plan, a two-people decision and a new operator from another machine, with one file; a server that ends says so', async (t) => {
  const paths = await temporaryData(t);
  await keysIn(paths.keys);
  const port = await freePort();
  const { ready, stop } = await server(t, paths.root, '--operators-port', String(port));
  t.deepEqual(ready, { ready: { operators: port } });
  // Nothing of the fleet is here but the files that were handed over.
  const desk = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(desk, { recursive: true, force: true }));
  const file = (name: string) => join(desk, `${name}.pem`);
  const local = (...args: string[]) => run(PROGRAM, ['--data', paths.root, ...args], { env: ENV });
  for (const [name, role] of [
    ['ann', 'core'],
    ['bob', 'core'],
    ['root', 'admin'],
  ] as const) {
    const { code, stderr } = await local('operator', 'add', name, '--role', role, '--out', file(name));
    t.is(code, 0, stderr);
  }
  const env = { ...ENV, BOOTWAVE_SERVER: `https://127.0.0.1:${port}`, BOOTWAVE_DATA: join(desk, 'none') };
  const as = async (name: string, ...args: string[]) => {
    const { code, stdout, stderr } = await run(PROGRAM, ['--as', file(name), ...args], { env, cwd: desk });
    return { code, out: stdout.trim(), err: stderr.trim() };
  };
  t.regex((await as('ann', 'node', 'list')).out, /no machine was seen yet/);
  t.is((await as('ann', 'site', 'add', 'munich')).code, 0);

  // A file of the caller's machine is read there; one of the server's is not asked for from here.
  await writeFile(join(desk, 'spec.json'), '{"image":"9.9","nodes":{"all":true}}');
  t.regex((await as('ann', 'rollout', 'plan', 'spec.json')).err, /ROLLOUT_REFUSED/);
  t.regex((await as('root', 'keys', 'init')).err, /OPERATION_HOST/);
  t.regex((await as('ann', 'image', 'withdraw', '1.0', '--keys', '/media/usb')).err, /OPERATION_HOST/);

  const id = `tpm-${'a'.repeat(64)}`;
  const banned = JSON.parse((await as('ann', 'ban', 'add', id, '--reason', 'stolen', '--json')).out);
  const lift = await as('ann', 'ban', 'lift', banned.id, '--reason', 'found', '--json');
  t.regex(lift.err, new RegExp(`signed with your key: ban lift .*${banned.id}`));
  const approve = ['request', 'approve', JSON.parse(lift.out).request, '--yes'];
  t.regex((await as('ann', ...approve)).err, /REQUEST_ONE_PERSON/);
  t.regex((await as('bob', ...approve)).out, /is lifted/);

  // The key is made at the desk: the server has only seen its public half.
  t.is((await as('root', 'operator', 'add', 'vera', '--role', 'viewer')).code, 0);
  t.regex(await readFile(file('vera'), 'utf8'), /PRIVATE KEY[\s\S]+(BEGIN CERTIFICATE[\s\S]+){3}/);
  t.is((await as('vera', 'node', 'list')).code, 0);
  t.regex((await as('vera', 'site', 'add', 'x')).err, /OPERATOR_ROLE/);
  t.regex((await as('root', 'operator', 'revoke', 'vera')).out, /1 revoked/);
  t.regex((await as('vera', 'node', 'list')).err, /OPERATOR_REVOKED/);

  t.is(await stop(), 0);
  t.regex((await as('ann', 'node', 'list')).err, /SERVER_UNREACHABLE/);
  t.regex((await local('node', 'list')).stderr, /SERVER_NOT_RUNNING/);
});
