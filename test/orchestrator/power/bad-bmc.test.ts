/** What a BMC, or whoever stands in its place, may do to us: nothing. Each case through the real driver. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { selfSigned } from '../../../lab/bmc/redfish-server.ts';
import { type Access, bmcError } from '../../../orchestrator/power/bmc.ts';
import { ipmi } from '../../../orchestrator/power/ipmi.ts';
import { askPinned, fingerprintIn, Line, shownPin } from '../../../orchestrator/power/pinned.ts';
import { redfish } from '../../../orchestrator/power/redfish.ts';
import { never, SWITCH } from './benches.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** An HTTPS server that does this, and every header of authorization that it was sent. */
async function server(t: ExecutionContext, handle: Handler) {
  const folder = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  await selfSigned(key, cert);
  const told: string[] = [];
  const listening = createServer(
    { key: await readFile(key), cert: await readFile(cert) },
    (request, response) => {
      if (request.headers.authorization !== undefined) told.push(request.headers.authorization);
      response.on('error', () => {});
      handle(request, response);
    },
  ).listen(0, '127.0.0.1');
  await once(listening, 'listening');
  t.teardown(() => {
    listening.closeAllConnections();
    listening.close();
  });
  const { port } = listening.address() as AddressInfo;
  const place = { host: '127.0.0.1', port };
  const pin = await shownPin(place, never);
  const access: Access = { kind: 'redfish', ...place, user: 'u', password: 'p', pin, suite: null };
  return { access, told };
}

const LIMITS = { question: 500, answer: 10_000 };
const ROOT = { method: 'GET', path: '/redfish/v1/' } as const;

test('a certificate that changed is sent nothing', async (t) => {
  const { access, told } = await server(t, (_, response) => response.end('{}'));
  const other = { ...access, pin: access.pin!.replace(/./, (digit) => (digit === '0' ? '1' : '0')) };
  await t.throwsAsync(askPinned(other, ROOT, never), { code: 'BMC_PIN' });
  await t.throwsAsync(askPinned({ ...access, pin: null }, ROOT, never), { code: 'BMC_PIN' });
  t.deepEqual(told, []);
  await askPinned(access, ROOT, never);
  t.is(told.length, 1);
});

test('questions share a connection that was judged; one that its BMC ends in between is asked again, over another', async (t) => {
  const ports: number[] = [];
  const { access } = await server(t, ({ socket }, response) => {
    ports.push(socket.remotePort!);
    // The third question meets an end in place of an answer.
    if (ports.length === 3) socket.destroy();
    else response.end('{}');
  });
  const line = new Line(access);
  t.teardown(() => line.destroy());
  for (let n = 0; n < 3; n += 1) await askPinned(access, ROOT, never, undefined, line);
  t.is(ports.length, 4);
  t.is(new Set(ports.slice(0, 3)).size, 1);
  t.not(ports[3], ports[2]);
  const other = { ...access, pin: '0'.repeat(64) };
  await t.throwsAsync(askPinned(other, ROOT, never, undefined, new Line(other)), { code: 'BMC_PIN' });
  t.is(ports.length, 4);
});

test('a command is sent once, however it ends', async (t) => {
  const told: string[] = [];
  const claim = { uuids: [SWITCH.uuid], serial: SWITCH.serial };
  const answers: Record<string, object> = {
    '/redfish/v1/': { Systems: { '@odata.id': '/redfish/v1/Systems' } },
    '/redfish/v1/Systems': { Members: [{ '@odata.id': '/redfish/v1/Systems/1' }] },
    '/redfish/v1/Systems/1': {
      '@odata.id': '/redfish/v1/Systems/1',
      PowerState: 'On',
      Actions: {
        '#ComputerSystem.Reset': {
          target: '/redfish/v1/Systems/1/Actions/Reset',
          'ResetType@Redfish.AllowableValues': ['ForceRestart'],
        },
      },
    },
  };
  const { access } = await server(t, ({ method, url, socket }, response) => {
    if (method === 'POST') told.push(url!);
    if (method === 'POST') socket.destroy();
    else response.end(JSON.stringify(answers[url!]));
  });
  await t.throwsAsync(redfish(access, claim, never).act('reset'), { code: 'BMC_SILENT' });
  t.is(told.length, 1);
});

test('a redirect is never followed, and nobody else hears the credentials', async (t) => {
  const thief = await server(t, (_, response) => response.end('{}'));
  for (const status of [301, 302, 303, 307, 308]) {
    const { access } = await server(t, (_, response) => {
      response.writeHead(status, { location: `https://127.0.0.1:${thief.access.port}/redfish/v1/` }).end();
    });
    await t.throwsAsync(askPinned(access, ROOT, never), { code: 'BMC_REDIRECT' });
  }
  t.deepEqual(thief.told, []);
});

test('links and targets of actions to another host are no Redfish', async (t) => {
  const claim = { uuids: [SWITCH.uuid], serial: SWITCH.serial };
  for (const away of [
    'https://10.0.0.9/redfish/v1/Systems',
    '//10.0.0.9/Systems',
    'Systems',
    '/a\\b',
    '/a b',
    7,
  ]) {
    const { access } = await server(t, (_, response) => {
      response.end(JSON.stringify({ Systems: { '@odata.id': away } }));
    });
    await t.throwsAsync(redfish(access, claim, never).power(), { code: 'BMC_ANSWER' }, String(away));
  }
});

test('silence, silence in the middle of an answer, and an answer without an end cost a bounded time', async (t) => {
  const deaf = await server(t, () => {});
  await t.throwsAsync(askPinned(deaf.access, ROOT, never, LIMITS), { code: 'BMC_SILENT' });
  const half = await server(t, (_, response) => {
    response.writeHead(200, { 'content-length': 100 });
    response.write('{"Systems":');
  });
  await t.throwsAsync(askPinned(half.access, ROOT, never, LIMITS), { code: 'BMC_SILENT' });
  const drop = await server(t, (_, response) => {
    const timer = setInterval(() => response.write(' '), 50);
    response.on('close', () => clearInterval(timer));
  });
  await t.throwsAsync(askPinned(drop.access, ROOT, never, LIMITS), { code: 'BMC_SILENT' });
  const endless = await server(t, (_, response) => {
    const more = () => {
      while (!response.destroyed && response.write('x'.repeat(4096)));
    };
    response.on('drain', more);
    more();
  });
  await t.throwsAsync(askPinned(endless.access, ROOT, never, { ...LIMITS, question: 10_000 }), {
    code: 'BMC_ANSWER',
  });
  const broken = await server(t, (request) => request.socket.destroy());
  await t.throwsAsync(askPinned(broken.access, ROOT, never, LIMITS), { code: 'BMC_SILENT' });
});

test('what is no JSON, no Redfish, or no status of success is refused with what is wrong', async (t) => {
  for (const [body, status] of [
    ['', 200],
    ['<html>', 200],
    ['[]', 200],
    ['{"Systems":{}}', 200],
    ['{"Systems":{"@odata.id":"/x"}}', 500],
  ] as const) {
    const { access } = await server(t, (_, response) => response.writeHead(status).end(body));
    const asked = redfish(access, { uuids: [], serial: null }, never).power();
    await t.throwsAsync(asked, { code: 'BMC_ANSWER' }, body);
  }
});

test('of several systems the one that is the node is used, and none where none is', async (t) => {
  const systems: Record<string, object> = {
    '/redfish/v1/': { Systems: { '@odata.id': '/s' } },
    '/s': { Members: [{ '@odata.id': '/s/1' }, { '@odata.id': '/s/2' }] },
    '/s/1': {
      '@odata.id': '/s/1',
      UUID: '00000000-0000-0000-0000-000000000001',
      SerialNumber: 'A',
      PowerState: 'Off',
    },
    '/s/2': { '@odata.id': '/s/2', UUID: SWITCH.uuid.toUpperCase(), SerialNumber: 'B', PowerState: 'On' },
  };
  const { access } = await server(t, (request, response) => {
    response.end(JSON.stringify(systems[request.url ?? ''] ?? {}));
  });
  t.is(await redfish(access, { uuids: [SWITCH.uuid], serial: '' }, never).power(), 'on');
  t.is(await redfish(access, { uuids: [], serial: 'a' }, never).power(), 'off');
  const nobody = redfish(access, { uuids: [], serial: 'C' }, never).power();
  await t.throwsAsync(nobody, { code: 'BMC_OTHER_NODE' });
});

test('ipmi: who answers with noise, or not at all, is silent; the password is in no argument', async (t) => {
  const noise = createSocket('udp4');
  t.teardown(() => noise.close());
  noise.on('message', (_, from) => noise.send(Buffer.alloc(64, 0xff), from.port, from.address));
  noise.bind(0, '127.0.0.1');
  await once(noise, 'listening');
  const { port } = noise.address();
  const access: Access = {
    kind: 'ipmi',
    host: '127.0.0.1',
    port,
    user: 'u',
    password: 'p4ss',
    pin: null,
    suite: 3,
  };
  await t.throwsAsync(ipmi(access, never).power(), { code: 'BMC_SILENT' });
});

test('redfish: slow answers of many systems end with the turn, and say so', async (t) => {
  const members = Array.from({ length: 64 }, (_, n) => ({ '@odata.id': `/s/${n}` }));
  let looks = 0;
  const { access } = await server(t, (request, response) => {
    if (request.url === '/redfish/v1/') return void response.end('{"Systems":{"@odata.id":"/s"}}');
    if (request.url === '/s') return void response.end(JSON.stringify({ Members: members }));
    looks += 1;
    if (looks === 3) turn.abort(bmcError('BMC_SLOW', 'its turn is over', ''));
    setTimeout(() => response.end(JSON.stringify({ '@odata.id': request.url })), 20);
  });
  const turn = new AbortController();
  const asked = redfish(access, { uuids: [], serial: 'C' }, turn.signal).power();
  await t.throwsAsync(asked, { code: 'BMC_SLOW' });
  t.is(looks, 3);
  await t.throwsAsync(askPinned(access, ROOT, turn.signal), { code: 'BMC_SLOW' });
});

test('fingerprints are read as people write them', (t) => {
  const hex = 'ab'.repeat(32);
  for (const text of [
    hex,
    hex.toUpperCase(),
    hex.replace(/..(?=.)/g, '$&:'),
    `SHA256:${hex}`,
    ` sha-256=${hex} `,
  ])
    t.is(fingerprintIn(text), hex, text);
  for (const text of ['', 'ab', `${hex}00`, `sha1:${hex}`, hex.replace('a', 'g')])
    t.is(fingerprintIn(text), null, text);
});
