/** What openssl makes of our lists: it shares no code with what wrote them. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { createLogger } from '../../base/log.ts';
import { mustRun, run } from '../../base/run.ts';
import { startHttp } from '../../bootserver/http/server.ts';
import { loadAuthority, spkiOf } from '../../keys/authority.ts';
import { keyLayout } from '../../keys/layout.ts';
import { CRL_TIMES, NodesCrl } from '../../orchestrator/fleet/bans/crl.ts';
import { BanSet } from '../../orchestrator/fleet/bans/set.ts';
import { sealBan } from '../../orchestrator/fleet/decisions/entry.ts';
import { keysIn } from '../support/keys.ts';

const folder = await mkdtemp(join(tmpdir(), 'bw-crl-'));
await keysIn(join(folder, 'keys'));
const nodes = await loadAuthority(join(folder, 'keys'), 'nodes');
const { ca } = keyLayout(join(folder, 'keys'));
const NOW = Date.now();
test.after.always(() => rm(folder, { recursive: true }));

function issue(): { pem: string; serial: string } {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return nodes.issue({
    spki: spkiOf(privateKey),
    commonName: 'n1',
    usage: 'client',
    notBefore: new Date(NOW - 3600_000),
    notAfter: new Date(NOW + 3600_000),
  });
}

async function crlText(der: Buffer): Promise<string> {
  const path = join(folder, `${Math.random()}.crl`);
  await writeFile(path, der);
  const args = ['crl', '-inform', 'DER', '-in', path, '-noout', '-text', '-CAfile', ca.nodes.certificate];
  const { stdout, stderr } = await mustRun('openssl', args);
  return stdout + stderr;
}

function setOf(...serials: string[]): BanSet {
  const set = new BanSet();
  ban(set, ...serials);
  return set;
}

function ban(set: BanSet, ...serials: string[]): void {
  const who = { at: NOW, actor: 'a', reason: 'r', name: null };
  for (const serial of serials)
    set.add(sealBan({ kind: 'ban', ...who, nodes: [], keys: [], serials: [serial] }));
}

test('openssl refuses exactly the revoked certificate, and takes the signature for ours', async (t) => {
  const [good, bad] = [issue(), issue()];
  const der = new NodesCrl(() => nodes, setOf(bad.serial)).current();
  t.regex(await crlText(der), /verify OK/);
  const verify = async ({ pem, serial }: { pem: string; serial: string }) => {
    const leaf = join(folder, `${serial}.pem`);
    const list = join(folder, `${serial}.crl`);
    await writeFile(leaf, pem);
    await writeFile(list, der);
    return run('openssl', [
      ...['verify', '-crl_check', '-CAfile', ca.root.certificate, '-untrusted', ca.nodes.certificate],
      ...['-CRLfile', list, leaf],
    ]);
  };
  t.regex((await verify(good)).stdout, /OK/);
  const refused = await verify(bad);
  t.not(refused.code, 0);
  t.regex(refused.stderr + refused.stdout, /certificate revoked/);
});

test('number, dates and entries read as they were written, empty lists and odd serials too', async (t) => {
  const request = { thisUpdate: new Date(0), nextUpdate: new Date('2049-12-31T23:59:59Z') };
  const empty = await crlText(nodes.revoke({ ...request, number: 1n, revoked: [] }));
  t.regex(empty, /No Revoked Certificates/);
  t.regex(empty, /Last Update: Jan {2}1 00:00:00 1970 GMT[\s\S]*Next Update: Dec 31 23:59:59 2049 GMT/);
  t.regex(empty, /X509v3 CRL Number: *\n? *1\n/);
  t.regex(empty, /X509v3 Authority Key Identifier/);
  const far = { thisUpdate: new Date(0), nextUpdate: new Date('2050-01-01T00:00:00Z') };
  const serials = ['0', '7f', '80', 'abc', `ff${'00'.repeat(18)}`, '00ff'];
  const text = await crlText(
    nodes.revoke({ ...far, number: 0xff12345678n, revoked: serials.map((serial) => ({ serial, at: NOW })) }),
  );
  t.regex(text, /verify OK/);
  t.regex(text, /Next Update: Jan {2}1 00:00:00 2050 GMT/);
  t.regex(text, /CRL Number: *\n? *(0x)?FF12345678|CRL Number: *\n? *1095522080376/i);
  t.deepEqual(
    [...text.matchAll(/Serial Number: (\S+)/g)].map(([, serial]) => serial),
    ['00', '7F', '80', '0ABC', `FF${'00'.repeat(18)}`, 'FF'],
  );
});

test('a list is kept while nothing is new, and its number only grows, whatever the clock does', async (t) => {
  const clock = { now: NOW };
  const set = setOf('aa');
  const crl = new NodesCrl(
    () => nodes,
    set,
    () => clock.now,
  );
  const numberOf = async (der: Buffer) => {
    const found = /CRL Number: *\n? *(\S+)/.exec(await crlText(der))?.[1] ?? '';
    return BigInt(found.startsWith('0x') || /^\d+$/.test(found) ? found : `0x${found}`);
  };
  const first = crl.current();
  clock.now += CRL_TIMES.renew - 1;
  t.is(crl.current(), first);
  ban(set, 'bb');
  const second = crl.current();
  t.not(second, first);
  clock.now += CRL_TIMES.renew;
  const third = crl.current();
  t.not(third, second, 'signed anew before it is out of date');
  clock.now -= 10 * CRL_TIMES.renew;
  const fourth = crl.current();
  const numbers = await Promise.all([first, second, third, fourth].map(numberOf));
  t.deepEqual(
    numbers,
    [...numbers].sort((a, b) => (a < b ? -1 : 1)),
  );
  t.is(new Set(numbers).size, 4);
});

test('it is served at /crl/nodes.crl', async (t) => {
  const crl = new NodesCrl(() => nodes, setOf('aa'));
  const stop = new AbortController();
  const common = {
    images: folder,
    loaders: folder,
    script: async () => '',
    log: createLogger('t', 'silent'),
  };
  const listen = { host: '127.0.0.1', port: 0 };
  const server = await startHttp({ ...common, listen, crl: () => crl.current(), signal: stop.signal });
  const without = await startHttp({ ...common, listen, signal: stop.signal });
  t.teardown(() => stop.abort());
  const answer = await fetch(`http://127.0.0.1:${server.port}/crl/nodes.crl`);
  t.is(answer.headers.get('content-type'), 'application/pkix-crl');
  t.deepEqual(Buffer.from(await answer.arrayBuffer()), crl.current());
  t.is((await fetch(`http://127.0.0.1:${without.port}/crl/nodes.crl`)).status, 404);
});
