/** Release keys: Ed25519, with key ids as TUF defines them (1.0.34, 4.2.2). */
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { Key, Signature } from '@tufjs/models';

export type SigningKey = {
  secret: KeyObject;
  public: Key;
};

export function makeSecret(): KeyObject {
  return generateKeyPairSync('ed25519').privateKey;
}

export function pemOf(secret: KeyObject): string {
  return secret.export({ type: 'pkcs8', format: 'pem' }) as string;
}

export function signingKey(secret: KeyObject): SigningKey {
  return { secret, public: publicKey(createPublicKey(secret)) };
}

/** @param key Ed25519 */
export function publicKey(key: KeyObject): Key {
  const { x = '' } = key.export({ format: 'jwk' });
  const keyval = { public: Buffer.from(x, 'base64url').toString('hex') };
  // Its canonical form: names in order, no spaces.
  const canonical = JSON.stringify({ keytype: 'ed25519', keyval, scheme: 'ed25519' });
  const keyID = createHash('sha256').update(canonical).digest('hex');
  return new Key({ keyID, keyType: 'ed25519', scheme: 'ed25519', keyVal: keyval });
}

export const signerOf =
  ({ secret, public: { keyID } }: SigningKey) =>
  (data: Buffer): Signature =>
    new Signature({ keyID, sig: sign(null, data, secret).toString('hex') });
