import { access, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { withFile } from '../../../../../base/files.ts';
import { digestList } from '../../../../../formats/efi/secure-boot-lists.ts';
import { authenticodeSha256 } from '../../../../../formats/pe/authenticode.ts';
import { SYSTEMD_LOADER } from '../../../../../image/agent/root/disk/install.ts';
import { repair } from '../../../../../image/agent/root/disk/mount.ts';
import {
  freshFor,
  renewLoader,
  replaceLoader,
} from '../../../../../image/agent/root/release/renew-loader.ts';
import { emptyFat, SECTOR } from '../disk/fat.ts';
import { db, image, type Key, keysOf, loader, machine, removeKeys } from './signed-disk.ts';

test.after.always(removeKeys);

async function setUp(t: ExecutionContext, loaders: { disk: Key | null; own: Key | null }, key: Key = 'new') {
  const node = await machine(t, loaders);
  const said: string[] = [];
  await node.firmware('db', db('old', 'new'));
  await node.put('bootwave_3.efi', await image('3', key));
  const places = {
    ...node.places,
    prepareState: async (...what: Parameters<typeof node.places.prepareState>) => {
      said.push('prepared');
      return node.places.prepareState(...what);
    },
    onRenew: async () => void said.push('begins'),
  };
  return { ...node, said, renew: () => renewLoader(node.esp, 'bootwave_3.efi', places) };
}

test('the loader of a good image takes the place of the one that its key has not signed; the state follows', async (t) => {
  const { renew, esp, loaderOnDisk, prepared, said } = await setUp(t, { disk: 'old', own: 'new' });
  t.is(await renew(), '');
  t.deepEqual(await loaderOnDisk(), await loader('new'));
  t.deepEqual(await readFile(join(esp, SYSTEMD_LOADER)), await loader('new'));
  t.deepEqual(said, ['begins', 'prepared']);
  t.deepEqual(prepared[0]?.lists, {});
  t.deepEqual(keysOf(prepared[0]?.signers?.next), ['new', 'new']);
  t.is(await renew(), 'it is the same');
  t.is(prepared.length, 1);
  await t.throwsAsync(access(join(esp, 'EFI/BOOT/new')), undefined, 'nothing is left behind');
});

test('another loader by the same key is taken, and changes nothing for the state', async (t) => {
  const { renew, places, loaderOnDisk, prepared } = await setUp(t, { disk: 'new', own: 'new' });
  const other = Buffer.from(await image('other loader', 'new'));
  await writeFile(places.loader, other);
  t.is(await renew(), '');
  t.deepEqual(await loaderOnDisk(), other);
  t.deepEqual(prepared, []);
});

test('never one that the firmware does not start', async (t) => {
  for (const own of ['new', null] as const) {
    const node = await setUp(t, { disk: 'old', own }, 'old');
    await node.firmware('db', db('old'));
    t.regex(await node.renew(), /does not trust/);
    t.deepEqual(await node.loaderOnDisk(), await loader('old'));
    t.deepEqual(node.said, []);
  }
  const node = await setUp(t, { disk: 'old', own: 'new' });
  const owner = '00000000-0000-0000-0000-000000000000';
  await node.firmware('dbx', digestList(owner, [await withFile(node.places.loader, authenticodeSha256)]));
  t.regex(await node.renew(), /revokes/);
  await node.firmware('dbx', Buffer.from('what no list looks like'));
  t.regex(await node.renew(), /revokes/);
  t.deepEqual(await node.loaderOnDisk(), await loader('old'));
  await node.secureBootOff();
  t.is(await node.renew(), '', 'where nothing is checked, anything starts');
});

test("what a power cut left of an earlier try stands in nobody's way", async (t) => {
  const { esp, loaderOnDisk } = await setUp(t, { disk: 'old', own: 'new' });
  await mkdir(join(esp, 'EFI/BOOT/new'));
  await writeFile(join(esp, 'EFI/BOOT/new/BOOTX64.EFI'), 'half of i');
  await replaceLoader(esp, await loader('new'));
  t.deepEqual(await loaderOnDisk(), await loader('new'));
});

/** A directory entry (Microsoft FAT specification, 6). */
function fatEntry(name: string, cluster: number, size: number | null): Buffer {
  const bytes = Buffer.alloc(32);
  bytes.write(name.padEnd(11), 'latin1');
  bytes.writeUInt8(size === null ? 0x10 : 0x20, 11);
  bytes.writeUInt16LE(cluster, 26);
  bytes.writeUInt32LE(size ?? 0, 28);
  return bytes;
}

/**
 * What is on the disk between the two halves of the rename, after the repair: the loader's name has the new file's clusters,
 * and so has the other name, which stands before it as on a node where a name was deleted.
 * @returns bytes that the loader's name has
 */
async function repaired(t: ExecutionContext, fresh: 'in a folder' | 'beside it'): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-renew-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const disk = join(folder, 'esp');
  const { handle, at, chain } = await emptyFat(disk);
  t.teardown(() => handle.close());
  // Clusters: 2 is the root, 3 BOOT, 4 the folder in it, 5 the loader.
  const isIn = fresh === 'in a folder';
  await chain([null, isIn ? null : 0, null]);
  const content = Buffer.alloc(SECTOR, 'loader');
  const ours = (name: string) => fatEntry(name, 5, content.length);
  const dots = (self: number, parent: number) => [fatEntry('.', self, null), fatEntry('..', parent, null)];
  const inBoot = [...dots(3, 0), isIn ? fatEntry('NEW', 4, null) : ours('NEW     EFI'), ours('BOOTX64 EFI')];
  await handle.write(fatEntry('BOOT', 3, null), 0, 32, at(2));
  await handle.write(Buffer.concat(inBoot), 0, 128, at(3));
  if (isIn) await handle.write(Buffer.concat([...dots(4, 3), ours('BOOTX64 EFI')]), 0, 96, at(4));
  await handle.write(content, 0, SECTOR, at(5));
  await handle.sync();

  await repair(disk);
  const after = Buffer.alloc(128);
  await handle.read(after, 0, 128, at(3));
  t.is(after.toString('latin1', 96, 107), 'BOOTX64 EFI');
  return after.readUInt32LE(96 + 28);
}

test('after a cut between the halves of the rename, the repair leaves the loader whole', async (t) => {
  const fresh = freshFor('EFI/BOOT/BOOTX64.EFI');
  t.true(dirname(fresh).startsWith('EFI/BOOT/'), 'which is how it is done');
  t.is(await repaired(t, 'in a folder'), SECTOR);
  t.is(await repaired(t, 'beside it'), 0, 'in the same folder it would have been emptied');
});
