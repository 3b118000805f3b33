import { once } from 'node:events';
import { get, request } from 'node:http';
import { connect } from 'node:net';
import os from 'node:os';
import test, { type ExecutionContext } from 'ava';
import { refusal } from '../../../base/error.ts';
import { type MetricsDoor, openMetricsDoor } from '../../../orchestrator/metrics/door.ts';
import { silent } from '../fleet/support.ts';

async function door(t: ExecutionContext, text: MetricsDoor['text']) {
  const stop = new AbortController();
  const opened = await openMetricsDoor({ port: 0, text, log: silent, signal: stop.signal });
  t.teardown(() => stop.abort());
  return { ...opened, stop };
}

async function ask(port: number, path: string, more: { method?: string; host?: string } = {}) {
  const { method = 'GET', host = `127.0.0.1:${port}` } = more;
  const asked = request({ host: '127.0.0.1', port, path, method, agent: false, headers: { host } }).end();
  const [answer] = await once(asked, 'response');
  let body = '';
  for await (const chunk of answer) body += chunk;
  return { status: answer.statusCode as number, type: answer.headers['content-type'], body };
}

test('metrics of all, and of one site', async (t) => {
  const { port } = await door(t, async ({ site }) => {
    if (site === 'none') throw refusal('SITE_UNKNOWN', 'there is no site none', '');
    if (site === 'broken') throw new Error('a secret reason');
    return [`a{site="${site ?? ''}"} 1\n`, 'b 2\n'];
  });
  t.like(await ask(port, '/metrics'), { status: 200, body: 'a{site=""} 1\nb 2\n' });
  t.is((await ask(port, '/metrics')).type, 'text/plain; version=0.0.4; charset=utf-8');
  t.like(await ask(port, '/metrics?site=par', { host: 'localhost' }), { body: 'a{site="par"} 1\nb 2\n' });
  t.like(await ask(port, '/metrics', { method: 'HEAD' }), { status: 200, body: '' });
  t.is((await ask(port, '/metrics?site=none')).status, 404);
  const broken = await ask(port, '/metrics?site=broken');
  t.is(broken.status, 503);
  t.notRegex(broken.body, /secret/);
});

test('nothing else is there, nothing is changed, and no name that somebody else gave leads here', async (t) => {
  const { port } = await door(t, async () => ['a 1\n']);
  for (const path of ['/', '/metrics/', '/metrics/x', '/metricsx', '//metrics'])
    t.is((await ask(port, path)).status, 404, path);
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS'])
    t.is((await ask(port, '/metrics', { method })).status, 405);
  // A page of somebody else's, whose name was made to mean this machine (DNS rebinding).
  for (const host of ['evil.example', 'evil.example:80', '127.0.0.1.evil.example', '10.0.0.1'])
    t.is((await ask(port, '/metrics', { host })).status, 421, host);
});

test('it is open on the loopback of this machine and nowhere else', async (t) => {
  const { port } = await door(t, async () => ['a 1\n']);
  const others = Object.values(os.networkInterfaces())
    .flatMap((all) => all ?? [])
    .filter(({ internal, family }) => !internal && family === 'IPv4');
  for (const { address } of others) {
    const socket = connect({ host: address, port });
    const [error] = await once(socket, 'error');
    t.is((error as NodeJS.ErrnoException).code, 'ECONNREFUSED', address);
  }
  t.is((await ask(port, '/metrics')).status, 200);
});

test('records are read for one at a time; who does not read its answer keeps nobody waiting', async (t) => {
  let now = 0;
  const { port } = await door(t, async () => {
    now += 1;
    t.is(now, 1);
    await new Promise((resolve) => setTimeout(resolve, 5));
    now -= 1;
    return Array.from({ length: 2000 }, () => `${'x'.repeat(50_000)}\n`);
  });
  const stuck = get({ host: '127.0.0.1', port, path: '/metrics', agent: false });
  const [answer] = await once(stuck, 'response');
  answer.pause();
  const all = await Promise.all([1, 2, 3].map(() => ask(port, '/metrics')));
  t.true(all.every(({ body }) => body.length === 2000 * 50_001));
  stuck.on('error', () => {}).destroy();
});

test('a port that is taken is said, and the end closes what is open', async (t) => {
  const { port, stop, done } = await door(t, async () => ['a 1\n']);
  await t.throwsAsync(
    openMetricsDoor({ port, text: async () => [], log: silent, signal: AbortSignal.timeout(60_000) }),
    { code: 'METRICS_PORT' },
  );
  const socket = connect({ host: '127.0.0.1', port }).on('error', () => {});
  await once(socket, 'connect');
  stop.abort();
  await done;
  await t.throwsAsync(ask(port, '/metrics'));
});
