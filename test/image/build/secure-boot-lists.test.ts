/** What an image brings along once the fleet has revoked another one at the firmware. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { dataPaths } from '../../../base/paths.ts';
import { run } from '../../../base/run.ts';
import { decodeLists, forbiddenDigests, signatureListsOf } from '../../../formats/efi/secure-boot-lists.ts';
import { readSections } from '../../../formats/pe/sections.ts';
import { sectionNamed, UKI_HEADER_BYTES, ukiSections } from '../../../formats/pe/uki-sections.ts';
import { fleetFiles } from '../../../image/build/fleet-files.ts';
import { signEfi } from '../../../image/build/loaders.ts';
import { manifestFile, signersOf } from '../../../image/build/manifest.ts';
import { bringAlong } from '../../../image/build/secure-boot-lists.ts';
import { assembleUki, type UkiParts } from '../../../image/build/uki.ts';
import { activateDb, prepareDb, retireDb } from '../../../keys/db-keys.ts';
import { keyLayout } from '../../../keys/layout.ts';
import { revokeAtFirmware } from '../../../keys/secure-boot-lists.ts';
import { currentDb } from '../../../keys/secure-boot-state.ts';
import { keysIn } from '../../support/keys.ts';

const scratch = await mkdtemp(join(tmpdir(), 'bootwave-build-lists-'));
const paths = dataPaths(scratch);
await keysIn(paths.keys);
const before = await fleetFiles(paths);
const revoked = {
  version: '1.0',
  sha256: 'ab'.repeat(32),
  reason: 'bug',
  by: 'operator:ann',
  at: Date.now(),
};
await revokeAtFirmware(paths.keys, revoked);
const after = await fleetFiles(paths);
const stub = await readFile('/usr/lib/systemd/boot/efi/linuxx64.efi.stub');
test.after.always(() => rm(scratch, { recursive: true, force: true }));

const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString();

test('generation 0 brings nothing along; after it the signed dbx and the number', async (t) => {
  t.deepEqual(
    [...before.files.keys()].filter((name) => /dbx|generation/.test(name)),
    [],
  );
  t.is(text(after.files.get('secure-boot-generation')), '1\n');
  t.deepEqual(after.files.get('dbx.auth'), await readFile(keyLayout(paths.keys).secureBoot.dbx(1).auth));
  for (const [name, content] of before.files) t.deepEqual(after.files.get(name), content, name);
});

test('the manifest names the generation and the versions; the section holds what the keys hold', (t) => {
  t.deepEqual(bringAlong(before.lists, []), { section: null, manifest: {} });
  const { section, manifest } = bringAlong(after.lists, []);
  t.deepEqual(manifest, { secureBootLists: { generation: 1, revokes: ['1.0'] } });
  t.deepEqual(decodeLists(section!), { generation: 1, db: null, dbx: after.lists.dbx });
});

test('lists that are damaged stop a build, instead of leaving it without them', async (t) => {
  const { auth } = keyLayout(paths.keys).secureBoot.dbx(1);
  const good = await readFile(auth);
  await writeFile(auth, good.subarray(0, -1));
  t.teardown(() => writeFile(auth, good));
  await t.throwsAsync(fleetFiles(paths), { code: 'SECURE_BOOT_LISTS_INVALID' });
});

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const parts = (lists: Uint8Array | null): UkiParts => ({
  stub,
  osRelease: 'ID=bootwave\n',
  cmdline: 'quiet',
  pcrKey: {
    secret: Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem' })),
    pub: Buffer.from(publicKey.export({ type: 'spki', format: 'pem' })),
  },
  linux: Buffer.alloc(5000, 1),
  floors: [],
  initrd: Buffer.alloc(700, 2),
  lists,
});

test('the section is there, signed with the rest and not measured; nothing else is different', async (t) => {
  const { section: lists } = bringAlong(after.lists, []);
  const [plain, uki] = [assembleUki(parts(null)), assembleUki(parts(lists))];
  t.is(uki.pcr11, plain.pcr11);
  const names = (file: Buffer) => readSections(file).map(({ name }) => name);
  t.false(names(plain.unsigned).includes('.bwsbl'));
  t.deepEqual(
    names(uki.unsigned).filter((name) => name !== '.bwsbl'),
    names(plain.unsigned),
  );
  const [unsigned, signed] = [join(scratch, 'uki.efi'), join(scratch, 'signed.efi')];
  await writeFile(unsigned, uki.unsigned);
  await signEfi(unsigned, signed, after.signing);
  // As a node reads it.
  const file = await readFile(signed);
  const section = sectionNamed(ukiSections(file.subarray(0, UKI_HEADER_BYTES), file.length), '.bwsbl')!;
  t.true(section.offset + section.length < 64 * 1024 + stub.length, 'before the large ones');
  const found = decodeLists(file.subarray(section.offset, section.offset + section.length));
  t.is(found.generation, 1);
  t.deepEqual([...forbiddenDigests(signatureListsOf(found.dbx!))], [revoked.sha256]);
});

test.serial(
  'while db changes, images bring both certificates; the one in use signs, and is told',
  async (t) => {
    const signedBy = async (certificate: string, file: string) =>
      (await run('sbverify', ['--cert', certificate, file])).code === 0;
    const step = { reason: 'ten years', by: 'operator:ann', at: Date.now() };
    // Keys of its own: the other tests look at those above.
    const paths = dataPaths(await mkdtemp(join(scratch, 'change-')));
    await keysIn(paths.keys);
    const first = await currentDb(paths.keys);
    t.like(await fleetFiles(paths), { first: first.id, held: [first.id], signing: { id: first.id } });
    const next = await prepareDb(paths.keys, step);
    const prepared = await fleetFiles(paths);
    t.like(prepared, { held: [first.id, next.id], signing: { id: first.id }, lists: { generation: 1 } });
    const db = await readFile(keyLayout(paths.keys).secureBoot.db(1).auth);
    t.deepEqual(prepared.files.get('db.auth'), db);
    t.deepEqual(decodeLists(bringAlong(prepared.lists, []).section!).db, db);
    const loaders = ['ipxe.efi', 'systemd-bootx64.efi'].map((name) => join(paths.loaders, name));
    for (const file of loaders) t.true(await signedBy(first.files.certificate, file), file);

    await activateDb(paths.keys, step);
    const active = await fleetFiles(paths);
    t.like(active, { first: first.id, held: [first.id, next.id], signing: { id: next.id, ...next.files } });
    for (const file of loaders) {
      t.true(await signedBy(next.files.certificate, file), file);
      t.false(await signedBy(first.files.certificate, file), file);
    }
    t.deepEqual(active.files.get('systemd-bootx64.efi'), await readFile(loaders[1]!));

    await retireDb(paths.keys, step);
    t.like(await fleetFiles(paths), { held: [next.id], signing: { id: next.id }, lists: { generation: 2 } });
    await rm(next.files.key);
    await t.throwsAsync(fleetFiles(paths), { code: 'KEYS_MISSING' });
  },
);

test('an image whose db lacks the signer of another one revokes that one', (t) => {
  const { manifest } = bringAlong(after.lists, ['0.8', '1.0']);
  t.deepEqual(manifest.secureBootLists?.revokes, ['1.0', '0.8']);
});

test('the manifest says who signed; what is older than that was signed by the first certificate', async (t) => {
  const images = join(scratch, 'images');
  const manifest = {
    ...{ size: 1, sha256: 'a'.repeat(64), unsignedSha256: 'a'.repeat(64), pcr11: 'a'.repeat(64) },
    ...{ kernel: '6', parts: [], firmwareMissing: [], builtFrom: 'a'.repeat(64), packages: [] },
  };
  await mkdir(images);
  const write = (version: string, more: object) =>
    writeFile(manifestFile(images, version), JSON.stringify({ version, ...manifest, ...more }));
  await write('1.0', {});
  await write('2.0', { signedBy: 'b'.repeat(16) });
  await writeFile(manifestFile(images, '3.0'), '{');
  t.deepEqual(
    await signersOf(images, 'c'.repeat(16)),
    new Map([
      ['2.0', 'b'.repeat(16)],
      ['1.0', 'c'.repeat(16)],
    ]),
  );
});
