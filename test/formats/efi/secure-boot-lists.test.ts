import { createHash, randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../../base/error.ts';
import { mustRun } from '../../../base/run.ts';
import {
  CERT_SHA256,
  decodeLists,
  digestList,
  encodeLists,
  forbiddenDigests,
  LISTS_MALFORMED,
  LISTS_SECTION,
  MOST_LISTS_BYTES,
  type SecureBootLists,
  signatureListsOf,
} from '../../../formats/efi/secure-boot-lists.ts';
import { signatureEntries } from '../../../formats/efi/signature-lists.ts';

const entriesOf = (lists: Uint8Array) => [...signatureEntries(lists, LISTS_MALFORMED)];
const folder = await mkdtemp(join(tmpdir(), 'bootwave-lists-'));
const path = (name: string) => join(folder, name);

const owner = randomUUID();
await mustRun('openssl', [
  ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=KEK', '-days', '2'],
  ...['-keyout', path('KEK.key'), '-out', path('KEK.crt')],
]);
const LOADERS = ['/usr/lib/systemd/boot/efi/systemd-bootx64.efi', '/usr/lib/ipxe/snponly.efi'];
await mustRun('hash-to-efi-sig-list', [...LOADERS, path('dbx.esl')]);
await mustRun('cert-to-efi-sig-list', ['-g', owner, path('KEK.crt'), path('db.esl')]);
for (const name of ['db', 'dbx']) {
  const keys = ['-g', owner, '-k', path('KEK.key'), '-c', path('KEK.crt')];
  await mustRun('sign-efi-sig-list', [...keys, name, path(`${name}.esl`), path(`${name}.auth`)]);
}
const [db, dbx, dbEsl, dbxEsl] = (await Promise.all(
  ['db.auth', 'dbx.auth', 'db.esl', 'dbx.esl'].map((name) => readFile(path(name))),
)) as [Buffer, Buffer, Buffer, Buffer];

test.after.always(() => rm(folder, { recursive: true }));

/** One EFI_SIGNATURE_LIST. */
function list(type: string, entries: readonly Uint8Array[], header = 0): Buffer {
  const size = 16 + (entries[0]?.length ?? 32);
  const lengths = Buffer.alloc(12);
  lengths.writeUInt32LE(28 + header + size * entries.length, 0);
  lengths.writeUInt32LE(header, 4);
  lengths.writeUInt32LE(size, 8);
  const data = entries.flatMap((entry) => [Buffer.alloc(16, 7), entry]);
  return Buffer.concat([Buffer.from(type, 'hex'), lengths, Buffer.alloc(header), ...data]);
}

const digestOf = (text: string) => createHash('sha256').update(text).digest();

function malformed(t: import('ava').ExecutionContext, act: () => unknown, what: RegExp): void {
  const error = t.throws(act, { instanceOf: BootwaveError });
  t.is(error?.code, 'SECURE_BOOT_LISTS_MALFORMED');
  t.regex(error?.what ?? '', what);
}

test('a section name has eight bytes', (t) => {
  t.true(LISTS_SECTION.startsWith('.') && Buffer.byteLength(LISTS_SECTION) <= 8);
});

test('what was encoded is decoded, with and without each variable', (t) => {
  const update = fc.option(
    fc.uint8Array({ minLength: 1, maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 0xffff_ffff }), update, update, (generation, one, other) => {
      const lists: SecureBootLists = { generation, db: one, dbx: other };
      t.deepEqual(decodeLists(encodeLists(lists)), lists);
    }),
    { numRuns: 200 },
  );
});

test('what is no section of lists is refused, with a reason', (t) => {
  const section = encodeLists({ generation: 3, db, dbx });
  malformed(t, () => decodeLists(section.subarray(0, -1)), /past the end/);
  malformed(t, () => decodeLists(Buffer.concat([section, Buffer.alloc(1)])), /follow/);
  malformed(t, () => decodeLists(Buffer.concat([Buffer.from('x'), section.subarray(1)])), /format/);
  const zero = Buffer.from(section);
  zero.writeUInt32LE(0, 8);
  malformed(t, () => decodeLists(zero), /generation 0/);
  malformed(t, () => decodeLists(Buffer.alloc(MOST_LISTS_BYTES + 1)), /bytes/);
});

test('nothing is encoded that would not be decoded', (t) => {
  for (const generation of [0, -1, 1.5, Number.NaN, 2 ** 32]) {
    malformed(t, () => encodeLists({ generation, db, dbx }), /generation/);
  }
  malformed(t, () => encodeLists({ generation: 1, db: Buffer.alloc(0), dbx }), /without a byte/);
  malformed(t, () => encodeLists({ generation: 1, db, dbx: Buffer.alloc(MOST_LISTS_BYTES) }), /fit/);
});

test('behind the signature of efitools stand the lists that it signed', (t) => {
  t.deepEqual(signatureListsOf(db), dbEsl);
  t.deepEqual(signatureListsOf(dbx), dbxEsl);
  malformed(t, () => signatureListsOf(dbx.subarray(0, 900)), /past the end/);
  const short = Buffer.from(dbx);
  short.writeUInt32LE(23, 16);
  malformed(t, () => signatureListsOf(short), /23 bytes/);
});

test('entries of efitools: a certificate with its owner, digests of programs', (t) => {
  const [certificate] = entriesOf(dbEsl);
  // EFI_CERT_X509_GUID; the owner's first three fields are little endian.
  t.is(certificate?.type, 'a159c0a5e494a74a87b5ab155c2bf072');
  t.is(certificate?.owner.slice(16), owner.replaceAll('-', '').slice(16));
  t.is(certificate?.data[0], 0x30);
  const entries = entriesOf(dbxEsl);
  t.deepEqual(
    entries.map(({ type, data }) => [type, data.length]),
    [
      [CERT_SHA256, 32],
      [CERT_SHA256, 32],
    ],
  );
  t.deepEqual(
    [...forbiddenDigests(dbxEsl)],
    entries.map(({ data }) => data.toString('hex')),
  );
});

test('a list of digests is what efitools makes of the same programs', (t) => {
  // The owner that efitools puts there: shim's.
  t.deepEqual(digestList('605dab50-e046-4300-abb6-3dd810dd8b23', [...forbiddenDigests(dbxEsl)]), dbxEsl);
  const [entry] = entriesOf(digestList(owner, ['ab'.repeat(32)]));
  const [certificate] = entriesOf(dbEsl);
  t.is(entry?.owner, certificate?.owner);
});

test('only digests are forbidden digests; lists may have headers and follow one another', (t) => {
  const [one, two] = [digestOf('one'), digestOf('two')];
  const lists = Buffer.concat([
    dbEsl,
    list(CERT_SHA256, [one], 5),
    list(CERT_SHA256, []),
    list(CERT_SHA256, [two]),
  ]);
  t.deepEqual([...forbiddenDigests(lists)], [one.toString('hex'), two.toString('hex')]);
  t.deepEqual([...forbiddenDigests(Buffer.alloc(0))], []);
  malformed(t, () => forbiddenDigests(list(CERT_SHA256, [one.subarray(1)])), /31 bytes/);
});

test('lengths that do not agree are refused', (t) => {
  const good = list(CERT_SHA256, [digestOf('one')]);
  const changed = (at: number, value: number) => {
    const bytes = Buffer.from(good);
    bytes.writeUInt32LE(value, at);
    return bytes;
  };
  const walk = (bytes: Buffer) => () => entriesOf(bytes);
  malformed(t, walk(changed(16, 27)), /agree/);
  malformed(t, walk(changed(20, 0xffff_ffff)), /agree/);
  // A body of minus one entry would be whole entries, and lead back to where a good list begins.
  malformed(t, walk(Buffer.concat([changed(20, 96), good])), /agree/);
  malformed(t, walk(changed(24, 0)), /agree/);
  malformed(t, walk(changed(24, 16)), /agree/);
  malformed(t, walk(changed(24, 47)), /agree/);
  malformed(t, walk(changed(16, 28 + 2 * 48)), /past the end/);
  malformed(t, walk(good.subarray(0, 20)), /past the end/);
});

test('a caller with other bytes in hand names its own code', (t) => {
  const error = t.throws(() => [...signatureEntries(Buffer.alloc(3), 'EVENT_LOG_MALFORMED')]);
  t.is((error as BootwaveError).code, 'EVENT_LOG_MALFORMED');
});

test('whatever the bytes are: an answer or the one code', (t) => {
  const section = encodeLists({ generation: 3, db, dbx });
  const only = (act: () => unknown) => {
    try {
      act();
    } catch (error) {
      if (!(error instanceof BootwaveError) || error.code !== 'SECURE_BOOT_LISTS_MALFORMED') throw error;
    }
  };
  const read = (bytes: Uint8Array) => {
    only(() => decodeLists(bytes));
    only(() => signatureListsOf(bytes));
    only(() => forbiddenDigests(bytes));
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), read));
  for (const good of [section, dbx, dbxEsl]) {
    const changes = fc.array(fc.tuple(fc.nat(99), fc.nat(255)), { maxLength: 6 });
    fc.assert(
      fc.property(changes, fc.nat(good.length), (pairs, cut) => {
        const bytes = Buffer.from(good.subarray(0, cut === 0 ? undefined : cut));
        for (const [at, value] of pairs) if (at < bytes.length) bytes[at] = value;
        read(bytes);
      }),
      { numRuns: 1000 },
    );
  }
  t.pass();
});
