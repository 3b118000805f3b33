import { generateKeyPairSync } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type SshKey, sshKeyOf } from '../../../keys/ssh-key.ts';

export type HostKey = SshKey;

/** A fresh ssh-ed25519 key. */
export function makeHostKey(): HostKey {
  return sshKeyOf(generateKeyPairSync('ed25519').privateKey, 'bootwave');
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
    // The public half is written last and atomically: when it exists, the private half is complete.
    await writeFile(`${publicFile}.new`, `${key.line}\n`, { mode: 0o644 });
    await rename(`${publicFile}.new`, publicFile);
    return key.line;
  }
}
