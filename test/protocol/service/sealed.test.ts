import test from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../../base/error.ts';
import { exchangeKey, openSecrets, policyOf, sealSecrets } from '../../../protocol/service/sealed.ts';
import {
  decodeSecrets,
  encodeSecrets,
  forget,
  SECRET_LIMITS,
  secretNameSchema,
} from '../../../protocol/service/secrets.ts';

const name = fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,20}[a-z0-9]$/);
const values = fc.uniqueArray(fc.tuple(name, fc.uint8Array({ maxLength: 200 })), {
  selector: ([key]) => key,
  maxLength: SECRET_LIMITS.names,
});

test('what is encoded is decoded; whatever else comes is refused with a code', (t) => {
  fc.assert(
    fc.property(values, (all) => {
      const read = decodeSecrets(encodeSecrets(new Map(all)));
      t.deepEqual(
        [...read].map(([key, value]) => [key, [...value]]),
        all.map(([key, value]) => [key, [...value]]),
      );
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      try {
        for (const key of decodeSecrets(Buffer.from(bytes)).keys()) t.false(/[/\0]|^\./.test(key));
      } catch (error) {
        t.true(error instanceof BootwaveError && error.code === 'SECRETS_MALFORMED', String(error));
      }
    }),
  );
  const twice = Buffer.concat([
    encodeSecrets(new Map([['a', Buffer.of(1)]])),
    encodeSecrets(new Map([['a', Buffer.of(2)]])),
  ]);
  t.throws(() => decodeSecrets(twice), { code: 'SECRETS_MALFORMED' });
});

test('a name is that of a file in one folder', (t) => {
  for (const bad of ['', '.', '..', '.a', 'a/b', '../a', 'A', 'a\n', '-', 'a'.repeat(65), 'a ', 'ä'])
    t.false(secretNameSchema.safeParse(bad).success, bad);
  for (const good of ['a', '0', 'db-password', 'tls.key', 'a_b', 'a'.repeat(64)])
    t.true(secretNameSchema.safeParse(good).success, good);
});

const SERVICE = { name: 'web/shop', version: '1.4', sha256: 'a'.repeat(64) };
const secret = Buffer.alloc(32, 7);

test('an answer opens for its own question, with both keys, and for nothing else', (t) => {
  const { privateKey, publicKey } = exchangeKey();
  t.is(publicKey.length, 32);
  const ask = { node: 'tpm-1', service: SERVICE, publicKey };
  const plain = Buffer.from('a value');
  const sealed = sealSecrets(ask, 3, plain, secret);
  t.false(sealed.sealed.includes(plain));
  t.deepEqual(openSecrets(ask, privateKey, sealed, secret), plain);
  t.notDeepEqual(sealSecrets(ask, 3, plain, secret).sealed, sealed.sealed, 'each has a key of its own');
  const others = [
    [{ ...ask, node: 'tpm-2' }, sealed, secret],
    [{ ...ask, service: { ...SERVICE, name: 'web/shop2' } }, sealed, secret],
    [{ ...ask, service: { ...SERVICE, version: '1.5' } }, sealed, secret],
    [{ ...ask, service: { ...SERVICE, sha256: 'b'.repeat(64) } }, sealed, secret],
    [ask, { ...sealed, number: 4 }, secret],
    [ask, { ...sealed, publicKey: exchangeKey().publicKey }, secret],
    [ask, { ...sealed, publicKey: Buffer.alloc(32) }, secret],
    [ask, { ...sealed, sealed: Buffer.alloc(3) }, secret],
    [ask, sealed, Buffer.alloc(32)],
  ] as const;
  for (const [question, answer, key] of others)
    t.throws(() => openSecrets(question, privateKey, answer, key), { code: 'SECRETS_SEALED' });
  t.throws(() => openSecrets(ask, exchangeKey().privateKey, sealed, secret), { code: 'SECRETS_SEALED' });
  fc.assert(
    fc.property(fc.nat(sealed.sealed.length - 1), fc.integer({ min: 1, max: 255 }), (at, bits) => {
      const bent = Buffer.from(sealed.sealed);
      bent[at]! ^= bits;
      t.throws(() => openSecrets(ask, privateKey, { ...sealed, sealed: bent }, secret), {
        code: 'SECRETS_SEALED',
      });
    }),
    { numRuns: 50 },
  );
});

test('a server does not seal to a key on which nothing can be agreed', (t) => {
  const ask = { node: 'tpm-1', service: SERVICE, publicKey: Buffer.alloc(32) };
  t.throws(() => sealSecrets(ask, 1, Buffer.from('x'), secret), { code: 'SECRETS_SEALED' });
});

test('a policy needs all of the PCRs that are enforced', (t) => {
  const pcrs: Record<string, string> = {
    7: '07'.repeat(32),
    11: '11'.repeat(32),
    12: '00'.repeat(32),
    13: '00'.repeat(32),
  };
  const policy = policyOf(pcrs);
  t.is(policy.length, 32);
  t.deepEqual(policyOf({ ...pcrs, 1: 'ff'.repeat(32) }), policy);
  for (const pcr of Object.keys(pcrs)) {
    t.notDeepEqual(policyOf({ ...pcrs, [pcr]: 'ab'.repeat(32) }), policy, pcr);
    const { [pcr]: _, ...rest } = pcrs;
    t.throws(() => policyOf(rest), { code: 'SECRETS_SEALED' });
  }
});

test('what is forgotten is overwritten', (t) => {
  const bytes = Buffer.from('secret');
  forget([bytes]);
  t.deepEqual(bytes, Buffer.alloc(6));
});
