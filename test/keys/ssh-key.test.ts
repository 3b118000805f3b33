import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import ssh2 from 'ssh2';
import { mustRun } from '../../base/run.ts';
import { sshKeyOf } from '../../keys/ssh-key.ts';

/** A key whose public half begins with a zero, as one in 256 does. */
function keyWithZero(): KeyObject {
  for (;;) {
    const { privateKey } = generateKeyPairSync('ed25519');
    const { x = '' } = createPublicKey(privateKey).export({ format: 'jwk' });
    if (Buffer.from(x, 'base64url')[0] === 0) return privateKey;
  }
}

for (const [name, make] of [
  ['any key', () => generateKeyPairSync('ed25519').privateKey],
  ['a key whose public half begins with a zero', keyWithZero],
] as const) {
  test(`${name}: OpenSSH and ssh2 read the file, and find the same public key`, async (t) => {
    const { line, file } = sshKeyOf(make(), 'a comment');
    const folder = await mkdtemp(join(tmpdir(), 'bootwave-ssh-key-'));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    const path = join(folder, 'key');
    await writeFile(path, file, { mode: 0o600 });
    t.is((await mustRun('ssh-keygen', ['-y', '-f', path])).stdout.trim(), `${line} a comment`);
    const secret = ssh2.utils.parseKey(file);
    const shown = ssh2.utils.parseKey(line);
    if (secret instanceof Error || shown instanceof Error) return t.fail(`${secret} ${shown}`);
    t.deepEqual(secret.getPublicSSH(), shown.getPublicSSH());
    t.true(shown.verify('text', secret.sign('text') as Buffer) === true);
  });
}
