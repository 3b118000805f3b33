import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import test from 'ava';
import { createLogger } from '../../../base/log.ts';
import { startEnrolment } from '../../../bootserver/enroll/server.ts';
import { type Authority, loadAuthority, rootPem } from '../../../keys/authority.ts';
import { generationsOf, makeGeneration, openGeneration } from '../../../keys/generations.ts';
import { keepIdentity, serverIdentity } from '../../../orchestrator/up/server-certificate.ts';
import { SERVER_NAME } from '../../../protocol/enrolment/messages.ts';
import { MemoryDirectory } from '../../bootserver/enroll/support/directory.ts';
import { keysIn } from '../../support/keys.ts';

const DAY = 24 * 3600_000;

function serialSeen(port: number, ca: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, ca, servername: SERVER_NAME }, () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

test('the certificate begins with its CA, which begins with the root, as later CAs do: no clock of this fleet is before that', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-identity-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await keysIn(folder);
  const root = new X509Certificate(await rootPem(folder));
  const begins = async (servers: Authority) =>
    new X509Certificate((await serverIdentity(servers, '127.0.0.1')).chainPem).validFromDate.getTime();
  const servers = await loadAuthority(folder, 'servers');
  t.is(await begins(servers), servers.notBefore.getTime());
  const later = [];
  for (let i = 0; i < 2; i += 1) {
    const made = await makeGeneration(folder, 'servers');
    later.push(made.id);
    const since = await begins(await openGeneration(made));
    t.is(since, made.certificate.validFromDate.getTime());
    t.true(Math.abs(since - root.validFromDate.getTime()) < 60_000, 'not the day on which it was made');
  }
  const order = (await generationsOf(folder, 'servers')).map(({ id }) => id);
  t.deepEqual(order, [servers.id, ...later], 'the order in which they were made');
});

test('a boot server that runs for months makes itself a new certificate in time, and nodes accept it', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-identity-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await keysIn(folder);
  const root = await rootPem(folder);
  const servers = await loadAuthority(folder, 'servers');
  const first = await serverIdentity(servers, '127.0.0.1');
  const stop = new AbortController();
  const server = await startEnrolment({
    listen: { host: '127.0.0.1', port: 0 },
    serverKey: first.key,
    serverChainPem: first.chainPem,
    nodesAuthority: await loadAuthority(folder, 'nodes'),
    rootPem: root,
    directory: new MemoryDirectory(),
    log: createLogger('test', 'silent'),
    heartbeatSeconds: 30,
    signal: stop.signal,
  });
  t.teardown(async () => {
    stop.abort();
    await server.closed;
  });
  let now = Date.now();
  let made = 0;
  const make = () => {
    made += 1;
    return serverIdentity(servers, '127.0.0.1');
  };
  const present = ({ key, chainPem }: typeof first) => server.present(key, chainPem);
  keepIdentity(first, make, present, stop.signal, { every: 5, now: () => now });

  const before = await serialSeen(server.port, root);
  now += 59 * DAY;
  await sleep(50);
  t.is(made, 0, 'not before two thirds of its 90 days');
  t.is(await serialSeen(server.port, root), before);
  now += 2 * DAY;
  while (made === 0) await sleep(5);
  // The timer and the making of a key take as long as they take; ava's own limit ends a test that waits in vain.
  while ((await serialSeen(server.port, root)) === before) await sleep(20);
  t.is(made, 1);
});
