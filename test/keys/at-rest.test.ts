import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { atRestKey, seal, unseal } from '../../keys/at-rest.ts';
import { keyLayout } from '../../keys/layout.ts';

async function folder(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}

test('what was sealed opens with its key and for its purpose, and with no other', async (t) => {
  const [key, other] = [
    await atRestKey(join(await folder(t), 'a/key'), true),
    await atRestKey(join(await folder(t), 'a/key'), true),
  ];
  const secret = Buffer.from('calvin');
  const sealed = seal(key, 'bmc:ams', secret);
  t.deepEqual(unseal(key, 'bmc:ams', sealed), secret);
  t.false(sealed.includes(secret));
  t.is(unseal(key, 'bmc:fra', sealed), null);
  t.is(unseal(other, 'bmc:ams', sealed), null);
  t.notDeepEqual(seal(key, 'bmc:ams', secret), sealed, 'nobody sees that two secrets are the same');
});

test('no changed byte goes unnoticed, and no bytes of strangers end the process', async (t) => {
  const key = await atRestKey(join(await folder(t), 'a/key'), true);
  const sealed = seal(key, 'x', Buffer.from('secret'));
  for (let i = 0; i < sealed.length; i++) {
    const bad = Buffer.from(sealed);
    bad[i]! ^= 1;
    t.is(unseal(key, 'x', bad), null, String(i));
    t.is(unseal(key, 'x', sealed.subarray(0, i)), null, String(i));
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => unseal(key, 'x', bytes) === null));
});

test('the key is made once, for its owner alone; one that is spoilt is not replaced', async (t) => {
  const path = keyLayout(await folder(t)).bmcs;
  const all = await Promise.all(Array.from({ length: 8 }, () => atRestKey(path, true)));
  t.is(new Set(all.map(({ secret }) => secret.toString('hex'))).size, 1);
  t.is((await stat(path)).mode & 0o777, 0o600);
  await writeFile(path, 'spoilt');
  await chmod(path, 0o600);
  for (const isFirst of [true, false]) await t.throwsAsync(atRestKey(path, isFirst), { code: 'AT_REST_KEY' });
  t.is(await readFile(path, 'utf8'), 'spoilt');
  await rm(path);
  await t.throwsAsync(atRestKey(path, false), { code: 'AT_REST_KEY' }, 'a lost one is missed');
});
