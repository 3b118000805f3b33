import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { dataPaths } from '../../../base/paths.ts';
import { run } from '../../../base/run.ts';
import { ensureLoaders } from '../../../image/build/loaders.ts';
import { keyLayout } from '../../../keys/layout.ts';
import { keysIn } from '../../support/keys.ts';

test('loaders are signed with db, left alone when current, and made again when damaged', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'bootwave-loaders-'));
  t.teardown(() => rm(root, { recursive: true }));
  const paths = dataPaths(root);
  await keysIn(paths.keys);
  await ensureLoaders(paths);
  const { db, KEK } = keyLayout(paths.keys).secureBoot.variables;
  for (const name of ['ipxe.efi', 'systemd-bootx64.efi']) {
    const file = join(paths.loaders, name);
    t.is((await run('sbverify', ['--cert', db.certificate, file])).code, 0, name);
    t.not((await run('sbverify', ['--cert', KEK.certificate, file])).code, 0, name);
  }
  t.deepEqual(
    await readFile(join(paths.loaders, 'undionly.kpxe')),
    await readFile('/usr/lib/ipxe/undionly.kpxe'),
  );

  const ipxe = join(paths.loaders, 'ipxe.efi');
  const before = await stat(ipxe);
  await ensureLoaders(paths);
  t.is((await stat(ipxe)).ino, before.ino);

  const damaged = await readFile(ipxe);
  damaged[damaged.length - 1000]! ^= 1;
  await writeFile(ipxe, damaged);
  await ensureLoaders(paths);
  t.is((await run('sbverify', ['--cert', db.certificate, ipxe])).code, 0);

  // Another fleet's loader must not stay when the keys are other ones.
  await rm(paths.keys, { recursive: true });
  await keysIn(paths.keys, 'theirs');
  await ensureLoaders(paths);
  t.is((await run('sbverify', ['--cert', db.certificate, ipxe])).code, 0);
});
