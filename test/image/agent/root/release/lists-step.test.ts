/** Programs with real PE headers, and lists as the firmware's variables hold them. */
import { createHash } from 'node:crypto';
import { access, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { withFile } from '../../../../../base/files.ts';
import {
  encodeLists,
  LISTS_SECTION,
  type SecureBootLists,
} from '../../../../../formats/efi/secure-boot-lists.ts';
import { authenticodeSha256 } from '../../../../../formats/pe/authenticode.ts';
import { addSections } from '../../../../../formats/pe/sections.ts';
import { FALLBACK_LOADER } from '../../../../../image/agent/root/disk/install.ts';
import type { ListContents } from '../../../../../image/agent/root/disk/pcr7-to-come.ts';
import { areNew, listsOf, prepareLists } from '../../../../../image/agent/root/release/lists-step.ts';
import { writeLists } from '../../../../../image/agent/root/secure-boot.ts';

const STUB = '/usr/lib/systemd/boot/efi/linuxx64.efi.stub';
const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c';
const IMAGE_SECURITY = 'd719b2cb-3d3a-4596-a3bc-dad00e67656f';
const CERT_SHA256 = Buffer.from('2616c4c14c509240aca941f936934328', 'hex');

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
/** One EFI_SIGNATURE_LIST of digests. */
const forbidding = (...digests: string[]) =>
  digests.length === 0
    ? Buffer.alloc(0)
    : Buffer.concat([
        ...[CERT_SHA256, u32(28 + 48 * digests.length), u32(0), u32(48)],
        ...digests.map((digest) => Buffer.concat([Buffer.alloc(16), Buffer.from(digest, 'hex')])),
      ]);
/** EFI_VARIABLE_AUTHENTICATION_2 without a signature: only firmware looks at that. */
const update = (content: Buffer) => Buffer.concat([Buffer.alloc(16), u32(24), Buffer.alloc(20), content]);
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** A disk with images 1 to 3; 3 is staged, 2 runs. */
async function setUp(t: ExecutionContext) {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-lists-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const stub = await readFile(STUB);
  const esp = join(folder, 'esp');
  const put = async (path: string, data: Uint8Array | string) => {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, data);
  };
  const uki = (version: string, lists: SecureBootLists | null) =>
    addSections(stub, [
      { name: '.osrel', data: Buffer.from(version) },
      ...(lists === null ? [] : [{ name: LISTS_SECTION, data: encodeLists(lists) }]),
    ]);
  const path = (name: string) => join(esp, 'EFI/Linux', name);
  const stage = async (lists: SecureBootLists | null) => {
    const image = uki('3', lists);
    await put(path('bootwave_3+3.efi'), image);
    return { image: { version: '3', sha256: sha256(image) }, running: '2' };
  };
  await put(path('bootwave_1.efi'), uki('1', null));
  await put(path('bootwave_2.efi'), uki('2', null));
  await put(join(esp, FALLBACK_LOADER), await readFile('/usr/lib/systemd/boot/efi/systemd-bootx64.efi'));
  await put(join(folder, `SecureBoot-${GLOBAL}`), Buffer.from([6, 0, 0, 0, 1]));
  const prepared: ListContents[] = [];
  return {
    esp,
    stage,
    prepared,
    generation: (number: number) => put(join(folder, 'generation'), String(number)),
    firmware: (name: string, content: Buffer) =>
      put(join(folder, `${name}-${IMAGE_SECURITY}`), Buffer.concat([Buffer.from([0x27, 0, 0, 0]), content])),
    secureBootOff: () => put(join(folder, `SecureBoot-${GLOBAL}`), Buffer.from([6, 0, 0, 0, 0])),
    digest: (file: string) => withFile(file.includes('/') ? join(esp, file) : path(file), authenticodeSha256),
    images: async () => (await readdir(join(esp, 'EFI/Linux'))).sort(),
    places: {
      efivars: folder,
      loader: '/usr/lib/systemd/boot/efi/systemd-bootx64.efi',
      generation: join(folder, 'generation'),
      pending: join(folder, 'pending'),
      prepareState: async (lists: ListContents) => {
        prepared.push(lists);
        return '';
      },
    },
  };
}

const lists = (generation: number, dbx: Buffer): SecureBootLists => ({
  generation,
  db: null,
  dbx: update(dbx),
});

test('a staged image is asked for the lists that it brings; most bring none', async (t) => {
  const { stage, esp } = await setUp(t);
  await stage(null);
  t.is(await listsOf(esp, '3'), null);
  t.is(await listsOf(esp, '4'), null, 'nor does one that is not there');
  const brought = lists(2, forbidding('ab'.repeat(32)));
  await stage(brought);
  t.deepEqual(await listsOf(esp, '3'), brought);
});

test('a dbx is new when it forbids what the firmware does not, whatever brought the one that is there', async (t) => {
  const { places, generation, firmware, secureBootOff } = await setUp(t);
  const [ab, cd] = ['ab'.repeat(32), 'cd'.repeat(32)];
  t.true(await areNew(lists(1, forbidding(ab)), places));
  await generation(1);
  t.true(
    await areNew(lists(1, forbidding(ab)), places),
    'the image that runs was brought by one that knew no lists',
  );
  await firmware('dbx', forbidding(ab));
  t.false(await areNew(lists(1, forbidding(ab)), places), 'it has them');
  t.true(await areNew(lists(2, forbidding(ab, cd)), places));
  await firmware('dbx', forbidding(cd, ab));
  t.false(
    await areNew(lists(1, forbidding(ab)), places),
    'going back to an older image brings no older list back',
  );
  await firmware('dbx', Buffer.from('what no list looks like'));
  t.true(await areNew(lists(2, forbidding(ab)), places), 'what cannot be read is replaced');
  await secureBootOff();
  t.false(await areNew(lists(2, forbidding(ab)), places), 'a firmware that checks nothing is left alone');
});

test('a db is new when its generation is, and the firmware holds another one', async (t) => {
  const { places, generation, firmware } = await setUp(t);
  const db = forbidding('ab'.repeat(32));
  const brought = { generation: 2, db: update(db), dbx: null };
  await generation(2);
  t.false(await areNew(brought, places));
  await generation(1);
  t.true(await areNew(brought, places));
  await firmware('db', db);
  t.false(await areNew(brought, places));
});

test('an image that stands by goes when it is revoked; the state is prepared and the lists wait for the firmware', async (t) => {
  const { stage, esp, places, digest, images, prepared, firmware } = await setUp(t);
  const dbx = forbidding(await digest('bootwave_1.efi'));
  const brought = lists(2, dbx);
  const order = await stage(brought);
  const step = await prepareLists(esp, order, places);
  t.deepEqual(step, { pending: true, generation: 2, state: '' });
  t.deepEqual(await images(), ['bootwave_2.efi', 'bootwave_3+3.efi']);
  t.deepEqual(prepared, [{ dbx }]);

  // As the other unit of root's does it; efivarfs would have checked the signature.
  t.deepEqual(await writeLists(places.efivars, places.pending), ['dbx']);
  const written = await readFile(join(places.efivars, `dbx-${IMAGE_SECURITY}`));
  t.deepEqual(written, Buffer.concat([Buffer.from([0x27, 0, 0, 0]), update(dbx)]));
  t.deepEqual(await writeLists(places.efivars, places.pending), [], 'once');
  await firmware('dbx', dbx);
  t.false(await areNew(brought, places));
});

test('a file that is no program holds up no list, unless the node needs it', async (t) => {
  const { stage, esp, places, digest, images } = await setUp(t);
  const brought = lists(2, forbidding(await digest('bootwave_1.efi')));
  const order = await stage(brought);
  await writeFile(join(esp, 'EFI/Linux/bootwave_0.efi'), 'what somebody left on the ESP');
  t.true((await prepareLists(esp, order, places)).pending);
  t.deepEqual(await images(), ['bootwave_0.efi', 'bootwave_2.efi', 'bootwave_3+3.efi']);
  await writeFile(join(esp, 'EFI/Linux/bootwave_2.efi'), 'damaged');
  await t.throwsAsync(prepareLists(esp, order, places), { code: 'PE_INVALID' });
});

test('what the node starts or falls back to is never forbidden: nothing is touched then', async (t) => {
  const { stage, esp, places, digest, images, prepared } = await setUp(t);
  for (const [file, what] of [
    ['bootwave_2.efi', /revoke image 2,/],
    [FALLBACK_LOADER, /revoke the boot loader/],
  ] as const) {
    const brought = lists(2, forbidding('00'.repeat(32), await digest(file)));
    const order = await stage(brought);
    await t.throwsAsync(prepareLists(esp, order, places), {
      code: 'SECURE_BOOT_FORBIDS',
      message: what,
    });
  }
  t.deepEqual(await images(), ['bootwave_1.efi', 'bootwave_2.efi', 'bootwave_3+3.efi']);
  t.deepEqual(prepared, []);
  await t.throwsAsync(access(places.pending));
});

test('while the image that runs is on trial, the last one that is known to be good is not given up', async (t) => {
  const { stage, esp, places, digest, images } = await setUp(t);
  await rename(join(esp, 'EFI/Linux/bootwave_2.efi'), join(esp, 'EFI/Linux/bootwave_2+2-1.efi'));
  const order = await stage(lists(2, forbidding(await digest('bootwave_1.efi'))));
  await t.throwsAsync(prepareLists(esp, order, places), {
    code: 'SECURE_BOOT_FORBIDS',
    message: /leave no image that is known to be good/,
  });
  t.deepEqual(await images(), ['bootwave_1.efi', 'bootwave_2+2-1.efi', 'bootwave_3+3.efi']);
});

test('an image that somebody has changed on the ESP brings nothing', async (t) => {
  const { stage, esp, places, prepared } = await setUp(t);
  const brought = lists(2, forbidding('ab'.repeat(32)));
  const order = await stage(brought);
  const other = lists(3, forbidding('cd'.repeat(32)));
  await stage(other);
  await t.throwsAsync(prepareLists(esp, order, places), { code: 'STAGE_DIGEST' });
  t.deepEqual(prepared, []);
});
