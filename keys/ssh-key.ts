import { createPublicKey, type KeyObject, randomBytes } from 'node:crypto';

/** A field of the SSH wire format: length and bytes (RFC 4251 5). */
export function field(bytes: Uint8Array | string): Buffer {
  const body = Buffer.from(bytes as string);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body]);
}

/** RFC 8709 4. @param publicKey its 32 bytes */
export function publicBlob(publicKey: Buffer): Buffer {
  return Buffer.concat([field('ssh-ed25519'), field(publicKey)]);
}

/** The 32 bytes of an Ed25519 key (RFC 8032, 5.1.5). */
export const rawPublicKey = (privateKey: KeyObject): Buffer =>
  Buffer.from(createPublicKey(privateKey).export({ format: 'jwk' }).x ?? '', 'base64url');

export type SshKey = {
  /** `ssh-ed25519 AAAA...` */
  line: string;
  /** OpenSSH private key file. */
  file: string;
};

/**
 * An ed25519 key in the form that sshd and ssh2 read (openssh-key-v1, PROTOCOL.key of OpenSSH), unencrypted. Written
 * here because ssh2's own removes leading zeros of public keys: one key in 256 became a file that nothing can read.
 */
export function sshKeyOf(privateKey: KeyObject, comment: string): SshKey {
  const seed = Buffer.from(privateKey.export({ format: 'jwk' }).d ?? '', 'base64url');
  const publicKey = rawPublicKey(privateKey);
  const check = randomBytes(4);
  const secret = [
    check,
    check,
    publicBlob(publicKey),
    field(Buffer.concat([seed, publicKey])),
    field(comment),
  ];
  const length = secret.reduce((sum, part) => sum + part.length, 0);
  const padding = Buffer.from(Array.from({ length: (8 - (length % 8)) % 8 }, (_, i) => i + 1));
  const one = Buffer.from([0, 0, 0, 1]);
  const body = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    field('none'),
    field('none'),
    field(''),
    one,
    field(publicBlob(publicKey)),
    field(Buffer.concat([...secret, padding])),
  ]);
  const lines = body.toString('base64').match(/.{1,70}/g) ?? [];
  return {
    line: `ssh-ed25519 ${publicBlob(publicKey).toString('base64')}`,
    file: `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines.join('\n')}\n-----END OPENSSH PRIVATE KEY-----\n`,
  };
}
