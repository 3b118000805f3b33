import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { type LeafRequest, loadAuthority, spkiOf } from '../../keys/authority.ts';
import { isProven, prove } from '../../keys/credential.ts';
import { type AuthorityName, keyLayout } from '../../keys/layout.ts';
import { issueOperator, readOperator } from '../../keys/operator.ts';
import { keysIn } from '../support/keys.ts';

const NOW = Date.now();
const HOUR = 3600_000;
const [folder = '', other = ''] = await Promise.all(
  (['ours', 'theirs'] as const).map(async (fleet) => {
    const made = await mkdtemp(join(tmpdir(), 'bootwave-test-operator-'));
    await keysIn(made, fleet);
    return made;
  }),
);

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ca = async (keys: string, name: AuthorityName = 'operators') =>
  new X509Certificate(await readFile(keyLayout(keys).ca[name].certificate));
const issued = async (keys: string, claim: Parameters<typeof issueOperator>[1]) => {
  const authority = await loadAuthority(keys, 'operators');
  const { pem } = issueOperator(authority, claim, privateKey, new Date(NOW - HOUR / 2), new Date(NOW + HOUR));
  return new X509Certificate(pem);
};
/** What an authority could be made to sign, the claims as they come. */
const leaf = async (change: Partial<LeafRequest>, name: AuthorityName = 'operators') => {
  const { pem } = (await loadAuthority(folder, name)).issue({
    spki: spkiOf(privateKey),
    commonName: 'ann',
    uris: ['spiffe://bootwave/operator/ann', 'bootwave:role:core'],
    usage: 'client',
    notBefore: new Date(NOW - HOUR),
    notAfter: new Date(NOW + HOUR),
    ...change,
  });
  return new X509Certificate(pem);
};

const ours = await ca(folder);
const good = await leaf({});
test.after.always(() => Promise.all([folder, other].map((one) => rm(one, { recursive: true, force: true }))));

test('a certificate says who its holder is, what they may do and where', async (t) => {
  const core = await issued(folder, { name: 'ann', role: 'core', sites: [] });
  t.like(readOperator(core, [await ca(folder)], NOW), { name: 'ann', role: 'core', sites: [] });
  const claim = { name: 'bob', role: 'site-admin', sites: ['munich', 'rome-2'] } as const;
  const read = readOperator(await issued(folder, claim), [await ca(folder)], NOW);
  t.like(read, { name: 'bob', role: 'site-admin' });
  t.deepEqual(read.sites, ['munich', 'rome-2']);
});

test('claims that no certificate may make', async (t) => {
  for (const claim of [
    { name: 'Ann', role: 'core', sites: [] },
    { name: 'ann@host', role: 'core', sites: [] },
    { name: '', role: 'core', sites: [] },
    { name: 'ann', role: 'site-admin', sites: [] },
    { name: 'ann', role: 'admin', sites: ['munich'] },
    { name: 'ann', role: 'site-admin', sites: ['mun/ich'] },
  ] as const) {
    await t.throwsAsync(issued(folder, claim), { code: 'OPERATOR_INVALID' }, JSON.stringify(claim));
  }
});

test('one of another fleet, or of another CA of this fleet, is nobody', async (t) => {
  const foreign = await issued(other, { name: 'ann', role: 'admin', sites: [] });
  t.throws(() => readOperator(foreign, [ours], NOW), { code: 'OPERATOR_FOREIGN' });
  for (const name of ['nodes', 'servers'] as const) {
    const certificate = await leaf({}, name);
    t.throws(() => readOperator(certificate, [ours], NOW), { code: 'OPERATOR_FOREIGN' }, name);
  }
});

test('before its time and after it', async (t) => {
  const certificate = await issued(folder, { name: 'ann', role: 'core', sites: [] });
  const [from, until] = [certificate.validFromDate.getTime(), certificate.validToDate.getTime()];
  for (const at of [from - 1, until]) {
    t.throws(() => readOperator(certificate, [ours], at), { code: 'OPERATOR_EXPIRED' });
  }
  for (const at of [from, until - 1]) t.notThrows(() => readOperator(certificate, [ours], at));
});

test('what the CA signed for another purpose, or with claims that do not fit together', async (t) => {
  const ann = 'spiffe://bootwave/operator/ann';
  for (const change of [
    { usage: 'server' },
    { uris: [] },
    { uris: [ann] },
    { uris: ['bootwave:role:admin'] },
    { uris: [ann, 'bootwave:role:king'] },
    { uris: [ann, 'bootwave:role:core', 'bootwave:role:admin'] },
    { uris: [ann, 'spiffe://bootwave/operator/bob', 'bootwave:role:core'] },
    { uris: [ann, 'bootwave:role:core', 'bootwave:other'] },
    { uris: [ann, 'bootwave:role:core'], dnsNames: ['boot.bootwave'] },
    { uris: [ann, 'bootwave:role:site-admin'] },
    { uris: [ann, 'bootwave:role:core', 'bootwave:site:munich'] },
    { uris: [`${ann}, URI:bootwave:role:admin`, 'bootwave:role:core'] },
    { uris: ['spiffe://bootwave/node/ann', 'bootwave:role:core'] },
  ] as Partial<LeafRequest>[]) {
    const certificate = await leaf(change);
    t.throws(
      () => readOperator(certificate, [ours], NOW),
      { code: 'OPERATOR_USAGE' },
      JSON.stringify(change),
    );
  }
  t.notThrows(() => readOperator(new X509Certificate(good.raw), [ours], NOW));
});

test('only who holds the key can prove it, and only for this nonce', (t) => {
  const [nonce, another] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  t.true(isProven(good, nonce, prove(privateKey, nonce)));
  t.false(isProven(good, another, prove(privateKey, nonce)));
  t.false(isProven(good, nonce, prove(stranger, nonce)));
  t.false(isProven(good, nonce, Buffer.alloc(0)));
});
