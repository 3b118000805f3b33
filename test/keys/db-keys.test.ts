import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { signatureListsOf } from '../../formats/efi/secure-boot-lists.ts';
import { signatureEntries } from '../../formats/efi/signature-lists.ts';
import { activateDb, distrustDb, prepareDb, retireDb } from '../../keys/db-keys.ts';
import { keyLayout } from '../../keys/layout.ts';
import { readFleetLists, revokeAtFirmware } from '../../keys/secure-boot-lists.ts';
import { certificateId, currentDb, dbCertificates } from '../../keys/secure-boot-state.ts';
import { showKeys } from '../../keys/show.ts';
import { keysIn } from '../support/keys.ts';

const AT = 1_800_000_000_900;
const step = (at = AT) => ({ reason: 'ten years', by: 'operator:ann', at });
const image = { version: '1.0', sha256: 'ab'.repeat(32), reason: 'bug', by: 'operator:ann', at: AT };

async function keys(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-db-keys-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await keysIn(folder);
  return folder;
}

const idsIn = (db: Buffer | null) =>
  [...signatureEntries(signatureListsOf(db!), 'LISTS')].map(({ data }) => certificateId(data));
const states = async (folder: string) => (await dbCertificates(folder)).map(({ state }) => state);
/** EFI_TIME (UEFI 2.10, 8.3), milliseconds. */
const timeOf = (update: Buffer) =>
  Date.UTC(update.readUInt16LE(0), update[2]! - 1, update[3]!, update[4]!, update[5]!, update[6]!);

test('prepare: db holds both, the old key still signs, and no file of before is touched', async (t) => {
  const folder = await keys(t);
  const { secureBoot } = keyLayout(folder);
  const names = ['db.key', 'db.crt', 'db.esl', 'db.auth'].map((name) => join(folder, 'secure-boot', name));
  const before = await Promise.all(names.map((name) => readFile(name)));
  const first = await currentDb(folder);
  const next = await prepareDb(folder, step());
  t.like(next, { state: 'next', ...step() });
  t.not(next.id, first.id);
  const lists = await readFleetLists(folder);
  t.like(lists, { generation: 1, revoked: [], dbx: null });
  t.deepEqual(idsIn(lists.db), [first.id, next.id]);
  t.deepEqual(await Promise.all(names.map((name) => readFile(name))), before);
  t.is((await currentDb(folder)).id, first.id);
  t.is((await stat(secureBoot.dbKey(next.id).key)).mode & 0o777, 0o600);
  t.deepEqual((await prepareDb(folder, step())).id, next.id, 'done twice, it is one');
  t.is((await readFleetLists(folder)).generation, 1);
  const shown = (await showKeys(folder)).filter(({ file }) => file.includes(next.id));
  t.deepEqual(
    shown.map(({ problems }) => problems),
    [[]],
  );
  // Tools that look for a signer by its name must not find two.
  t.not(shown[0]!.name, (await showKeys(folder)).find(({ file }) => file === 'secure-boot/db.crt')?.name);
});

test('a db is later than the first one, which was signed by a clock that may have been hours ahead', async (t) => {
  const folder = await keys(t);
  const { auth } = keyLayout(folder).secureBoot.variables.db;
  const first = await readFile(auth);
  first.writeUInt16LE(2040, 0);
  await writeFile(auth, first);
  await prepareDb(folder, step());
  const { db } = await readFleetLists(folder);
  t.is(timeOf(db!), timeOf(first) + 1000);
});

test('activate: the new key signs, and nodes have nothing to be given; retire: db holds it alone', async (t) => {
  const folder = await keys(t);
  const first = await currentDb(folder);
  const next = await prepareDb(folder, step());
  const { db } = await readFleetLists(folder);
  t.like(await activateDb(folder, step(AT + 1)), { id: next.id, state: 'current' });
  t.deepEqual(await readFleetLists(folder), { generation: 1, revoked: [], db, dbx: null });
  t.deepEqual(await states(folder), ['old', 'current']);
  t.like(await retireDb(folder, step(AT + 2)), { id: first.id, state: 'retired' });
  const after = await readFleetLists(folder);
  t.is(after.generation, 2);
  t.deepEqual(idsIn(after.db), [next.id]);
  t.true(timeOf(after.db!) > timeOf(db!), 'firmware takes only what is later');
  t.deepEqual(await states(folder), ['retired', 'current']);
  t.like(await distrustDb(folder, step(AT + 3)), { id: first.id, state: 'distrusted' });
  t.deepEqual(await readFleetLists(folder), after, 'nodes have nothing to be given');
  await t.throwsAsync(distrustDb(folder, step()), { code: 'SECURE_BOOT_DB_STATE' });
  // The next change begins as the first did.
  const third = await prepareDb(folder, step(AT + 3));
  t.deepEqual(idsIn((await readFleetLists(folder)).db), [next.id, third.id]);
});

test('what is revoked stays so through every step, and a revocation keeps db as it is', async (t) => {
  const folder = await keys(t);
  const { dbx } = await revokeAtFirmware(folder, image);
  await prepareDb(folder, step());
  const prepared = await readFleetLists(folder);
  t.is(prepared.generation, 2);
  t.deepEqual(signatureListsOf(prepared.dbx!), signatureListsOf(dbx!));
  t.true(timeOf(prepared.dbx!) > timeOf(dbx!));
  t.is(timeOf(prepared.dbx!), timeOf(prepared.db!));
  const revoked = await revokeAtFirmware(folder, { ...image, version: '1.1', sha256: 'cd'.repeat(32) });
  t.is(revoked.generation, 3);
  t.deepEqual(signatureListsOf(revoked.db!), signatureListsOf(prepared.db!));
  t.true(timeOf(revoked.db!) > timeOf(prepared.db!));
  t.deepEqual(await readFleetLists(folder), revoked);
  t.deepEqual(await states(folder), ['current', 'next']);
});

test('a step out of its turn changes nothing', async (t) => {
  const folder = await keys(t);
  const refused = { code: 'SECURE_BOOT_DB_STATE' };
  await t.throwsAsync(activateDb(folder, step()), refused);
  await t.throwsAsync(retireDb(folder, step()), refused);
  await prepareDb(folder, step());
  await t.throwsAsync(retireDb(folder, step()), refused);
  await activateDb(folder, step());
  await t.throwsAsync(activateDb(folder, step()), refused);
  await t.throwsAsync(prepareDb(folder, step()), refused);
  t.deepEqual(await states(folder), ['old', 'current']);
});

test('whoever is killed before the end leaves the fleet with the key of before', async (t) => {
  const folder = await keys(t);
  await prepareDb(folder, step());
  await rm(keyLayout(folder).secureBoot.lists);
  t.is((await readFleetLists(folder)).generation, 0);
  t.deepEqual(await states(folder), ['current']);
  const again = await prepareDb(folder, step());
  t.is(idsIn((await readFleetLists(folder)).db)[1], again.id);
});

test('files that are damaged or of another certificate are refused', async (t) => {
  const folder = await keys(t);
  const { secureBoot } = keyLayout(folder);
  const { id } = await prepareDb(folder, step());
  const refused = { code: 'SECURE_BOOT_LISTS_INVALID' };
  const bend = async (file: string, content: Uint8Array) => {
    const good = await readFile(file);
    await writeFile(file, content);
    await t.throwsAsync(readFleetLists(folder), refused, file);
    await writeFile(file, good);
    await t.notThrowsAsync(readFleetLists(folder));
  };
  await bend(secureBoot.db(1).auth, (await readFile(secureBoot.db(1).auth)).subarray(0, -1));
  await bend(secureBoot.db(1).auth, await readFile(secureBoot.variables.db.auth));
  await bend(secureBoot.dbKey(id).certificate, await readFile(secureBoot.variables.KEK.certificate));
  await bend(secureBoot.dbKey(id).certificate, Buffer.alloc(0));
  const state = JSON.parse(await readFile(secureBoot.lists, 'utf8'));
  for (const db of [[], [state.db[1]], [state.db[0], state.db[0]]])
    await bend(secureBoot.lists, Buffer.from(JSON.stringify({ ...state, db })));
});

test('neither a db nor a file of another certificate stands for the right one', async (t) => {
  const folder = await keys(t);
  const { secureBoot } = keyLayout(folder);
  const refused = { code: 'SECURE_BOOT_LISTS_INVALID' };
  const { id } = await prepareDb(folder, step());
  await activateDb(folder, step());
  await retireDb(folder, step());
  // As many certificates as it should hold.
  await writeFile(secureBoot.db(2).auth, await readFile(secureBoot.variables.db.auth));
  await t.throwsAsync(readFleetLists(folder), refused);
  await writeFile(secureBoot.dbKey(id).certificate, await readFile(secureBoot.variables.KEK.certificate));
  await t.throwsAsync(dbCertificates(folder), refused);
});

test('nothing but the key is secret, and nothing is left behind', async (t) => {
  const folder = await keys(t);
  const { id } = await prepareDb(folder, step());
  const names = (await readdir(join(folder, 'secure-boot'))).filter((name) => /-|tmp|lists/.test(name));
  t.deepEqual(names.sort(), ['db-1.auth', 'db-1.esl', `db-key-${id}.crt`, `db-key-${id}.key`, 'lists.json']);
});
