import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { run } from '../../base/run.ts';
import { loadAuthority, spkiOf } from '../../keys/authority.ts';
import { initKeys } from '../../keys/init.ts';
import { keyLayout } from '../../keys/layout.ts';
import { showKeys } from '../../keys/show.ts';

const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-keys-'));
await initKeys(folder);
const layout = keyLayout(folder);
test.after.always(() => rm(folder, { recursive: true, force: true }));

async function allFiles(): Promise<Map<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(
    await Promise.all(files.map(async (file) => [file, await readFile(file, 'base64')] as const)),
  );
}

test.serial('a second init makes nothing and changes no byte', async (t) => {
  const before = await allFiles();
  const again = await initKeys(folder);
  t.deepEqual(again.created, []);
  t.deepEqual(await allFiles(), before);
});

test.serial('init after a loss makes only what is missing, from the key that is there', async (t) => {
  const before = await allFiles();
  const certificate = layout.ca.nodes.certificate;
  await rm(certificate);
  const again = await initKeys(folder);
  t.deepEqual(again.created, ['ca/nodes.crt']);
  const key = (await loadAuthority(folder, 'nodes')).chainPem;
  t.true(
    new X509Certificate(key).verify(
      new X509Certificate(await readFile(layout.ca.root.certificate)).publicKey,
    ),
  );
  for (const [file, content] of await allFiles())
    if (file !== certificate) t.is(content, before.get(file) ?? '', file);
});

test.serial('two inits at once leave one consistent set', async (t) => {
  const other = await mkdtemp(join(tmpdir(), 'bootwave-test-keys-race-'));
  t.teardown(() => rm(other, { recursive: true, force: true }));
  await Promise.all([initKeys(other), initKeys(other), initKeys(other)]);
  for (const name of ['nodes', 'servers', 'operators'] as const)
    await t.notThrowsAsync(loadAuthority(other, name));
  t.deepEqual(
    (await showKeys(other)).flatMap((key) => key.problems),
    [],
  );
  t.false((await readdir(other, { recursive: true })).some((file) => file.endsWith('.tmp')));
});

test('every secret is closed to others', async (t) => {
  const secrets = [...(await allFiles()).keys()].filter((file) => file.endsWith('.key'));
  t.true(secrets.length >= 10);
  for (const file of secrets) t.is((await stat(file)).mode & 0o777, 0o600, file);
});

test('show names a secret that others can read and never prints one', async (t) => {
  const other = await mkdtemp(join(tmpdir(), 'bootwave-test-keys-show-'));
  t.teardown(() => rm(other, { recursive: true, force: true }));
  await initKeys(other);
  await run('chmod', ['644', keyLayout(other).order.key]);
  await rm(keyLayout(other).ssh.key);
  const shown = await showKeys(other);
  const problems = Object.fromEntries(shown.map((key) => [key.file, key.problems.join()]));
  t.regex(problems['order/order.pub'] ?? '', /can be read by others/);
  t.regex(problems['ssh/client.pub'] ?? '', /private key is missing/);
  t.notRegex(JSON.stringify(shown), /PRIVATE/);
});

async function leaf(authority: 'nodes' | 'servers', usage: 'client' | 'server'): Promise<string> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issued = (await loadAuthority(folder, authority)).issue({
    spki: spkiOf(privateKey),
    commonName: 'n1',
    uris: ['spiffe://bootwave/node/x'],
    dnsNames: ['boot.bootwave'],
    usage,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3600_000),
  });
  const parsed = new X509Certificate(issued.pem);
  if (!parsed.checkPrivateKey(privateKey)) throw new Error('the certificate is not for the key');
  if (parsed.serialNumber.toLowerCase() !== issued.serial) throw new Error('serial differs');
  const file = join(folder, `${authority}-${usage}.leaf`);
  await writeFile(file, issued.pem);
  return file;
}

function verify(file: string, authority: 'nodes' | 'servers', purpose: string): Promise<{ code: number }> {
  const { ca } = layout;
  const untrusted = ca[authority].certificate;
  return run('openssl', [
    'verify',
    '-CAfile',
    ca.root.certificate,
    '-untrusted',
    untrusted,
    '-purpose',
    purpose,
    file,
  ]);
}

test('an EC leaf of the servers CA is a server to OpenSSL; one of the nodes CA never is', async (t) => {
  const server = await leaf('servers', 'server');
  t.is((await verify(server, 'servers', 'sslserver')).code, 0);
  const client = await leaf('nodes', 'client');
  t.is((await verify(client, 'nodes', 'sslclient')).code, 0);
  // Even a leaf that claims serverAuth: the authority above it may not vouch for servers.
  const impostor = await leaf('nodes', 'server');
  t.not((await verify(impostor, 'nodes', 'sslserver')).code, 0);
});

test('a certificate beside the wrong key is refused', async (t) => {
  const other = await mkdtemp(join(tmpdir(), 'bootwave-test-keys-mix-'));
  t.teardown(() => rm(other, { recursive: true, force: true }));
  await initKeys(other);
  await writeFile(keyLayout(other).ca.nodes.certificate, await readFile(layout.ca.nodes.certificate));
  await t.throwsAsync(loadAuthority(other, 'nodes'), { code: 'KEYS_MISMATCH' });
});
