import { createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import forge from 'node-forge';
import { mustRun } from '../../base/run.ts';
import { parseTpmPublic } from '../../formats/tpm/public.ts';
import { checkEkCertificate } from '../../keys/ek-certificate.ts';
import { TpmRoots } from '../../keys/tpm-roots.ts';
import { PATHS } from '../../protocol/enrolment/messages.ts';
import { Fleet, serve } from '../bootserver/enroll/support/fleet.ts';
import { HonestNode, Wire } from '../bootserver/enroll/support/node.ts';
import { SoftwareTpm } from '../bootserver/enroll/support/swtpm.ts';

const fleet = await Fleet.make();
const maker = join(fleet.folder, 'maker');
const other = join(fleet.folder, 'other-maker');

async function manufactured(name: string, by: string) {
  const folder = join(fleet.folder, name);
  await mkdir(folder);
  const software = new SoftwareTpm(folder);
  await software.manufacture(by);
  await software.start();
  const node = await HonestNode.withTpm(folder, software);
  const certificate = Buffer.from(node.tpm!.ekCertificate!, 'base64');
  return { software, node, certificate };
}

const a = await manufactured('a', maker);
const b = await manufactured('b', maker);
const foreign = await manufactured('c', other);
const ek = parseTpmPublic(Buffer.from(a.node.tpm!.ek, 'base64'), 'EK').key;
const pem = async (folder: string, name: string) => new X509Certificate(await readFile(join(folder, name)));
const issuer = await pem(maker, 'issuer.pem');
const root = await pem(maker, 'swtpm-localca-rootca-cert.pem');
const otherIssuer = await pem(other, 'issuer.pem');

test.after.always(async () => {
  for (const { software } of [a, b, foreign]) await software.stop();
  await fleet.remove();
});

/** What the fleet is told about a machine that enrols. */
async function told(t: ExecutionContext, node: HonestNode, tpmRoots?: () => Promise<X509Certificate[]>) {
  const server = await serve(fleet, tpmRoots === undefined ? {} : { tpmRoots });
  const wire = new Wire(server.url, fleet.root);
  t.teardown(async () => {
    wire.close();
    await server.stop();
  });
  const { session } = await wire.start();
  const opened = { session, ...(await wire.keys(node.keysRequest(session))) };
  await wire.send(PATHS.proof, await node.proofRequest(opened));
  return server.directory.enrolments[0]!.ekCertificate;
}

test('an EK certificate of a configured maker is verified', async (t) => {
  t.deepEqual(await told(t, a.node, async () => [root, issuer]), {
    verified: true,
    reason: 'issued by CN=swtpm-localca',
  });
});

test('without roots it is recorded as unverified, and so is no certificate at all', async (t) => {
  const verdict = await told(t, a.node);
  t.false(verdict!.verified);
  t.regex(verdict!.reason, /no TPM roots are configured/);
  const bare: HonestNode = Object.assign(Object.create(a.node), {
    tpm: { ...a.node.tpm!, ekCertificate: null },
  });
  t.like(await told(t, bare, async () => [issuer]), {
    verified: false,
    reason: 'the TPM holds no EK certificate',
  });
});

test("another machine's certificate vouches for nobody else", async (t) => {
  const bent: HonestNode = Object.assign(Object.create(a.node), {
    tpm: { ...a.node.tpm!, ekCertificate: b.node.tpm!.ekCertificate },
  });
  t.like(await told(t, bent, async () => [issuer]), {
    verified: false,
    reason: 'the EK certificate is for another key',
  });
});

test('roots that cannot be read shut no machine out', async (t) => {
  const verdict = await told(t, a.node, async () => {
    throw new Error('spoilt');
  });
  t.like(verdict, { verified: false, reason: 'the TPM roots cannot be read: spoilt' });
});

test('who issued it, to whom, for what and when must all hold', (t) => {
  const now = Date.now();
  const check = (roots: X509Certificate[], certificate = a.certificate, key = ek, at = now) =>
    checkEkCertificate(certificate, key, roots, at);
  t.true(check([issuer]).verified);
  t.true(check([otherIssuer, root, issuer]).verified, 'among others');
  // The maker's root alone does not do: the certificate comes from its intermediate CA.
  t.regex(check([root]).reason, /not one of the configured TPM roots/);
  // The same names and other keys.
  t.regex(check([otherIssuer]).reason, /not one of the configured TPM roots/);
  t.regex(checkEkCertificate(foreign.certificate, ek, [otherIssuer], now).reason, /another key/);
  t.regex(check([issuer], a.certificate, ek, 0).reason, /not valid at this time/);
  const ca = createPublicKey(issuer.publicKey.export({ type: 'spki', format: 'pem' }));
  t.regex(check([root], issuer.raw, ca).reason, /one of a CA/);
  // A certificate of this fleet for the same key is not one for an EK.
  const { pem: leaf } = fleet.authorities.nodes.issue({
    spki: ek.export({ type: 'spki', format: 'der' }),
    commonName: 'not a TPM',
    usage: 'client',
    notBefore: new Date(now - 1000),
    notAfter: new Date(now + 3600_000),
  });
  t.regex(check([issuer], new X509Certificate(leaf).raw).reason, /not for an endorsement key/);
});

test('what a maker fills the rest of the index up with is not a part of the certificate', (t) => {
  for (const fill of [0, 0xff]) {
    const filled = Buffer.concat([a.certificate, Buffer.alloc(700, fill)]);
    t.true(checkEkCertificate(filled, ek, [issuer], Date.now()).verified, `${fill}`);
  }
});

test('extensions that nobody here understands count against it, when they are critical or come twice', async (t) => {
  const openssl = async (...args: string[]) => void (await mustRun('openssl', args, { cwd: fleet.folder }));
  await openssl(
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    'm.key',
    '-out',
    'm.pem',
    '-subj',
    '/CN=m',
  );
  await openssl('req', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'ek.key', '-out', 'ek.csr', '-subj', '/');
  const usual = [
    'basicConstraints=critical,CA:FALSE',
    'subjectAltName=critical,dirName:tpm',
    'extendedKeyUsage=2.23.133.8.1',
  ];
  const certified = async (...lines: string[]) => {
    await writeFile(join(fleet.folder, 'ext'), [...usual, ...lines, '[tpm]', 'CN=tpm', ''].join('\n'));
    const ca = ['-CA', 'm.pem', '-CAkey', 'm.key', '-CAcreateserial', '-days', '2'];
    await openssl(
      'x509',
      '-req',
      '-in',
      'ek.csr',
      ...ca,
      '-extfile',
      'ext',
      '-outform',
      'DER',
      '-out',
      'ek.der',
    );
    const bytes = await readFile(join(fleet.folder, 'ek.der'));
    const own = createPublicKey(await readFile(join(fleet.folder, 'ek.key')));
    return checkEkCertificate(bytes, own, [await pem(fleet.folder, 'm.pem')], Date.now());
  };
  t.like(await certified('keyUsage=critical,keyEncipherment'), { verified: true });
  t.like(await certified('1.2.3.4=ASN1:UTF8:x'), { verified: true }, 'not critical: nothing to know');
  t.like(await certified('1.2.3.4=critical,ASN1:UTF8:x'), {
    verified: false,
    reason: 'the EK certificate has the critical extension 1.2.3.4, which is not known here',
  });
  t.regex((await certified('certificatePolicies=critical,1.2.3')).reason, /critical extension 2\.5\.29\.32/);
  t.regex((await certified('keyUsage=critical,digitalSignature')).reason, /not for encryption/);
});

test('an extension that comes twice counts against it: nobody knows which of the two was meant', async (t) => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const key = forge.pki.privateKeyFromPem(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
  const made = (...extensions: object[]) => {
    const certificate = forge.pki.createCertificate();
    certificate.publicKey = forge.pki.setRsaPublicKey(key.n, key.e);
    certificate.serialNumber = '01';
    certificate.validity.notAfter = new Date(Date.now() + 3600_000);
    certificate.validity.notBefore = new Date(Date.now() - 3600_000);
    certificate.setSubject([{ name: 'commonName', value: 'm' }]);
    certificate.setIssuer([{ name: 'commonName', value: 'm' }]);
    certificate.setExtensions(extensions);
    certificate.sign(key, forge.md.sha256.create());
    return new X509Certificate(forge.pki.certificateToPem(certificate));
  };
  const maker = made({ name: 'basicConstraints', cA: true, critical: true });
  // SEQUENCE of 2.23.133.8.1.
  const eku = { id: '2.5.29.37', value: Buffer.from('300706056781050801', 'hex').toString('binary') };
  const other = { id: '1.2.3.4', value: '\x05\x00' };
  const check = (certificate: X509Certificate) =>
    checkEkCertificate(certificate.raw, publicKey, [maker], Date.now());
  t.like(check(made(eku, other)), { verified: true });
  t.regex(check(made(eku, other, other)).reason, /extension 1\.2\.3\.4 twice/);
  t.regex(check(made(eku, other, eku)).reason, /twice|not for an endorsement key/);
});

test('bytes that are no certificate, or a bent one, are unverified and break nothing', (t) => {
  const verified = (bytes: Uint8Array) => checkEkCertificate(bytes, ek, [issuer], Date.now()).verified;
  for (let at = 0; at < a.certificate.length; at += 1) {
    for (const mask of [0x01, 0x80, 0xff]) {
      const bent = Buffer.from(a.certificate);
      bent[at]! ^= mask;
      if (verified(bent)) t.fail(`byte ${at} changed by ${mask} and nobody saw it`);
    }
    if (verified(a.certificate.subarray(0, at))) t.fail(`cut at ${at} and nobody saw it`);
  }
  t.notThrows(() =>
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => !verified(Buffer.from(bytes)))),
  );
});

test('the roots in a folder count as soon as they are there', async (t) => {
  const folder = join(fleet.folder, 'roots');
  const roots = new TpmRoots(folder);
  t.deepEqual(await roots.current(), []);
  t.deepEqual(await roots.list(), []);
  const added = await roots.add(Buffer.from(root.toString() + issuer.toString()));
  t.deepEqual(
    added.map(({ subject }) => subject),
    ['CN=swtpm-localca-rootca', 'CN=swtpm-localca'],
  );
  t.is((await roots.current()).length, 2);
  await roots.add(root.raw);
  t.is((await roots.list()).length, 2, 'the same one, in DER');
  // Long unchanged, so that what was read is kept; then one more.
  await utimes(folder, 0, 0);
  t.is(await roots.current(), await roots.current());
  await roots.add(Buffer.from(otherIssuer.toString()));
  t.is((await roots.current()).length, 3);
});

test('only CA certificates become roots, and a spoilt file is named', async (t) => {
  const folder = join(fleet.folder, 'bad-roots');
  const roots = new TpmRoots(folder);
  await t.throwsAsync(roots.add(a.certificate), { code: 'TPM_ROOT_INVALID', message: /not a CA/ });
  await t.throwsAsync(roots.add(Buffer.from('no')), { code: 'TPM_ROOT_INVALID' });
  t.deepEqual(await roots.list(), []);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'spoilt.pem'), 'no');
  await t.throwsAsync(roots.current(), { code: 'TPM_ROOT_INVALID', message: /spoilt\.pem/ });
});
