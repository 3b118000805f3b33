import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A field of the SSH wire format: length and bytes (RFC 4251 5). */
function field(bytes: Uint8Array | string): Buffer {
  const body = Buffer.from(bytes as string);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body]);
}

/** RFC 8709 4. */
function publicBlob(publicKey: Buffer): Buffer {
  return Buffer.concat([field('ssh-ed25519'), field(publicKey)]);
}

export type HostKey = {
  /** `ssh-ed25519 AAAA...` */
  line: string;
  /** OpenSSH private key file. */
  file: string;
};

/** A fresh ssh-ed25519 key in the form that sshd reads (openssh-key-v1, PROTOCOL.key of OpenSSH), unencrypted. */
export function makeHostKey(): HostKey {
  const { privateKey } = generateKeyPairSync('ed25519');
  const seed = Buffer.from(privateKey.export({ format: 'jwk' }).d ?? '', 'base64url');
  const publicKey = Buffer.from(createPublicKey(privateKey).export({ format: 'jwk' }).x ?? '', 'base64url');
  const check = randomBytes(4);
  const secret = [
    check,
    check,
    publicBlob(publicKey),
    field(Buffer.concat([seed, publicKey])),
    field('bootwave'),
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

/** Where sshd finds the key of this boot; the folder is on tmpfs. */
export const HOST_KEY_FILE = 'ssh_host_ed25519_key';

/**
 * The host key of this boot: made once, the same for every later call until the machine restarts.
 * @returns the public key line
 */
export async function hostKeyOfThisBoot(folder: string): Promise<string> {
  const publicFile = join(folder, `${HOST_KEY_FILE}.pub`);
  try {
    return (await readFile(publicFile, 'utf8')).trim();
  } catch {
    const key = makeHostKey();
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await writeFile(join(folder, HOST_KEY_FILE), key.file, { mode: 0o600 });
    // The public half comes last and at once: who sees it, finds the private half complete.
    await writeFile(`${publicFile}.new`, `${key.line}\n`, { mode: 0o644 });
    await rename(`${publicFile}.new`, publicFile);
    return key.line;
  }
}
