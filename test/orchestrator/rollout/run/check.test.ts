import { createServer } from 'node:http';
import test, { type ExecutionContext } from 'ava';
import { gateSchema, type WaveGate } from '../../../../orchestrator/rollout/gate.ts';
import { check } from '../../../../orchestrator/rollout/run/check.ts';

const { signal } = new AbortController();
const ask = async (gate: object) => check(gateSchema.parse(gate) as WaveGate, signal);

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
  t.false((await ask({ kind: 'command', run: ['sleep', '60'], timeout: '1s' })).ok);
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
