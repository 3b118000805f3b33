import { generateKeyPairSync } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import {
  floorsOf,
  MOST_FLOORS,
  nearestFloor,
  readPcr11Signatures,
  signPcr11,
} from '../../../formats/tpm/pcr-signature.ts';

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const secret = Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem' }));
const pub = String(publicKey.export({ type: 'spki', format: 'pem' }));
const PCR11 = 'ab'.repeat(32);
const signedFor = (...floors: string[]) =>
  readPcr11Signatures(pub, signPcr11(PCR11, secret, floors).toString())!;

test('an image is signed for every released version up to its own, newest kept, in order', (t) => {
  t.deepEqual(floorsOf('1.10.0', ['1.9.0', '2.0.0', '1.2.0', '1.10.0']), ['1.2.0', '1.9.0', '1.10.0']);
  t.deepEqual(floorsOf('1.0', []), ['1.0']);
  const many = Array.from({ length: MOST_FLOORS + 10 }, (_, i) => `1.${i}`);
  const floors = floorsOf('2.0', many);
  t.is(floors.length, MOST_FLOORS);
  t.deepEqual([floors[0], floors.at(-1)], ['1.11', '2.0']);
});

test('what is sealed for is the highest floor that is signed and not above the wanted one', (t) => {
  const signatures = signedFor('1.2.0', '1.9.0', '1.10.0');
  t.is(nearestFloor(signatures, '1.9.5'), '1.9.0');
  t.is(nearestFloor(signatures, '1.10.0'), '1.10.0');
  t.is(nearestFloor(signatures, '1.1'), null);
  t.is(nearestFloor(signatures, null), null);
  t.is(nearestFloor(signedFor(), '1.10.0'), null);
});

test('without floors the section is what it was before there were any', (t) => {
  t.deepEqual(Object.keys(JSON.parse(signPcr11(PCR11, secret).toString())), ['sha256']);
});

test('signatures by another key count for nothing, and no text makes reading fail', (t) => {
  const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey;
  const text = signPcr11(PCR11, secret, ['1']).toString();
  t.is(readPcr11Signatures(String(other.export({ type: 'spki', format: 'pem' })), text), null);
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (any) => {
      t.is(readPcr11Signatures(pub, any), null);
    }),
  );
});
