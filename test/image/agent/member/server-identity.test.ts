import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import { BootwaveError } from '../../../../base/error.ts';
import { BootServer } from '../../../../image/agent/member/boot-server.ts';
import { AUTHORITY_COMMON_NAME, spkiOf } from '../../../../keys/authority.ts';
import { makeCertificate } from '../../../../keys/certificate.ts';
import { keyLayout } from '../../../../keys/layout.ts';
import { SERVER_NAME, startReply } from '../../../../protocol/enrolment/messages.ts';
import { Fleet, type Leaf } from '../../../bootserver/enroll/support/fleet.ts';

const fleet = await Fleet.make();
const foreign = await Fleet.make('theirs');
const day = 24 * 3600_000;
const lifetime = { notBefore: new Date(Date.now() - day), notAfter: new Date(Date.now() + day) };
const lax = {
  servers: await laxCa(AUTHORITY_COMMON_NAME.servers),
  nodes: await laxCa(AUTHORITY_COMMON_NAME.nodes),
  alike: await laxCa(`${AUTHORITY_COMMON_NAME.servers} 2`),
};
test.after.always(async () => {
  await fleet.remove();
  await foreign.remove();
});

const { nodes, servers, operators } = fleet.authorities;
const dnsNames = [SERVER_NAME];
const reply = { session: '0'.repeat(32), commitment: '0'.repeat(64) };

/** A TLS server that would answer anyone; `asked` counts the requests that got through to it. */
async function impostor({ keyPem, chain }: Leaf, maxVersion: 'TLSv1.2' | 'TLSv1.3' = 'TLSv1.3') {
  let asked = 0;
  const server = createServer({ key: keyPem, cert: chain, maxVersion }, (_, response) => {
    asked += 1;
    response.end(JSON.stringify(reply));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get asked() {
      return asked;
    },
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

test('what the lax CA of the tests above issues is otherwise a sound boot server', async (t) => {
  const peer = await impostor(leafOf(lax.servers, { serverAuth: true }));
  const client = new BootServer(peer.url, fleet.root);
  t.teardown(() => {
    client.close();
    peer.close();
  });
  t.deepEqual(await client.post('/', {}, startReply), reply);
});

test('a sound boot server that speaks no TLS 1.3 is not spoken to', async (t) => {
  const peer = await impostor(leafOf(lax.servers, { serverAuth: true }), 'TLSv1.2');
  const client = new BootServer(peer.url, fleet.root);
  t.teardown(() => {
    client.close();
    peer.close();
  });
  const error = await t.throwsAsync(client.post('/', {}, startReply), { code: 'SERVER_UNREACHABLE' });
  t.regex(`${(error as BootwaveError).what} ${String(error?.cause)}`, /protocol version/);
  t.is(peer.asked, 0);
});

test('a certificate of the servers CA with the fixed name is a boot server, whatever its address', async (t) => {
  const peer = await impostor(fleet.serverLeaf());
  const client = new BootServer(peer.url, fleet.root);
  t.teardown(() => {
    client.close();
    peer.close();
  });
  t.deepEqual(await client.post('/', {}, startReply), reply);
});

/**
 * A CA of this fleet that does not limit its certificates to a purpose, as `keys init` does: what is then left between
 * a node and the boot server's place is the agent's own judgement.
 */
async function laxCa(
  commonName: string,
): Promise<{ pem: string; key: KeyObject; subject: { commonName: string } }> {
  const layout = keyLayout(join(fleet.folder, 'keys'));
  const rootKey = createPrivateKey(await readFile(layout.ca.root.key));
  const { privateKey: key } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const subject = { commonName };
  const { pem } = makeCertificate({
    subject,
    issuer: { commonName: AUTHORITY_COMMON_NAME.root },
    issuerSpki: spkiOf(rootKey),
    spki: spkiOf(key),
    signer: rootKey,
    ...lifetime,
    extensions: [
      { name: 'basicConstraints', cA: true, pathLenConstraint: 0, critical: true },
      { name: 'keyUsage', keyCertSign: true, critical: true },
    ],
  });
  return { pem, key, subject };
}

/** @param usage extKeyUsage, none when left out */
function leafOf(ca: Awaited<ReturnType<typeof laxCa>>, usage?: object): Leaf {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { pem, serial } = makeCertificate({
    subject: { commonName: 'test' },
    issuer: ca.subject,
    issuerSpki: spkiOf(ca.key),
    spki: spkiOf(privateKey),
    signer: ca.key,
    ...lifetime,
    extensions: [
      { name: 'subjectAltName', altNames: [{ type: 2, value: SERVER_NAME }] },
      ...(usage === undefined ? [] : [{ name: 'extKeyUsage', ...usage }]),
    ],
  });
  const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return { key: privateKey, keyPem, chain: pem + ca.pem, serial };
}

/** The root is known to the client, the issuing CA is not. */
function withoutCa(leaf: Leaf): Leaf {
  return { ...leaf, chain: leaf.chain.slice(0, leaf.chain.indexOf('-----BEGIN', 1)) };
}

const impostors: [string, Leaf][] = [
  ['a node', fleet.leaf(nodes, { usage: 'client', dnsNames })],
  ['a node with a server certificate and the name', fleet.leaf(nodes, { usage: 'server', dnsNames })],
  [
    'an operator with a server certificate and the name',
    fleet.leaf(operators, { usage: 'server', dnsNames }),
  ],
  ['a client certificate of the servers CA', fleet.leaf(servers, { usage: 'client', dnsNames })],
  ['another name', fleet.leaf(servers, { usage: 'server', dnsNames: ['boot.example'] })],
  ['no name but the address', fleet.leaf(servers, { usage: 'server', ipAddresses: ['127.0.0.1'] })],
  ['a server certificate of a nodes CA that is not limited', leafOf(lax.nodes, { serverAuth: true })],
  ['a server certificate of a CA with nearly the right name', leafOf(lax.alike, { serverAuth: true })],
  ['a certificate for any purpose', leafOf(lax.servers)],
  ['another fleet', foreign.serverLeaf()],
  ['a certificate without its CA', withoutCa(fleet.serverLeaf())],
  [
    'an expired certificate',
    fleet.leaf(servers, {
      usage: 'server',
      dnsNames,
      notBefore: new Date(Date.now() - 2 * day),
      notAfter: new Date(Date.now() - day),
    }),
  ],
  [
    'a certificate of the future',
    fleet.leaf(servers, {
      usage: 'server',
      dnsNames,
      notBefore: new Date(Date.now() + day),
      notAfter: new Date(Date.now() + 2 * day),
    }),
  ],
];
for (const [title, leaf] of impostors) {
  test(`${title} cannot play boot server: nothing is sent to it`, async (t) => {
    const peer = await impostor(leaf);
    const client = new BootServer(peer.url, fleet.root);
    t.teardown(() => {
      client.close();
      peer.close();
    });
    const error = await t.throwsAsync(client.post('/', { secret: true }, startReply), {
      instanceOf: BootwaveError,
    });
    t.is(error.code, 'SERVER_NOT_TRUSTED', error.message);
    t.is(peer.asked, 0);
  });
}

test('a wrong clock is named as what may be wrong', async (t) => {
  const peer = await impostor(impostors.find(([title]) => title === 'a certificate of the future')![1]);
  const client = new BootServer(peer.url, fleet.root);
  t.teardown(() => {
    client.close();
    peer.close();
  });
  await t.throwsAsync(client.post('/', {}, startReply), { message: /is its clock right/ });
});

test('nobody there, garbage and an endless answer are told apart from a no', async (t) => {
  const gone = await impostor(fleet.serverLeaf());
  gone.close();
  const client = new BootServer(gone.url, fleet.root);
  t.teardown(() => client.close());
  t.is(
    (await t.throwsAsync(client.post('/', {}, startReply), { instanceOf: BootwaveError })).code,
    'SERVER_UNREACHABLE',
  );
  const { keyPem, chain } = fleet.serverLeaf();
  const server = createServer({ key: keyPem, cert: chain }, (request, response) => {
    if (request.url === '/garbage') response.end('<html>');
    else if (request.url === '/silence') response.flushHeaders();
    else {
      const pour = () => {
        while (!response.destroyed && response.write('x'.repeat(65536)));
        if (!response.destroyed) response.once('drain', pour);
      };
      pour();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const odd = new BootServer(`https://127.0.0.1:${(server.address() as AddressInfo).port}`, fleet.root);
  t.teardown(() => {
    odd.close();
    server.closeAllConnections();
    server.close();
  });
  // An answer is waited for, however busy this machine is.
  for (const [path, code, patience] of [
    ['/garbage', 'SERVER_ANSWER', 60_000],
    ['/endless', 'SERVER_UNREACHABLE', 1000],
    ['/silence', 'SERVER_UNREACHABLE', 1000],
  ] as const) {
    const error = await t.throwsAsync(odd.post(path, {}, startReply, patience), {
      instanceOf: BootwaveError,
    });
    t.is(error.code, code, path);
  }
});
