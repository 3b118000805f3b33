import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../../../../base/error.ts';
import { withFile } from '../../../../../base/files.ts';
import { attributeCertificates } from '../../../../../formats/pe/authenticode.ts';
import { certificatesIn, signerOf } from '../../../../../image/agent/root/release/signers.ts';
import { db, entry, image, loader, removeKeys } from './signed-disk.ts';

const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-signers-'));
test.after.always(async () => {
  await rm(folder, { recursive: true, force: true });
  await removeKeys();
});
const both = certificatesIn(db('old', 'new'));

test('who signed a program with sbsign is found among the certificates of db, and nobody else', async (t) => {
  const path = join(folder, 'program');
  for (const key of ['old', 'new'] as const) {
    for (const content of [await loader(key), await image('1', key)]) {
      await writeFile(path, content);
      t.deepEqual(await signerOf(path, both), entry(key));
      t.is(await signerOf(path, certificatesIn(db(key === 'old' ? 'new' : 'old'))), null);
    }
  }
  await writeFile(path, await loader(null));
  t.is(await signerOf(path, both), null, 'nobody signed it');
});

test('a certificate somewhere else in a program signs nothing', async (t) => {
  const path = join(folder, 'carries');
  const lists = { generation: 1, db: db('new'), dbx: null };
  await writeFile(path, await image('2', 'old', lists));
  t.deepEqual(await signerOf(path, both), entry('old'));
  await writeFile(path, await image('2', null, lists));
  t.is(await signerOf(path, both), null);
});

test('what is no program, or not there, nobody signed; lists that cannot be read hold nothing', async (t) => {
  t.is(await signerOf(join(folder, 'absent'), both), null);
  await writeFile(join(folder, 'text'), 'MZ is how it begins');
  t.is(await signerOf(join(folder, 'text'), both), null);
  t.deepEqual(certificatesIn(db('old').subarray(1)), []);
  t.deepEqual(certificatesIn(Buffer.alloc(0)), []);
});

test('no bytes break it: a file has a signature table, or is refused by its code', async (t) => {
  const good = await loader('old');
  const head = 1024;
  const path = join(folder, 'wild');
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(head - 1), fc.nat(255)), { maxLength: 8 }),
      fc.option(fc.nat(good.length)),
      async (changes, length) => {
        const bytes = Buffer.from(good.subarray(0, length ?? good.length));
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        await writeFile(path, bytes);
        try {
          t.true((await withFile(path, attributeCertificates)).length <= bytes.length);
        } catch (error) {
          if (!(error instanceof BootwaveError) || error.code !== 'PE_INVALID') throw error;
        }
      },
    ),
    { numRuns: 200 },
  );
});
