import { chmod, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { run } from '../../../../base/run.ts';
import { gateSchema, type WaveGate } from '../../../../orchestrator/rollout/gate.ts';
import { check } from '../../../../orchestrator/rollout/run/check.ts';

const { signal } = new AbortController();

const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-gates-'));
test.after.always(() => rm(folder, { recursive: true, force: true }));
let declared = 0;

async function declare(gate: unknown): Promise<string> {
  declared += 1;
  const name = `gate-${declared}`;
  await writeFile(join(folder, `${name}.json`), typeof gate === 'string' ? gate : JSON.stringify(gate));
  return name;
}
const named = (name: string, more = {}) =>
  check(gateSchema.parse({ kind: 'check', name, ...more }) as WaveGate, folder, signal);
const ask = async (gate: unknown, more = {}) => named(await declare(gate), more);

async function serverFor(t: ExecutionContext, body: unknown, status = 200): Promise<string> {
  const server = createServer((request, response) => {
    response.writeHead(request.url === '/moved' ? 302 : status, { location: '/' });
    response.end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

test('a command passes by its exit code and says why not', async (t) => {
  t.true((await ask({ kind: 'command', run: ['true'] })).ok);
  const failed = await ask({ kind: 'command', run: ['sh', '-c', 'echo disk full >&2; exit 3'] });
  t.deepEqual(failed, { ok: false, why: 'exit code 3: disk full' });
  t.false((await ask({ kind: 'command', run: ['/no/such/program'] })).ok);
  t.false((await ask({ kind: 'command', run: ['sleep', '60'] }, { timeout: '1s' })).ok);
});

test('a command is nobody: no rights, no keys, no network, no other process, no environment of ours', async (t) => {
  const key = join(folder, 'order.key');
  await writeFile(key, 'secret', { mode: 0o600 });
  process.env.BOOTWAVE_TEST_SECRET = 'secret';
  const script = [
    'id -u; id -G',
    'grep CapBnd /proc/self/status',
    `cat ${key} 2>&1`,
    'ls /proc | grep -c "^[0-9]"',
    'cat /proc/net/dev | grep -c :',
    'env | grep -c BOOTWAVE',
    'exit 1',
  ].join('; ');
  const { why } = await ask({ kind: 'command', run: ['sh', '-c', script] });
  t.regex(why, /^exit code 1: 65534 65534 CapBnd:\s+0000000000000000 cat: .*Permission denied [1-9] 1 0$/);
  t.regex(
    (await ask({ kind: 'command', network: true, run: ['sh', '-c', 'ls /sys/class/net | wc -l; exit 1'] }))
      .why,
    /exit code 1: \d+/,
  );
});

test('its children end with it, however they hide', async (t) => {
  const mark = `bootwave-gate-${process.pid}`;
  const script = `(setsid sh -c 'exec -a ${mark} sleep 600' &) ; exec sleep 60`;
  t.false((await ask({ kind: 'command', run: ['bash', '-c', script] }, { timeout: '1s' })).ok);
  const left = await run('pgrep', ['-f', `^${mark}`]);
  t.is(left.stdout, '');
});

test('a rollout names a gate and says nothing else of it', async (t) => {
  t.like(await named('never-declared'), { ok: false });
  t.regex((await named('never-declared')).why, /^GATE_UNDECLARED/);
  for (const gate of [
    { kind: 'command', run: ['true'] },
    { kind: 'http', url: 'http://127.0.0.1/' },
    { kind: 'prometheus', url: 'http://127.0.0.1/', query: 'up', is: '>', value: 0 },
    { kind: 'check', name: '../../tmp/x' },
    { kind: 'check', name: 'x', run: ['true'] },
  ]) {
    t.false(gateSchema.safeParse(gate).success, JSON.stringify(gate));
    // In a record it may stand all the same: whoever owns Redis writes what they like.
    t.false((await check(gate as never, folder, signal)).ok, JSON.stringify(gate));
  }
});

test('what others could have written is not asked', async (t) => {
  const open = await declare({ kind: 'command', run: ['true'] });
  await chmod(join(folder, `${open}.json`), 0o666);
  t.regex((await named(open)).why, /^GATE_WRITABLE/);
  await symlink(join(folder, 'gate-1.json'), join(folder, 'link.json'));
  t.regex((await named('link')).why, /^GATE_UNDECLARED/);
  await run('mkfifo', [join(folder, 'pipe.json')]);
  t.regex((await named('pipe')).why, /^GATE_UNDECLARED/);
  for (const bad of [
    '',
    '{',
    '[]',
    '{"kind":"command"}',
    '{"kind":"http","url":"file:///etc/shadow"}',
    '{"kind":"http","url":"http://ann:secret@127.0.0.1/"}',
    '{"kind":"prometheus","url":"http://:secret@127.0.0.1/","query":"up","is":">","value":0}',
    ' '.repeat(20_000),
  ]) {
    t.regex((await ask(bad)).why, /^GATE_MALFORMED/, bad.slice(0, 40));
  }
});

test('an URL passes by its status, and no redirect is followed', async (t) => {
  const url = await serverFor(t, {}, 204);
  t.true((await ask({ kind: 'http', url, status: 204 })).ok);
  t.false((await ask({ kind: 'http', url })).ok);
  t.is((await ask({ kind: 'http', url: `${url}/moved`, status: 204 })).why, 'answered 302, wanted 204');
  t.false((await ask({ kind: 'http', url: 'http://127.0.0.1:1/' })).ok);
});

test('a Prometheus query passes when every sample compares, and never without one', async (t) => {
  const vector = (...values: string[]) => ({
    status: 'success',
    data: { resultType: 'vector', result: values.map((value) => ({ metric: {}, value: [1, value] })) },
  });
  const gate = async (body: unknown) =>
    ask({ kind: 'prometheus', url: await serverFor(t, body), query: 'errors', is: '<', value: 0.05 });
  t.true((await gate(vector('0.01', '0.049'))).ok);
  t.false((await gate(vector('0.01', '0.05'))).ok);
  t.false((await gate(vector('NaN'))).ok);
  t.false((await gate(vector())).ok);
  t.true((await gate({ status: 'success', data: { resultType: 'scalar', result: [1, '0'] } })).ok);
  t.false((await gate({ status: 'error' })).ok);
});

test('nobody answers: that is said, and is not a no', async (t) => {
  t.like(await ask({ kind: 'http', url: 'http://127.0.0.1:1/' }), { ok: false, away: true });
  t.like(await ask({ kind: 'http', url: await serverFor(t, {}, 503) }), { ok: false, away: true });
  t.like(await ask({ kind: 'command', run: ['/no/such/program'] }), { ok: false, away: true });
  const query = { kind: 'prometheus', query: 'up', is: '>', value: 0 };
  t.like(await ask({ ...query, url: 'http://127.0.0.1:1/' }), { ok: false, away: true });
  t.is((await ask({ kind: 'http', url: await serverFor(t, {}, 500) })).away, undefined, 'that is an answer');
  t.is((await ask({ kind: 'command', run: ['false'] })).away, undefined);
});
