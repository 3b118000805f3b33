import { createHash } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { BootwaveError } from '../../base/error.ts';
import { mustRun } from '../../base/run.ts';
import { digestList, forbiddenDigests, signatureListsOf } from '../../formats/efi/secure-boot-lists.ts';
import { signatureEntries } from '../../formats/efi/signature-lists.ts';
import { keyLayout } from '../../keys/layout.ts';
import {
  MOST_REVOKED,
  type Revoked,
  readFleetLists,
  revokeAtFirmware,
} from '../../keys/secure-boot-lists.ts';
import { keysIn } from '../support/keys.ts';

const AT = 1_800_000_000_900;
async function keys(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-lists-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await keysIn(folder);
  return folder;
}

const image = (version: string, at = AT): Revoked => ({
  version,
  sha256: createHash('sha256').update(version).digest('hex'),
  reason: 'kernel bug',
  by: 'operator:ann',
  at,
});

/** EFI_TIME (UEFI 2.10, 8.3), which has no zone here: UTC. */
function timeOf(update: Buffer): string {
  const two = (at: number) => String(update[at]).padStart(2, '0');
  const [date, time] = [`${update.readUInt16LE(0)}-${two(2)}-${two(3)}`, `${two(4)}:${two(5)}:${two(6)}`];
  return `${date} ${time}`;
}

async function fails(t: ExecutionContext, act: Promise<unknown>, code: string): Promise<void> {
  const error = await t.throwsAsync(act, { instanceOf: BootwaveError });
  t.is((error as BootwaveError).code, code);
}

test('a fleet that never revoked anything is in generation 0 and has no file', async (t) => {
  const folder = await keys(t);
  t.deepEqual(await readFleetLists(folder), { generation: 0, revoked: [], db: null, dbx: null });
  t.false((await readdir(join(folder, 'secure-boot'))).some((name) => /dbx|lists/.test(name)));
});

test('each revocation is the next generation, and its dbx is the whole list', async (t) => {
  const folder = await keys(t);
  t.is((await revokeAtFirmware(folder, image('1.0'))).generation, 1);
  await revokeAtFirmware(folder, image('1.1', AT + 60_000));
  const { generation, revoked, dbx } = await readFleetLists(folder);
  t.is(generation, 2);
  t.deepEqual(revoked, [image('1.0'), image('1.1', AT + 60_000)]);
  const lists = signatureListsOf(dbx!);
  t.deepEqual([...forbiddenDigests(lists)], [image('1.0').sha256, image('1.1').sha256]);
  const db = await readFile(keyLayout(folder).secureBoot.variables.db.esl);
  const owners = [...signatureEntries(lists, 'LISTS'), ...signatureEntries(db, 'LISTS')].map(
    ({ owner }) => owner,
  );
  t.is(new Set(owners).size, 1, "all are marked as the fleet's own");
});

test('a dbx is later than the one before, also within one second and when the clock went back', async (t) => {
  const folder = await keys(t);
  const times: string[] = [];
  for (const [version, at] of [
    ['1', AT],
    ['2', AT + 50],
    ['3', AT - 86_400_000],
    ['4', AT + 60_000],
  ] as const) {
    times.push(timeOf((await revokeAtFirmware(folder, image(version, at))).dbx!));
  }
  t.deepEqual(times, [
    '2027-01-15 08:00:00',
    '2027-01-15 08:00:01',
    '2027-01-15 08:00:02',
    '2027-01-15 08:01:00',
  ]);
});

test("the KEK has signed it: the variable's name, its GUID, its attributes, the time, the lists", async (t) => {
  const folder = await keys(t);
  const { dbx } = await revokeAtFirmware(folder, image('1.0'));
  const { KEK, db } = keyLayout(folder).secureBoot.variables;
  // UEFI 2.10, 8.2.2: what is signed, in this order.
  const signed = Buffer.concat([
    Buffer.from('dbx', 'utf16le'),
    Buffer.from('cbb219d73a3d9645a3bcdad00e67656f', 'hex'),
    Buffer.from([0x27, 0, 0, 0]),
    dbx!.subarray(0, 16),
    signatureListsOf(dbx!),
  ]);
  const signature = dbx!.subarray(40, 16 + dbx!.readUInt32LE(16));
  const [content, pkcs7] = [join(folder, 'content'), join(folder, 'pkcs7')];
  // SignedData alone stands there; OpenSSL wants the ContentInfo around it (RFC 2315, 7).
  const explicit = wrap(0xa0, signature);
  await writeFile(pkcs7, wrap(0x30, Buffer.concat([Buffer.from('06092a864886f70d010702', 'hex'), explicit])));
  const verify = (by: string) =>
    mustRun('openssl', [
      ...['smime', '-verify', '-binary', '-inform', 'DER', '-in', pkcs7, '-content', content],
      ...['-certfile', by, '-CAfile', by, '-nointern', '-purpose', 'any', '-noverify'],
    ]);
  await writeFile(content, signed);
  await t.notThrowsAsync(verify(KEK.certificate));
  await t.throwsAsync(verify(db.certificate));
  signed[signed.length - 1]! ^= 1;
  await writeFile(content, signed);
  await t.throwsAsync(verify(KEK.certificate));
});

function wrap(tag: number, content: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(content.length);
  return Buffer.concat([Buffer.from([tag, 0x82]), length, content]);
}

test('the same version again changes nothing', async (t) => {
  const folder = await keys(t);
  const first = await revokeAtFirmware(folder, image('1.0'));
  t.deepEqual(await revokeAtFirmware(folder, { ...image('1.0', AT + 5000), reason: 'other' }), first);
});

test('whoever is killed before the end leaves the old generation in force, and the next one begins again', async (t) => {
  const folder = await keys(t);
  const { secureBoot } = keyLayout(folder);
  const before = await revokeAtFirmware(folder, image('1.0'));
  const state = await readFile(secureBoot.lists);
  await revokeAtFirmware(folder, image('1.1'));
  // Everything but the last step.
  await writeFile(secureBoot.lists, state);
  t.deepEqual(await readFleetLists(folder), before);
  const { generation, dbx } = await revokeAtFirmware(folder, image('1.2'));
  t.is(generation, 2);
  t.deepEqual([...forbiddenDigests(signatureListsOf(dbx!))], [image('1.0').sha256, image('1.2').sha256]);
});

test('what cannot be signed changes nothing', async (t) => {
  const folder = await keys(t);
  const before = await revokeAtFirmware(folder, image('1.0'));
  await rm(keyLayout(folder).secureBoot.variables.KEK.key);
  await fails(t, revokeAtFirmware(folder, image('1.1')), 'COMMAND_FAILED');
  t.deepEqual(await readFleetLists(folder), before);
});

test('files that are cut, foreign, or of two generations are refused', async (t) => {
  const folder = await keys(t);
  const { lists, dbx } = keyLayout(folder).secureBoot;
  await revokeAtFirmware(folder, image('1.0'));
  await revokeAtFirmware(folder, image('1.1'));
  const good = await readFile(dbx(2).auth);
  for (const bytes of [good.subarray(0, -1), Buffer.alloc(0), await readFile(dbx(1).auth)]) {
    await writeFile(dbx(2).auth, bytes);
    await fails(t, readFleetLists(folder), 'SECURE_BOOT_LISTS_INVALID');
  }
  await rm(dbx(2).auth);
  await fails(t, readFleetLists(folder), 'SECURE_BOOT_LISTS_INVALID');
  await writeFile(dbx(2).auth, good);
  t.is((await readFleetLists(folder)).generation, 2);
  await writeFile(lists, '{"generation":2}');
  await fails(t, readFleetLists(folder), 'SECURE_BOOT_LISTS_INVALID');
  await fails(t, revokeAtFirmware(folder, image('1.2')), 'SECURE_BOOT_LISTS_INVALID');
});

test('no list is longer than the smallest firmware takes', async (t) => {
  const folder = await keys(t);
  const { secureBoot } = keyLayout(folder);
  const { dbx } = await revokeAtFirmware(folder, image('0'));
  const entry = signatureListsOf(dbx!).length - 28;
  t.true(dbx!.length + entry * (MOST_REVOKED - 1) < 9 * 1024);
  // As if all but the last had been revoked one by one.
  const revoked = Array.from({ length: MOST_REVOKED }, (_, i) => image(String(i)));
  const head = dbx!.subarray(0, 16 + dbx!.readUInt32LE(16));
  const list = digestList(
    '00000000-0000-0000-0000-000000000000',
    revoked.map(({ sha256 }) => sha256),
  );
  await writeFile(secureBoot.dbx(1).auth, Buffer.concat([head, list]));
  await writeFile(secureBoot.lists, JSON.stringify({ generation: 1, timestamp: AT, revoked }));
  await fails(t, revokeAtFirmware(folder, image('one more')), 'SECURE_BOOT_LISTS_FULL');
});

test('nothing of it is secret, and nothing else is left behind', async (t) => {
  const folder = await keys(t);
  await chmod(folder, 0o700);
  await revokeAtFirmware(folder, image('1.0'));
  const names = (await readdir(join(folder, 'secure-boot'))).filter((name) => /dbx|lists|tmp/.test(name));
  t.deepEqual(names.sort(), ['dbx-1.auth', 'dbx-1.esl', 'lists.json']);
});
