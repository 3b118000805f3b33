import { createPublicKey, generateKeyPairSync, sign, X509Certificate } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { connect } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { BootwaveError } from '../../../base/error.ts';
import { clientIdentity } from '../../../bootserver/enroll/client-certificate.ts';
import { trustOf } from '../../../bootserver/enroll/trust.ts';
import { sha256 } from '../../../formats/digest.ts';
import { EVENT_LOG_LIMITS } from '../../../formats/efi/event-log.ts';
import { der, TAG } from '../../../image/agent/member/der.ts';
import { extraData } from '../../../protocol/enrolment/extra-data.ts';
import { heartbeatSchema } from '../../../protocol/enrolment/heartbeat.ts';
import { inventorySchema } from '../../../protocol/enrolment/inventory.ts';
import {
  type KeysRequest,
  LIMITS,
  PATHS,
  proofRequest,
  SERVER_NAME,
  statusReply,
} from '../../../protocol/enrolment/messages.ts';
import { QUOTED_PCRS } from '../../../protocol/enrolment/quote.ts';
import { enrolmentWords } from '../../../protocol/enrolment/words.ts';
import { Fleet, type Leaf, serve, type TestServer } from './support/fleet.ts';
import { HonestNode, makeKey, RUNNING, Wire } from './support/node.ts';
import { RogueTpm, SOUND } from './support/rogue.ts';
import { SoftwareTpm } from './support/swtpm.ts';

const fleet = await Fleet.make();
const foreign = await Fleet.make('theirs');
const tpmFolder = join(fleet.folder, 'tpm-a');
const otherFolder = join(fleet.folder, 'tpm-b');
await mkdir(tpmFolder);
await mkdir(otherFolder);
const software = await new SoftwareTpm(tpmFolder).start();
const otherSoftware = await new SoftwareTpm(otherFolder).start();
const rogue = new RogueTpm(tpmFolder, software);
const node = await HonestNode.withTpm(tpmFolder, software);
const other = await HonestNode.withTpm(otherFolder, otherSoftware);

test.after.always(async () => {
  await software.stop();
  await otherSoftware.stop();
  await fleet.remove();
  await foreign.remove();
});

/** A server of its own and a connection to it, both closed at the end. */
async function setup(t: ExecutionContext, options: Parameters<typeof serve>[1] = {}) {
  const server = await serve(fleet, options);
  const wire = new Wire(server.url, fleet.root);
  t.teardown(async () => {
    wire.close();
    await server.stop();
  });
  return { server, wire, directory: server.directory };
}

async function refusedWith(t: ExecutionContext, code: string, work: Promise<unknown>): Promise<void> {
  const error = await t.throwsAsync(work, { instanceOf: BootwaveError });
  t.is(error.code, code);
}

/** Nothing reached the fleet but the refusal itself. */
function nothingChanged(t: ExecutionContext, { directory }: TestServer, code: string): void {
  t.deepEqual(directory.enrolments, []);
  t.is(directory.certificates.size, 0);
  t.deepEqual(
    directory.refusals.map((refusal) => [refusal.code, refusal.from]),
    [[code, '127.0.0.1']],
  );
}

async function openSession(wire: Wire, machine: HonestNode) {
  const { session, commitment } = await wire.start();
  return { session, commitment, ...(await wire.keys(machine.keysRequest(session))) };
}

async function enrol(wire: Wire, machine: HonestNode) {
  const opened = await openSession(wire, machine);
  const reply = await wire.server.post(PATHS.proof, await machine.proofRequest(opened), statusReply);
  return { ...opened, reply };
}

test('a machine with a TPM waits, is approved with the words it shows itself, and its heartbeat counts', async (t) => {
  const { server, wire, directory } = await setup(t);
  const opened = await openSession(wire, node);
  const { session, commitment, nonce } = opened;
  t.is(sha256(Buffer.from(nonce, 'hex')).toString('hex'), commitment);
  const reply = await wire.server.post(PATHS.proof, await node.proofRequest(opened), statusReply);
  const ek = Buffer.from(node.tpm!.ek, 'base64');
  const words = enrolmentWords({
    fleetRoot: sha256(new X509Certificate(fleet.root).raw),
    ek,
    ak: Buffer.from(node.tpm!.ak, 'base64'),
    csrKey: createPublicKey(node.key).export({ type: 'spki', format: 'der' }),
    nonce: Buffer.from(nonce, 'hex'),
  });
  t.is(reply.state, 'pending');
  t.deepEqual(reply.words, words);
  const [enrolment] = directory.enrolments;
  t.is(enrolment!.id, `tpm-${sha256(ek.subarray(2)).toString('hex')}`);
  t.deepEqual(enrolment!.words, words);
  t.is(enrolment!.hostKey, node.hostKey);
  t.is(Object.keys(enrolment!.pcrs!).length, 11);
  t.is(directory.certificates.size, 0);

  const waiting = wire.server.post(PATHS.status, { session }, statusReply);
  directory.decisions.set(enrolment!.id, { state: 'approved', name: 'n1' });
  const approved = await waiting;
  if (approved.state !== 'approved') return t.fail(approved.state);
  const [leaf, ca] = approved.chain
    .match(/-----BEGIN[\s\S]+?-----END CERTIFICATE-----/g)!
    .map((p) => new X509Certificate(p));
  t.true(leaf!.verify(ca!.publicKey));
  t.is(leaf!.subjectAltName, `URI:spiffe://bootwave/node/${enrolment!.id}`);
  t.is(leaf!.subject, 'CN=n1');
  t.is(directory.certificates.get(enrolment!.id)!.serial, leaf!.serialNumber.toLowerCase());
  t.is(directory.certificates.get(enrolment!.id)!.spkiDigest, enrolment!.spkiDigest);
  const again = await wire.server.post(PATHS.status, { session }, statusReply);
  t.is(again.state === 'approved' && again.chain, approved.chain, 'one certificate per session');

  const key = node.key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const mutual = new Wire(server.url, fleet.root, { key, chain: approved.chain });
  t.teardown(() => mutual.close());
  const heartbeat = { running: RUNNING, uptime: 5, healthy: true, reason: '' };
  t.deepEqual(await mutual.send(PATHS.heartbeat, heartbeat), { interval: 30, hardware: true, smart: true });
  t.deepEqual(directory.heartbeats, [{ id: enrolment!.id, heartbeat }]);
  directory.members = false;
  await refusedWith(t, 'CERTIFICATE_NOT_CURRENT', mutual.send(PATHS.heartbeat, heartbeat));
});

test('an approved machine that boots again is certified at once', async (t) => {
  const { wire, directory } = await setup(t);
  const { reply } = await enrol(wire, node);
  directory.decisions.set(reply.id, { state: 'approved', name: 'n1' });
  const rebooted: HonestNode = Object.assign(Object.create(node), makeKey());
  const second = await enrol(wire, rebooted);
  t.is(second.reply.state, 'approved');
});

test('a connection keeps nothing of the questions that were answered over it', async (t) => {
  const { wire, directory } = await setup(t);
  const { reply, session } = await enrol(wire, node);
  directory.decisions.set(reply.id, { state: 'approved', name: 'n1' });
  const seen: string[] = [];
  const note = (warning: Error) => seen.push(warning.name);
  process.on('warning', note);
  t.teardown(() => process.off('warning', note));
  // Node warns at the eleventh listener that is left behind.
  for (let i = 0; i < 12; i += 1) await wire.server.post(PATHS.status, { session }, statusReply);
  t.false(seen.includes('MaxListenersExceededWarning'));
});

test('without a TPM the CSR key signs, and the record is a dev- one', async (t) => {
  const { wire, directory } = await setup(t);
  const machine = new HonestNode(null, null);
  const { reply } = await enrol(wire, machine);
  t.regex(reply.id, /^dev-[0-9a-f]{64}$/);
  t.is(directory.enrolments[0]!.akName, null);
  t.is(directory.enrolments[0]!.pcrs, null);
});

test('a rejected machine is told why', async (t) => {
  const { wire, directory } = await setup(t);
  const { reply, session } = await enrol(wire, node);
  directory.decisions.set(reply.id, { state: 'rejected', reason: 'not ours' });
  t.like(await wire.send(PATHS.status, { session }), { state: 'rejected', reason: 'not ours' });
});

test('a nonce proves once', async (t) => {
  const { wire, directory } = await setup(t);
  const proof = await node.proofRequest(await openSession(wire, node));
  await wire.send(PATHS.proof, proof);
  await refusedWith(t, 'NONCE_SPENT', wire.send(PATHS.proof, proof));
  t.is(directory.enrolments.length, 1);
});

test('a proof of another session is refused', async (t) => {
  const { server, wire } = await setup(t);
  const first = await openSession(wire, node);
  const { quote } = await node.proofRequest(first);
  const second = await openSession(wire, node);
  const fresh = await node.proofRequest(second);
  await refusedWith(t, 'QUOTE_EXTRA_DATA', wire.send(PATHS.proof, { ...fresh, quote }));
  nothingChanged(t, server, 'QUOTE_EXTRA_DATA');
  t.is(
    server.directory.refusals[0]!.id,
    `tpm-${sha256(Buffer.from(node.tpm!.ek, 'base64').subarray(2)).toString('hex')}`,
  );
  await refusedWith(t, 'SESSION_UNKNOWN', wire.send(PATHS.proof, fresh));
});

test('keys are fixed once, and nothing goes out of turn', async (t) => {
  const { wire, directory } = await setup(t);
  const { session } = await wire.start();
  await refusedWith(
    t,
    'SESSION_OUT_OF_TURN',
    wire.send(PATHS.proof, { session, secret: null, quote: null, signature: '' }),
  );
  await wire.keys(node.keysRequest(session));
  await refusedWith(t, 'SESSION_OUT_OF_TURN', wire.keys(other.keysRequest(session)));
  await refusedWith(t, 'SESSION_OUT_OF_TURN', wire.send(PATHS.status, { session }));
  t.deepEqual(directory.enrolments, []);
});

test('a quote of another TPM is refused', async (t) => {
  const { server, wire } = await setup(t);
  const opened = await openSession(wire, node);
  const honest = await node.proofRequest(opened);
  const message = Buffer.from(quotedExtraData(node, opened.nonce), 'hex');
  const quote = await other.work!.quote(message);
  await refusedWith(t, 'QUOTE_SIGNATURE', wire.send(PATHS.proof, { ...honest, quote }));
  nothingChanged(t, server, 'QUOTE_SIGNATURE');
});

for (const [title, bend] of [
  ['CSR', { csr: makeKey().csr }],
  ['host key', { hostKey: other.hostKey }],
] as const) {
  test(`a ${title} that was swapped after the quote is refused`, async (t) => {
    const { server, wire } = await setup(t);
    const bent: HonestNode = Object.assign(Object.create(node), bend);
    const opened = await openSession(wire, bent);
    await refusedWith(t, 'QUOTE_EXTRA_DATA', wire.send(PATHS.proof, await node.proofRequest(opened)));
    nothingChanged(t, server, 'QUOTE_EXTRA_DATA');
  });
}

test('PCR values other than the quoted ones are refused', async (t) => {
  const { server, wire } = await setup(t);
  const proof = await node.proofRequest(await openSession(wire, node));
  const pcrs = { ...proof.quote!.pcrs, 7: 'ff'.repeat(32) };
  await refusedWith(t, 'QUOTE_PCRS', wire.send(PATHS.proof, { ...proof, quote: { ...proof.quote, pcrs } }));
  nothingChanged(t, server, 'QUOTE_PCRS');
});

test('a machine with a TPM cannot prove itself by a signature instead', async (t) => {
  const { server, wire } = await setup(t);
  const proof = await node.proofRequest(await openSession(wire, node));
  const signature = sign('sha256', Buffer.alloc(32), node.key).toString('base64');
  await refusedWith(t, 'PROOF_MISSING', wire.send(PATHS.proof, { ...proof, quote: null, signature }));
  nothingChanged(t, server, 'PROOF_MISSING');
});

test.serial('an AK that is not restricted is refused before the nonce is shown', async (t) => {
  const { server, wire } = await setup(t);
  const ak = await rogue.key('loose', 'e', SOUND.replace('restricted|', ''));
  const { session } = await wire.start();
  const keys = { ...node.keysRequest(session), tpm: { ...node.tpm!, ak } };
  await refusedWith(t, 'AK_UNSUITABLE', wire.keys(keys));
  nothingChanged(t, server, 'AK_UNSUITABLE');
});

test.serial('an AK that hangs in the owner hierarchy is refused', async (t) => {
  const { server, wire } = await setup(t);
  const ak = await rogue.key('owner', 'o', SOUND);
  const bent: HonestNode = Object.assign(Object.create(node), { tpm: { ...node.tpm!, ak } });
  const { session, nonce, credential } = await openSession(wire, bent);
  const secret = await rogue.activate('owner', credential!);
  const extra = quotedExtraData(bent, nonce);
  const quote = await rogue.quote('owner', 'sha256:0,1,2,3,4,5,6,7,11,12,13', extra);
  const { pcrs } = await node.work!.quote(Buffer.alloc(32));
  await refusedWith(
    t,
    'QUOTE_SIGNER',
    wire.send(PATHS.proof, { session, secret, quote: { ...quote, pcrs }, signature: null }),
  );
  nothingChanged(t, server, 'QUOTE_SIGNER');
});

for (const selection of [
  'sha256:0,1,2,3,4,5,6,7,11,12',
  'sha1:0,1,2,3,4,5,6,7,11,12,13',
  'sha256:0,1,2,3,4,5,6,7,11,12,13+sha1:0',
]) {
  test.serial(`a quote over ${selection} is refused`, async (t) => {
    const { server, wire } = await setup(t);
    const ak = await rogue.key('partial', 'e', SOUND);
    t.is(ak, node.tpm!.ak, 'the same template gives the same key');
    const opened = await openSession(wire, node);
    const quote = await rogue.quote('partial', selection, quotedExtraData(node, opened.nonce));
    const honest = await node.proofRequest(opened);
    const { pcrs } = honest.quote!;
    await refusedWith(t, 'QUOTE_SELECTION', wire.send(PATHS.proof, { ...honest, quote: { ...quote, pcrs } }));
    nothingChanged(t, server, 'QUOTE_SELECTION');
  });
}

test.serial('another attestation by the same AK over the same extraData is no quote', async (t) => {
  const { server, wire } = await setup(t);
  await rogue.key('timed', 'e', SOUND);
  const opened = await openSession(wire, node);
  const honest = await node.proofRequest(opened);
  const time = await rogue.time('timed', quotedExtraData(node, opened.nonce));
  const { pcrs } = honest.quote!;
  await refusedWith(t, 'QUOTE_MALFORMED', wire.send(PATHS.proof, { ...honest, quote: { ...time, pcrs } }));
  nothingChanged(t, server, 'QUOTE_MALFORMED');
  t.regex(server.directory.refusals[0]!.what, /of type 0x8019, not a quote/);
});

test("the quoted clock reaches the fleet, and counts the TPM's resets", async (t) => {
  const { wire, directory } = await setup(t);
  await enrol(wire, other);
  await otherSoftware.exclusive(async () => {
    await otherSoftware.stop();
    await otherSoftware.start();
  });
  await enrol(wire, other);
  const [before, after] = directory.enrolments.map(({ clock }) => clock!);
  t.true(before!.safe);
  t.is(after!.resets, before!.resets + 1);
});

function quotedExtraData(machine: HonestNode, nonce: string): string {
  return extraData(Buffer.from(nonce, 'hex'), machine.csr, machine.hostKey).toString('hex');
}

test('a CSR that its key did not sign is refused', async (t) => {
  const { server, wire } = await setup(t);
  const { session } = await wire.start();
  const csr = Buffer.from(node.csr);
  csr[csr.length - 1]! ^= 1;
  await refusedWith(
    t,
    'CSR_SIGNATURE',
    wire.keys({ ...node.keysRequest(session), csr: csr.toString('base64') }),
  );
  nothingChanged(t, server, 'CSR_SIGNATURE');
});

test('an EK that could be made in software is refused', async (t) => {
  const { server, wire } = await setup(t);
  const { session } = await wire.start();
  const ek = Buffer.from(node.tpm!.ek, 'base64');
  ek.writeUInt32BE(0x000300b2 & ~0x2, 6);
  const tpm = { ...node.tpm!, ek: ek.toString('base64') };
  await refusedWith(t, 'EK_UNSUITABLE', wire.keys({ ...node.keysRequest(session), tpm }));
  nothingChanged(t, server, 'EK_UNSUITABLE');
});

test('an EK to which nothing can be encrypted is refused before the nonce is shown', async (t) => {
  const { server, wire } = await setup(t);
  const { session } = await wire.start();
  const ek = Buffer.from(node.tpm!.ek, 'base64');
  ek[ek.length - 1]! &= 0xfe;
  const tpm = { ...node.tpm!, ek: ek.toString('base64') };
  await refusedWith(t, 'EK_UNSUITABLE', wire.keys({ ...node.keysRequest(session), tpm }));
  nothingChanged(t, server, 'EK_UNSUITABLE');
});

/** Anything at all, over TLS that the server accepts. */
function raw(
  server: TestServer,
  path: string,
  body: string,
  headers: Record<string, string> = {},
  method = 'POST',
) {
  return new Promise<{ status: number; text: string }>((resolve, reject) => {
    const sent = request(
      new URL(path, server.url),
      {
        method,
        ca: fleet.root,
        servername: SERVER_NAME,
        agent: false,
        headers: { 'content-type': 'application/json', ...headers },
      },
      (response) => {
        let text = '';
        response.on('data', (piece) => {
          text += piece;
        });
        response.on('end', () => resolve({ status: response.statusCode!, text }));
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

test('the largest inventory that the protocol permits is let in by the server, with the longest keys', async (t) => {
  const { server, wire } = await setup(t);
  const text = (length: number, sign = '\u20ac') => sign.repeat(length);
  const many = <T>(count: number, one: (n: number) => T) => Array.from({ length: count }, (_, n) => one(n));
  const mac = (n: number) => `02:00:00:00:00:${n.toString(16).padStart(2, '0')}`;
  const inventory = {
    uuid: text(64),
    ...{ manufacturer: text(128), product: text(128), serial: text(128) },
    firmware: { kind: 'uefi', vendor: text(128), version: text(128), date: text(32) },
    secureBoot: 'on',
    cpu: { model: text(128), threads: 65_536 },
    memory: Number.MAX_SAFE_INTEGER,
    nics: many(64, (n) => ({
      name: text(32),
      mac: mac(n),
      driver: text(64),
      speed: Number.MAX_SAFE_INTEGER,
    })),
    disks: many(512, () => ({
      ...{
        name: text(32),
        size: Number.MAX_SAFE_INTEGER,
        model: text(128),
        serial: text(128),
        rotational: false,
      },
    })),
    tpm: { manufacturer: text(64), firmware: text(64) },
  };
  t.true(inventorySchema.safeParse(inventory).success);
  const more = { ...inventory, disks: [...inventory.disks, inventory.disks[0]] };
  t.false(inventorySchema.safeParse(more).success, 'and there is none that is larger');
  const { session } = await wire.start();
  const node = new HonestNode(null, null);
  const filled = { running: { version: text(64), kernel: text(128), bootId: text(64) }, token: text(128) };
  const body = { ...node.keysRequest(session), ...filled, inventory };
  const tpm = { ek: 'A'.repeat(2048), ekCertificate: 'A'.repeat(8192), ak: 'A'.repeat(2048) };
  const longest = JSON.stringify({ ...body, tpm, csr: 'A'.repeat(4096) });
  t.true(Buffer.byteLength(longest) <= LIMITS.bodyBytes, `${Buffer.byteLength(longest)} bytes`);
  const opened = { session, ...(await wire.keys(body as KeysRequest)) };
  t.is((await wire.send(PATHS.proof, await node.proofRequest(opened))).state, 'pending');
  t.is(server.directory.enrolments[0]?.inventory.disks.length, 512);
});

test('the longest event log fits its body', (t) => {
  const log = 4 * Math.ceil(EVENT_LOG_LIMITS.bytes / 3);
  const pcrs = Object.fromEntries(QUOTED_PCRS.map((pcr) => [pcr, 'a'.repeat(64)]));
  const quote = { attest: 'A'.repeat(4096), signature: 'A'.repeat(2048), pcrs, eventLog: 'A'.repeat(log) };
  const body = { session: 'a'.repeat(32), secret: 'a'.repeat(64), quote, signature: null };
  t.true(proofRequest.safeParse(body).success);
  t.true(JSON.stringify(body).length <= LIMITS.evidenceBytes);
});

test('half a surrogate pair, which Redis cannot keep, does not fit the protocol', (t) => {
  const beat = (reason: string) => ({ running: RUNNING, uptime: 1, healthy: false, reason });
  t.true(heartbeatSchema.safeParse(beat('\ud83d\ude00')).success);
  t.false(heartbeatSchema.safeParse(beat('\ud83d')).success);
});

test('what a refusal says holds nothing that a terminal would obey', async (t) => {
  const { server } = await setup(t);
  const pcrs = { '\u001b[2J\nfaked line': 'x' };
  const quote = { attest: 'AA==', signature: 'AA==', pcrs };
  const body = JSON.stringify({ session: '0'.repeat(32), secret: null, quote, signature: null });
  t.is((await raw(server, PATHS.proof, body, {})).status, 400);
  t.regex(server.directory.refusals[0]?.what ?? '', /at: quote\.pcrs\.[\w?]+$/);
});

for (const [title, path, body, headers, status, code] of [
  [
    'an oversized body',
    PATHS.keys,
    `{"session":"${'a'.repeat(LIMITS.bodyBytes)}"}`,
    {},
    413,
    'BODY_TOO_LARGE',
  ],
  [
    'a short body that is none',
    PATHS.start,
    `{"more":"${'a'.repeat(LIMITS.shortBytes)}"}`,
    {},
    413,
    'BODY_TOO_LARGE',
  ],
  ['half a JSON', PATHS.start, '{"a":', {}, 400, 'BODY_MALFORMED'],
  ['no body', PATHS.start, '', {}, 400, 'BODY_MALFORMED'],
  ['a poisoned prototype', PATHS.start, '{"__proto__":{"x":1}}', {}, 400, 'BODY_MALFORMED'],
  ['another content type', PATHS.start, '<x/>', { 'content-type': 'text/xml' }, 400, 'BODY_MALFORMED'],
  ['an unknown field', PATHS.start, '{"more":1}', {}, 400, 'BODY_INVALID'],
  ['a list for an object', PATHS.keys, '[]', {}, 400, 'BODY_INVALID'],
  ['null', PATHS.status, 'null', {}, 400, 'BODY_INVALID'],
  ['a session that is no hex', PATHS.status, '{"session":"../../etc"}', {}, 400, 'BODY_INVALID'],
  ['an unknown path', '/v1/admin', '{}', {}, 404, 'NOT_FOUND'],
] as const) {
  test(`${title} is refused with ${code}`, async (t) => {
    const { server } = await setup(t);
    const answer = await raw(server, path, body, headers);
    t.is(answer.status, status);
    t.is((JSON.parse(answer.text) as { error: { code: string } }).error.code, code);
    nothingChanged(t, server, code);
  });
}

const HEARTBEAT = { running: RUNNING, uptime: 1, healthy: true, reason: '' };
const uris = ['spiffe://bootwave/node/tpm-1'];
const past = { notBefore: new Date(Date.now() - 2e9), notAfter: new Date(Date.now() - 1e9) };
const clients: [string, Leaf | undefined, string][] = [
  ['no certificate', undefined, 'CERTIFICATE_MISSING'],
  [
    'a certificate of another fleet',
    foreign.leaf(foreign.authorities.nodes, { usage: 'client', uris }),
    'CERTIFICATE_FOREIGN',
  ],
  [
    'a certificate of the operators CA',
    fleet.leaf(fleet.authorities.operators, { usage: 'client', uris }),
    'CERTIFICATE_FOREIGN',
  ],
  [
    'a certificate of the servers CA',
    fleet.leaf(fleet.authorities.servers, { usage: 'client', uris }),
    'CERTIFICATE_FOREIGN',
  ],
  [
    'an expired certificate',
    fleet.leaf(fleet.authorities.nodes, { usage: 'client', uris, ...past }),
    'CERTIFICATE_EXPIRED',
  ],
  [
    'a server certificate of the nodes CA',
    fleet.leaf(fleet.authorities.nodes, { usage: 'server', uris }),
    'CERTIFICATE_FOREIGN',
  ],
  [
    'a certificate without a node name',
    fleet.leaf(fleet.authorities.nodes, { usage: 'client' }),
    'CERTIFICATE_USAGE',
  ],
  [
    'a certificate nobody recorded',
    fleet.leaf(fleet.authorities.nodes, { usage: 'client', uris }),
    'CERTIFICATE_NOT_CURRENT',
  ],
];
for (const [title, leaf, code] of clients) {
  test(`a heartbeat with ${title} is refused with ${code}`, async (t) => {
    const { server } = await setup(t);
    const wire = new Wire(server.url, fleet.root, leaf && { key: leaf.keyPem, chain: leaf.chain });
    t.teardown(() => wire.close());
    await refusedWith(t, code, wire.send(PATHS.heartbeat, HEARTBEAT));
    t.deepEqual(server.directory.heartbeats, []);
    nothingChanged(t, server, code);
  });
}

test('a certificate of the nodes CA that is not for clients names no node', (t) => {
  const { nodes } = fleet.authorities;
  const trust = trustOf(nodes);
  const judge = (leaf: Leaf) => clientIdentity(new X509Certificate(leaf.chain), trust, Date.now());
  t.is(judge(fleet.leaf(nodes, { usage: 'client', uris })).id, 'tpm-1');
  t.throws(() => judge(fleet.leaf(nodes, { usage: 'server', uris })), { code: 'CERTIFICATE_USAGE' });
  const two = fleet.leaf(nodes, { usage: 'client', uris: [...uris, 'spiffe://bootwave/node/tpm-2'] });
  t.throws(() => judge(two), { code: 'CERTIFICATE_USAGE' });
  t.throws(() => judge(fleet.leaf(nodes, { usage: 'client', uris: ['spiffe://bootwave/operator/x'] })), {
    code: 'CERTIFICATE_USAGE',
  });
});

test('two proofs at the same moment: one is read', async (t) => {
  const { wire, directory } = await setup(t);
  const proof = await node.proofRequest(await openSession(wire, node));
  const outcomes = await Promise.allSettled([wire.send(PATHS.proof, proof), wire.send(PATHS.proof, proof)]);
  t.deepEqual(outcomes.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected']);
  t.is(directory.enrolments.length, 1);
});

test('TLS below 1.3 gets no connection', async (t) => {
  const { server } = await setup(t);
  const error = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
    const socket = connect({
      port: server.port,
      host: '127.0.0.1',
      ca: fleet.root,
      servername: SERVER_NAME,
      maxVersion: 'TLSv1.2',
    });
    socket.on('secureConnect', () => resolve(null)).on('error', resolve);
  });
  t.regex(error?.code ?? 'connected', /PROTOCOL_VERSION/);
});

test('while the fleet cannot be asked, machines are told to come back and nothing is audited', async (t) => {
  const { server, wire, directory } = await setup(t);
  const proof = await node.proofRequest(await openSession(wire, node));
  directory.available = false;
  await refusedWith(t, 'SERVER_UNREACHABLE', openSession(wire, node));
  await refusedWith(t, 'SERVER_UNREACHABLE', wire.send(PATHS.proof, proof));
  t.deepEqual(server.directory.refusals, []);
});

test('a flood of refusals from one address is audited ten times a minute', async (t) => {
  const { server } = await setup(t);
  for (let i = 0; i < 15; i++) await raw(server, PATHS.start, '{', {});
  t.is(server.directory.refusals.length, 10);
});

test('an RSA CSR is refused', async (t) => {
  const { server, wire } = await setup(t);
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const info = der(
    TAG.sequence,
    der(TAG.integer, Buffer.from([0])),
    der(TAG.sequence),
    spki,
    der(TAG.context0),
  );
  const algorithm = der(
    TAG.sequence,
    der(TAG.oid, Buffer.from('2a864886f70d01010b', 'hex')),
    Buffer.from([5, 0]),
  );
  const csr = der(
    TAG.sequence,
    info,
    algorithm,
    der(TAG.bitString, Buffer.from([0]), sign('sha256', info, privateKey)),
  );
  const { session } = await wire.start();
  await refusedWith(
    t,
    'CSR_KEY_UNSUPPORTED',
    wire.keys({ ...node.keysRequest(session), csr: csr.toString('base64') }),
  );
  nothingChanged(t, server, 'CSR_KEY_UNSUPPORTED');
});

test('hundreds of bad requests of a stranger are a few lines, and a count of the others', async (t) => {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const { server, wire } = await setup(t, { log });
  for (let i = 0; i < 200; i += 1) await t.throwsAsync(wire.send(`/${'x'.repeat(900)}${i}`, {}));
  await server.stop();
  const told = lines.filter((line) => line.code === 'NOT_FOUND');
  t.true(told.length <= 6, `${told.length} lines`);
  t.is(told.at(-1)?.leftOut, 200 - (told.length - 1));
  t.true(JSON.stringify(told).length < 5000);
});
