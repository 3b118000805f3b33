/** The whole way of a change of the key that signs images, as one node goes it; and what it refuses on the way. */
import { createHash } from 'node:crypto';
import { access, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { BootwaveError } from '../../../../../base/error.ts';
import { type SecureBootLists, signatureListsOf } from '../../../../../formats/efi/secure-boot-lists.ts';
import {
  areNew,
  isSignedAnew,
  listsOf,
  prepareLists,
} from '../../../../../image/agent/root/release/lists-step.ts';
import { renewLoader } from '../../../../../image/agent/root/release/renew-loader.ts';
import { writeLists } from '../../../../../image/agent/root/secure-boot.ts';
import type { ListsStep } from '../../../../../protocol/agent/disk.ts';
import { db, image, type Key, keysOf, loader, machine, removeKeys, update } from './signed-disk.ts';

test.after.always(removeKeys);

const PREPARED: SecureBootLists = { generation: 1, db: update(db('old', 'new')), dbx: null };
const RETIRED: SecureBootLists = { generation: 2, db: update(db('new')), dbx: null };

async function setUp(t: ExecutionContext, loaders: { disk: Key; own: Key }) {
  const node = await machine(t, loaders);
  const { esp, places, put } = node;
  /** As the operation `secure-boot-prepare` does it; null: there is nothing to do. */
  const bring = async (
    version: string,
    running: string,
    key: Key | null,
    lists: SecureBootLists | null,
  ): Promise<ListsStep | null> => {
    const content = await image(version, key, lists);
    // What runs was found to be good.
    const good = (name: string) => join(esp, 'EFI/Linux', name);
    await rename(good(`bootwave_${running}+3.efi`), good(`bootwave_${running}.efi`)).catch(() => {});
    await put(`bootwave_${version}+3.efi`, content);
    const brought = await listsOf(esp, version);
    const isNew = brought !== null && (await areNew(brought, places));
    if (!isNew && !(await isSignedAnew(esp, { version, running }, places))) return null;
    const sha256 = createHash('sha256').update(content).digest('hex');
    return prepareLists(esp, { image: { version, sha256 }, running }, places);
  };
  /** As the firmware does it that finds the signature good and the time later. */
  const firmwareTakes = async (lists: SecureBootLists) => {
    const written = await writeLists(places.efivars, places.pending);
    if (written.includes('db')) await node.firmware('db', signatureListsOf(lists.db!));
    return written;
  };
  return { ...node, bring, firmwareTakes };
}

test('prepare, activate, retire: each time the next start is foretold, and nothing that is needed is lost', async (t) => {
  const node = await setUp(t, { disk: 'old', own: 'old' });
  const { bring, firmwareTakes, prepared, places, esp } = node;
  await node.firmware('db', db('old'));
  await node.put('bootwave_1.efi', await image('1', 'old'));

  // Prepared: db grows, the same key starts everything.
  t.like(await bring('2', '1', 'old', PREPARED), { pending: true, generation: 1 });
  t.deepEqual(prepared.at(-1)?.lists, { db: db('old', 'new') });
  t.deepEqual(keysOf(prepared.at(-1)?.signers?.next), ['old', 'old']);
  t.deepEqual(await firmwareTakes(PREPARED), ['db']);
  t.is(await bring('2', '1', 'old', PREPARED), null, 'once');
  await node.generation(1);

  // Activated: db stays, and another key lets the image run.
  t.like(await bring('3', '2', 'new', PREPARED), { pending: false, generation: 1, state: '' });
  t.deepEqual(prepared.at(-1)?.lists, {});
  t.deepEqual(keysOf(prepared.at(-1)?.signers?.next), ['old', 'new']);
  await t.throwsAsync(access(places.pending), undefined, 'the firmware has nothing to be given');
  await setOwnLoader(node, 'new');
  t.is(await renewLoader(esp, 'bootwave_3+3.efi', { ...places, onRenew: async () => {} }), '');
  t.deepEqual(await node.loaderOnDisk(), await loader('new'));

  // Retired: db shrinks, what only the old key lets run goes.
  t.like(await bring('4', '3', 'new', RETIRED), { pending: true, generation: 2 });
  t.deepEqual(prepared.at(-1)?.lists, { db: db('new') });
  t.deepEqual(keysOf(prepared.at(-1)?.signers?.next), ['new', 'new']);
  t.deepEqual(await node.images(), ['bootwave_3.efi', 'bootwave_4+3.efi']);
  t.deepEqual(await firmwareTakes(RETIRED), ['db']);
  await node.generation(2);
  t.is(await bring('5', '4', 'new', RETIRED), null);
});

async function setOwnLoader({ places }: { places: { loader: string } }, key: Key): Promise<void> {
  const { writeFile } = await import('node:fs/promises');
  await writeFile(places.loader, await loader(key));
}

test('a db that locks the node out is not written: nothing is touched then', async (t) => {
  const cases: { running: Key; wanted: Key; disk: Key; what: RegExp }[] = [
    { running: 'old', wanted: 'new', disk: 'new', what: /trust in the key that signed image 2,/ },
    { running: 'new', wanted: 'old', disk: 'new', what: /trust in the key that signed image 3,/ },
    { running: 'new', wanted: 'new', disk: 'old', what: /trust in the key that signed the boot loader/ },
  ];
  for (const { running, wanted, disk, what } of cases) {
    const node = await setUp(t, { disk, own: 'old' });
    await node.firmware('db', db('old', 'new'));
    await node.put('bootwave_1.efi', await image('1', 'old'));
    await node.put('bootwave_2.efi', await image('2', running));
    await t.throwsAsync(node.bring('3', '2', wanted, RETIRED), {
      code: 'SECURE_BOOT_FORBIDS',
      message: what,
    });
    t.deepEqual(await node.images(), ['bootwave_1.efi', 'bootwave_2.efi', 'bootwave_3+3.efi']);
    t.deepEqual(node.prepared, []);
    await t.throwsAsync(access(node.places.pending));
  }
});

test('a loader that was not renewed in time is, before the db that it is not in', async (t) => {
  const node = await setUp(t, { disk: 'old', own: 'new' });
  await node.firmware('db', db('old', 'new'));
  await node.put('bootwave_2.efi', await image('2', 'new'));
  t.like(await node.bring('3', '2', 'new', RETIRED), { pending: true });
  t.deepEqual(await node.loaderOnDisk(), await loader('new'));
  t.deepEqual(keysOf(node.prepared.at(-1)?.signers?.next), ['new', 'new']);
});

test('an image that the firmware would not start is not activated', async (t) => {
  const node = await setUp(t, { disk: 'old', own: 'old' });
  await node.firmware('db', db('old'));
  await node.put('bootwave_1.efi', await image('1', 'old'));
  const forbids = { code: 'SECURE_BOOT_FORBIDS' };
  await t.throwsAsync(node.bring('2', '1', 'new', null), forbids, 'activated with --force');
  await t.throwsAsync(node.bring('3', '1', null, null), forbids);
  t.is(await node.bring('4', '1', 'old', null), null);
  // As it is where the firmware holds other keys: what it starts cannot be told, and is left to it.
  await node.firmware('db', db());
  t.is(await node.bring('2', '1', 'new', null), null);
  await node.firmware('db', db('old'));
  await node.secureBootOff();
  t.is(await node.bring('2', '1', 'new', null), null);
});

test('an image that failed has left later lists: going back brings none, and a refused db holds nobody up', async (t) => {
  const node = await setUp(t, { disk: 'new', own: 'new' });
  const { bring, places } = node;
  await node.put('bootwave_2.efi', await image('2', 'new'));
  await node.generation(0);
  // The firmware got generation 2 from an image that was left; the image that runs knows of none.
  await node.firmware('db', db('new'));
  t.is(await bring('3', '2', 'new', RETIRED), null, 'the same again is not written again');
  t.like(
    await bring('4', '2', 'new', PREPARED),
    { pending: true },
    'an older one cannot be told from a newer',
  );
  t.true((await readdir(places.pending)).includes('db-may-wait'));
  const fails = (code: string) => async () => {
    throw new BootwaveError({
      code: 'SECURE_BOOT_REFUSED',
      what: 'refused',
      cause: Object.assign(new Error(code), { code }),
    });
  };
  await t.throwsAsync(writeLists(places.efivars, places.pending, fails('ENOSPC')), {
    code: 'SECURE_BOOT_REFUSED',
  });
  t.deepEqual(await writeLists(places.efivars, places.pending, fails('EACCES')), []);
  await t.throwsAsync(access(places.pending));
});

test('a db without which the image does not start is not done without', async (t) => {
  const node = await setUp(t, { disk: 'old', own: 'old' });
  const { bring, places } = node;
  await node.firmware('db', db('old'));
  await node.put('bootwave_1.efi', await image('1', 'old'));
  // One that was prepared and activated while the node was away: its first image of the new key brings the db for it.
  t.like(await bring('3', '1', 'new', PREPARED), { pending: true });
  t.deepEqual(await readdir(places.pending), ['db.auth']);
  const refused = async () => {
    throw new BootwaveError({
      code: 'SECURE_BOOT_REFUSED',
      what: 'refused',
      cause: Object.assign(new Error('no'), { code: 'EACCES' }),
    });
  };
  await t.throwsAsync(writeLists(places.efivars, places.pending, refused), { code: 'SECURE_BOOT_REFUSED' });
});
