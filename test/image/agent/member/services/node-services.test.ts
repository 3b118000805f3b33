/** The agent's loop against a root that says what it was told to, and a real server of bundles. */

import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { BootwaveError } from '../../../../../base/error.ts';
import type { AskHelper } from '../../../../../image/agent/member/helper-client.ts';
import {
  NodeSecrets,
  type NodeSecretsParts,
} from '../../../../../image/agent/member/services/node-secrets.ts';
import { NodeServices } from '../../../../../image/agent/member/services/node-services.ts';
import type { ServicesPace } from '../../../../../image/agent/member/services/parts.ts';
import { probe } from '../../../../../image/agent/member/services/probe.ts';
import type { AskServices, InstanceView, ServicesRequest } from '../../../../../protocol/agent/services.ts';
import { PATHS } from '../../../../../protocol/enrolment/messages.ts';
import { OPS } from '../../../../../protocol/link/messages.ts';
import type { Order } from '../../../../../protocol/order.ts';
import { until } from '../../../../support/until.ts';
import { mirrorServer } from '../mirror-server.ts';

const PATIENCE = 60_000;
const CONTENT = Buffer.from('a bundle');
const service = {
  name: 'fleet/a',
  version: '1',
  sha256: createHash('sha256').update(CONTENT).digest('hex'),
  size: CONTENT.length,
};
const view = (more: Partial<InstanceView> = {}): InstanceView => ({
  ...{ name: 'fleet/a', version: '1', state: 'running', why: '', runs: '1', restarts: 0, since: 1 },
  ...{ restraint: null, interface: null, check: null, secrets: null, stored: false },
  ...more,
});

const NO_SERVER: Pick<NodeSecretsParts, 'ask' | 'server'> = {
  ask: (async () => ({})) as unknown as AskHelper,
  server: () => null,
};

async function setUp(
  t: ExecutionContext,
  root: (asked: number, folder: string) => Promise<InstanceView[]>,
  secrets = NO_SERVER,
  pace: Partial<ServicesPace> = {},
) {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-node-services-'));
  const stop = new AbortController();
  const gets: string[] = [];
  const mirrors: string[] = [];
  const shares: { shared?: string[] } = {};
  const server = createServer((request, response) => {
    gets.push(request.url ?? '');
    if (request.url === `/bundles/${service.sha256}`) response.end(CONTENT);
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(async () => {
    stop.abort();
    server.closeAllConnections();
    server.close();
    await rm(folder, { recursive: true, force: true });
  });
  const state = {
    order: { services: [service], expires: Number.MAX_VALUE } as unknown as Order,
    digest: 'a',
    begun: false,
    released: true,
    reached: true,
    releases: 0,
    /** Called by a release that never answers; null: it does. */
    hang: null as (() => void) | null,
    check: true,
  };
  const asked: ServicesRequest[] = [];
  let applied = 0;
  const ask = (async (request: ServicesRequest) => {
    asked.push(request);
    if (request.operation === 'services-check') return { healthy: state.check };
    applied += 1;
    const instances = await root(applied, folder);
    return shares.shared === undefined ? { instances } : { instances, shared: shares.shared };
  }) as AskServices;
  const services = new NodeServices({
    ask,
    order: () => ({ order: state.order, digest: state.digest }),
    hasBegun: async () => state.begun,
    release: async (_service, _order, signal) => {
      if (state.hang !== null) {
        state.hang();
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      }
      if (!state.reached)
        throw new BootwaveError({ code: 'RELEASE_METADATA_UNREACHABLE', what: 'no server' });
      state.releases += 1;
      if (!state.released) throw new BootwaveError({ code: 'RELEASE_NOT_LISTED', what: 'not released' });
    },
    bundleUrl: (sha256) => `http://127.0.0.1:${(server.address() as AddressInfo).port}/bundles/${sha256}`,
    mirrors: () => ({ addresses: mirrors, pace: { silence: 60_000, least: 0, window: 60_000 } }),
    downloads: join(folder, 'bundles'),
    probe,
    secrets: new NodeSecrets({ ...secrets, signal: stop.signal }),
    log: { info: () => {}, warn: () => {} },
    now: Date.now,
    signal: stop.signal,
    pace: { unsettled: 0, settled: 0, first: 0, most: 0, spread: 0, ...pace },
  });
  return { services, state, asked, gets, folder, mirrors, root: shares };
}

test('what root lacks is fetched, handed over and not kept twice', async (t) => {
  let took = '';
  const { services, folder, gets } = await setUp(t, async (_, at) => {
    const [name] = await readdir(join(at, 'bundles')).catch(() => []);
    if (name !== undefined) took = await readFile(join(at, 'bundles', name), 'utf8');
    return [view(took === '' ? { state: 'fetching', runs: null, since: null } : {})];
  });
  await services.look();
  t.is(took, 'a bundle');
  t.deepEqual(gets, [`/bundles/${service.sha256}`]);
  t.deepEqual(await readdir(join(folder, 'bundles')), []);
  t.is(services.status()[0]!.health, 'healthy');
  await services.look();
  t.is(gets.length, 1);
});

test('a bundle comes from a neighbour that has it; what a mirror here serves is told', async (t) => {
  const { services, gets, mirrors, root } = await setUp(t, async (asked) => [
    view(asked < 3 ? { state: 'fetching', runs: null, since: null } : {}),
  ]);
  const { address, asked } = await mirrorServer(t, CONTENT);
  mirrors.push(address);
  t.is(services.shared, undefined);
  root.shared = ['f'.repeat(64)];
  await services.look();
  t.deepEqual(asked, [`/bundles/${service.sha256}`]);
  t.deepEqual(gets, []);
  t.deepEqual(services.shared, ['f'.repeat(64)]);
});

test('nothing is fetched that is not released, and the link says why', async (t) => {
  const { services, state, gets } = await setUp(t, async () => [view({ state: 'fetching', runs: null })]);
  state.released = false;
  await services.look();
  t.deepEqual(gets, []);
  t.is(services.status()[0]!.why, 'not released [RELEASE_NOT_LISTED]');
});

test('a node without services never starts root for them', async (t) => {
  const { services, state, asked, folder } = await setUp(t, async () => []);
  state.order = { services: [], expires: Number.MAX_VALUE } as unknown as Order;
  await services.look();
  t.deepEqual(asked, []);
  // The agent was restarted, and an order took all of them away.
  state.begun = true;
  await services.look();
  t.is(asked.length, 1);
  // The machine was restarted since; what was fetched before is on its disk, and root's copy with it.
  state.begun = false;
  await mkdir(join(folder, 'bundles'));
  await writeFile(join(folder, 'bundles/half.download'), 'x');
  await services.look();
  t.is(asked.length, 2);
  t.deepEqual(await readdir(folder), []);
  await services.look();
  t.is(asked.length, 2, 'once');
});

test('an order that has expired changes nothing; a root that fails is asked again, and not at once', async (t) => {
  const { services, state, asked } = await setUp(t, async () => {
    throw new Error('no helper');
  });
  state.order = { services: [service], expires: Date.now() - 1 } as unknown as Order;
  await services.look();
  t.deepEqual(asked, []);
  state.order = { services: [service], expires: Number.MAX_VALUE } as unknown as Order;
  await services.look();
  t.is(asked.length, 1);
});

test('health is asked of what runs, told, and said to root, which starts what waits for it', async (t) => {
  const health = { every: 1, timeout: 1, failures: 1, grace: 0 };
  const check = {
    address: '127.0.0.1',
    health: { ...health, check: { kind: 'exec' as const, command: ['/x'] } },
  };
  const { services, state, asked } = await setUp(t, async () => [view({ check })]);
  await services.look();
  await services.look();
  await until(() => services.status()[0]!.health === 'healthy');
  await services.look();
  const last = asked.filter(({ operation }) => operation === 'services-apply').at(-1);
  t.deepEqual(last, { operation: 'services-apply', healthy: ['fleet/a'] });
  state.check = false;
  for (const end = performance.now() + PATIENCE; services.status()[0]!.health !== 'ill'; await sleep(50)) {
    if (performance.now() > end) throw new Error('it did not fall ill');
    await services.look();
  }
  t.pass();
});

test('what the agent tells fits the link, however long a reason is; a server from before services reads it', async (t) => {
  const { services } = await setUp(t, async () => [
    view({ state: 'refused', why: `${'x'.repeat(5000)}\n\u0007`, runs: null, since: null }),
  ]);
  await services.look();
  const told = services.status();
  const status = {
    node: 'n',
    running: { version: '1', kernel: '6', bootId: 'b', pcr11: null },
    mode: 'netboot',
    state: 'idle',
    order: null,
    slots: [],
    staging: null,
    refused: [],
    health: { healthy: true, reason: '' },
  };
  t.deepEqual(OPS.status.result.parse({ ...status, services: told }).services, told);
  t.is(OPS.status.result.parse(status).services, undefined, 'an older node says nothing of them');
});

test('a probe is well with an answer in time, and never longer than it may', async (t) => {
  const server = createServer((request, response) => {
    if (request.url === '/hang') return;
    response.writeHead(request.url === '/ok' ? 204 : 500).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  t.true(await probe('127.0.0.1', port, '/ok', 5000));
  t.false(await probe('127.0.0.1', port, '/bad', 5000));
  t.false(await probe('127.0.0.1', port, '/hang', 50));
  t.true(await probe('127.0.0.1', port, null, 5000));
  t.false(await probe('127.0.0.1', 1, null, 5000));
});

test('all that the order in force names is told at once, and what it names no more for as long as it is there', async (t) => {
  const { services, state } = await setUp(t, async () => [view()]);
  t.like(services.status(), [{ name: 'fleet/a', version: '1', state: 'starting', health: 'unknown' }]);
  await services.look();
  t.like(services.status(), [{ state: 'running', health: 'healthy' }]);
  const next = { ...service, version: '2' };
  state.order = { ...state.order, services: [next, { ...service, name: 'fleet/b' }] };
  state.digest = 'b';
  const told = () => services.status().map(({ name, version, state }) => `${name}:${version} ${state}`);
  t.deepEqual(told(), ['fleet/a:2 starting', 'fleet/b:1 starting']);
  state.order = { ...state.order, services: [] };
  t.deepEqual(told(), ['fleet/a:1 running'], 'it has not ended yet');
});

test('what root refuses counts once the metadata was fetched for this order', async (t) => {
  const { services, state } = await setUp(t, async () => [
    view({ state: 'refused', why: 'not released [SERVICE_NOT_RELEASED]', runs: null, since: null }),
  ]);
  state.released = false;
  await services.look();
  t.like(services.status()[0], { state: 'fetching', why: 'not released [RELEASE_NOT_LISTED]' });
  state.released = true;
  await services.look();
  t.like(services.status()[0], { state: 'refused', why: 'not released [SERVICE_NOT_RELEASED]' });
  state.digest = 'b';
  t.is(services.status()[0]!.state, 'fetching', 'an order that is in force already, and not looked at yet');
  state.released = false;
  await services.look();
  t.is(services.status()[0]!.state, 'fetching', 'another order, another metadata');
});

test('what was withdrawn is refused, though no metadata names it: its bundle is here, and nothing is fetched', async (t) => {
  const refused = {
    state: 'refused',
    why: 'withdrawn [SERVICE_NOT_RELEASED]',
    runs: null,
    since: null,
  } as const;
  const { services, state, gets } = await setUp(t, async () => [view({ ...refused, stored: true })]);
  state.released = false;
  for (const _ of [1, 2]) {
    await services.look();
    t.like(services.status()[0], { state: 'refused', why: refused.why });
  }
  t.deepEqual(gets, []);
});

test('what runs is heard of after a start and each hour, so that root knows what was withdrawn', async (t) => {
  const withdrawn = view({ why: 'it goes on [SERVICE_NOT_RELEASED]' });
  const root = async () => [state.releases > 0 ? withdrawn : view()];
  const { services, state, asked } = await setUp(t, root, NO_SERVER, { hear: 3600_000 });
  state.reached = false;
  await services.look();
  t.is(state.releases, 0);
  t.is(asked.length, 1, 'root is not asked again when nothing was heard');
  state.reached = true;
  state.released = false;
  await services.look();
  t.is(state.releases, 1, 'a server that was away is asked at the next look');
  t.like(services.status()[0], { state: 'running', why: withdrawn.why });
  await services.look();
  t.is(state.releases, 1);

  const often = await setUp(t, async () => [view()], NO_SERVER, { hear: 0 });
  for (const times of [1, 2]) {
    await often.services.look();
    t.is(often.state.releases, times);
  }
  often.state.order = { ...often.state.order, services: [] };
  await often.services.look();
  t.is(often.state.releases, 2, 'nothing is ordered');
});

test('another order ends what is being fetched for the one before', async (t) => {
  const { services, state, asked } = await setUp(t, async () => [
    view({ state: 'fetching', runs: null, since: null }),
  ]);
  let waits = 0;
  state.hang = () => {
    waits += 1;
  };
  const first = services.look();
  await until(() => waits === 1);
  state.order = { ...state.order, services: [] };
  state.digest = 'b';
  await services.look();
  await first;
  const before = asked.length;
  await services.look();
  t.is(asked.length, before + 1, 'and the new one is looked at');
});

test('secrets are asked for while root lacks them and when a server has changed one; why there are none is told', async (t) => {
  const said: string[] = [];
  const server = { number: 5, refusal: null as BootwaveError | null, there: true };
  const held = { number: null as number | null };
  const { services } = await setUp(
    t,
    async () => [
      view({
        ...{ secrets: { number: held.number }, state: held.number === null ? 'waiting' : 'running' },
        why: held.number === null ? 'for its secrets: a [SERVICE_SECRETS]' : '',
      }),
    ],
    {
      ask: (async (request: { operation: string; nonce?: string }) => {
        said.push(`${request.operation}${request.nonce === undefined ? '' : ` ${request.nonce}`}`);
        if (request.operation === 'secrets-ask') return { question: request.nonce };
        held.number = server.number;
        return { changed: true };
      }) as unknown as AskHelper,
      server: () =>
        server.there
          ? ({
              async post(path: string, body: unknown) {
                said.push(path);
                if (path === PATHS.secretsNonce) return { nonce: 'n', number: server.number };
                t.deepEqual(body, { question: 'n' });
                if (server.refusal !== null) throw server.refusal;
                return {};
              },
            } as never)
          : null,
    },
  );
  const told = () => services.status()[0]!;
  const whole = [PATHS.secretsNonce, 'secrets-ask n', PATHS.secrets, 'secrets-take'];
  server.there = false;
  await services.look();
  t.regex(told().why, /SERVER_UNREACHABLE/);
  t.is(told().state, 'waiting');
  server.there = true;
  server.refusal = new BootwaveError({ code: 'SECRETS_UNSET', what: 'a is not set' });
  await services.look();
  t.is(told().why, 'a is not set [SECRETS_UNSET]');
  t.is(told().secrets, undefined);
  server.refusal = null;
  said.length = 0;
  await services.look();
  t.deepEqual(said, whole);
  t.like(told(), { state: 'running', why: '', secrets: 5 });

  said.length = 0;
  await services.look();
  t.deepEqual(said, [], 'what is there is not asked for');
  services.heard(7);
  await services.look();
  t.deepEqual(said, [PATHS.secretsNonce], 'another service has changed: nothing is made or opened for that');
  await services.look();
  t.is(said.length, 1);
  said.length = 0;
  server.number = 8;
  services.heard(8);
  services.heard(8);
  await services.look();
  t.deepEqual(said, whole);
  t.is(told().secrets, 8);
});

test('what runs is told with where its numbers are: an ended version does not run, a former one goes on', async (t) => {
  const views = [
    view({ interface: 'bws1' }),
    view({ name: 'fleet/b', state: 'failed', runs: '1', interface: 'bws2' }),
    view({ name: 'fleet/c', version: '2', state: 'failed', runs: '1', interface: 'bws3' }),
    view({ name: 'fleet/d', state: 'waiting', runs: null, why: 'for fleet/a' }),
  ];
  const { services } = await setUp(t, async () => views);
  await services.look();
  t.deepEqual(
    services.told().map(({ name, runs, interface: card, why }) => [name, runs, card, why]),
    [
      ['fleet/a', '1', 'bws1', undefined],
      ['fleet/b', null, 'bws2', undefined],
      ['fleet/c', '1', 'bws3', undefined],
      ['fleet/d', null, null, 'for fleet/a'],
    ],
  );
});
