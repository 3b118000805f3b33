import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../../base/error.ts';
import { withFile } from '../../../base/files.ts';
import { mustRun } from '../../../base/run.ts';
import { forbiddenDigests } from '../../../formats/efi/secure-boot-lists.ts';
import { authenticodeSha256, hashedRanges } from '../../../formats/pe/authenticode.ts';
import { addSections } from '../../../formats/pe/sections.ts';

const LOADER = '/usr/lib/systemd/boot/efi/systemd-bootx64.efi';
const STUB = '/usr/lib/systemd/boot/efi/linuxx64.efi.stub';
const IPXE = '/usr/lib/ipxe/snponly.efi';

const folder = await mkdtemp(join(tmpdir(), 'bootwave-authenticode-'));
const path = (name: string) => join(folder, name);

const [key, certificate] = [path('db.key'), path('db.crt')];
await mustRun('openssl', [
  ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=db', '-days', '2'],
  ...['-keyout', key, '-out', certificate],
]);
const sign = (from: string, to: string) =>
  mustRun('sbsign', ['--key', key, '--cert', certificate, '--output', to, from]);

/** What efitools would put into dbx for this file. */
async function byTool(file: string): Promise<string> {
  const out = `${file.replaceAll('/', '_')}.esl`;
  await mustRun('hash-to-efi-sig-list', [file, path(out)]);
  const [digest] = forbiddenDigests(await readFile(path(out)));
  return digest ?? '';
}

const LOADER_HEAD = (await readFile(LOADER)).subarray(0, 4096);
const LOADER_SIZE = (await readFile(LOADER)).length;

test.after.always(() => rm(folder, { recursive: true }));

for (const file of [LOADER, STUB, IPXE]) {
  test(`${file}: as efitools computes it, before and after signing`, async (t) => {
    const signed = path(`${file.split('/').at(-1)}.signed`);
    await sign(file, signed);
    const digest = await withFile(signed, authenticodeSha256);
    t.is(digest, await byTool(signed));
    t.is(await withFile(file, authenticodeSha256), digest);
    t.is(await byTool(file), digest);
  });
}

test('a UKI as a build makes it: one digest, signed or not, and it is the one in its signature', async (t) => {
  const uki = addSections(await readFile(STUB), [
    { name: '.osrel', data: Buffer.from('ID=test\n') },
    // Longer than the piece in which files are read.
    { name: '.linux', data: Buffer.alloc(3_000_001, 'kernel') },
  ]);
  await writeFile(path('uki.efi'), uki);
  await sign(path('uki.efi'), path('uki.signed.efi'));
  await sign(path('uki.signed.efi'), path('uki.twice.efi'));
  const digest = await withFile(path('uki.efi'), authenticodeSha256);
  t.is(digest, await byTool(path('uki.efi')));
  t.is(await withFile(path('uki.signed.efi'), authenticodeSha256), digest);
  t.is(await withFile(path('uki.twice.efi'), authenticodeSha256), digest);
  // SpcIndirectDataContent holds it (Windows Authenticode, "Authenticode-Specific Structures").
  const signed = await readFile(path('uki.signed.efi'));
  t.true(signed.subarray(uki.length).includes(Buffer.from(digest, 'hex')));
});

test('one other byte in a section is another program; another checksum is not', async (t) => {
  const file = await readFile(LOADER);
  const digest = await withFile(LOADER, authenticodeSha256);
  const optional = file.readUInt32LE(0x3c) + 24;
  file.writeUInt32LE(0x1234_5678, optional + 64);
  await writeFile(path('checksum.efi'), file);
  t.is(await withFile(path('checksum.efi'), authenticodeSha256), digest);
  file[file.length - 600]! ^= 1;
  await writeFile(path('other.efi'), file);
  t.not(await withFile(path('other.efi'), authenticodeSha256), digest);
});

test('sections count in the order of the file, in whatever order the table has them', async (t) => {
  const file = await readFile(LOADER);
  const optional = file.readUInt32LE(0x3c) + 24;
  const table = optional + file.readUInt16LE(optional - 4);
  const first = Buffer.from(file.subarray(table, table + 40));
  file.copyWithin(table, table + 40, table + 80);
  first.copy(file, table + 40);
  await writeFile(path('swapped.efi'), file);
  t.is(await withFile(path('swapped.efi'), authenticodeSha256), await byTool(path('swapped.efi')));
});

const refused = (t: import('ava').ExecutionContext, head: Buffer, size: number, what: RegExp) => {
  const error = t.throws(() => hashedRanges(head, size), { instanceOf: BootwaveError });
  t.is(error?.code, 'PE_INVALID');
  t.regex(error?.what ?? '', what);
};

test('refuses what firmware could read in another way, with a reason', (t) => {
  const changed = (change: (head: Buffer, optional: number) => void) => {
    const head = Buffer.from(LOADER_HEAD);
    change(head, head.readUInt32LE(0x3c) + 24);
    return head;
  };
  const table = (head: Buffer, optional: number) => optional + head.readUInt16LE(optional - 4);
  refused(t, Buffer.alloc(0), 0, /MZ/);
  refused(t, LOADER_HEAD, 4096, /beyond the end of the file/);
  refused(
    t,
    changed((head) => head.writeUInt32LE(8, 0x3c)),
    LOADER_SIZE,
    /PE signature/,
  );
  refused(
    t,
    changed((head, optional) => head.writeUInt16LE(0x10b, optional)),
    LOADER_SIZE,
    /64 bit/,
  );
  refused(
    t,
    changed((head, optional) => head.writeUInt16LE(500, optional - 18)),
    LOADER_SIZE,
    /500 sections/,
  );
  refused(
    t,
    changed((head, optional) => head.writeUInt32LE(4, optional + 108)),
    LOADER_SIZE,
    /signature/,
  );
  refused(
    t,
    changed((head, optional) => head.writeUInt32LE(64, optional + 60)),
    LOADER_SIZE,
    /claim 64/,
  );
  refused(
    t,
    changed((head, optional) => head.writeUInt32LE(2 ** 31, optional + 60)),
    LOADER_SIZE,
    /claim/,
  );
  refused(
    t,
    changed((head, optional) => head.writeUInt32LE(64, optional + 148)),
    LOADER_SIZE,
    /not the aligned end/,
  );
  const overlapping = changed((head, optional) => {
    const first = table(head, optional);
    head.writeUInt32LE(head.readUInt32LE(first + 40 + 20), first + 20);
  });
  refused(t, overlapping, LOADER_SIZE, /overlap/);
});

test('whatever the header is: ranges inside the file, no byte more than twice, or a coded error', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(1023), fc.nat(255)), { maxLength: 8 }),
      fc.nat(LOADER_SIZE * 2),
      fc.integer({ min: 0, max: 4096 }),
      (changes, size, cut) => {
        const head = Buffer.from(LOADER_HEAD.subarray(0, cut === 0 ? undefined : cut));
        for (const [at, value] of changes) if (at < head.length) head[at] = value;
        try {
          const ranges = hashedRanges(head, size);
          const total = ranges.reduce((sum, { start, end }) => sum + end - start, 0);
          if (!ranges.every(({ start, end }) => 0 <= start && start <= end && end <= size)) t.fail();
          if (total > 2 * size) t.fail(`${total} of ${size}`);
        } catch (error) {
          if (!(error instanceof BootwaveError)) throw error;
        }
      },
    ),
    { numRuns: 3000 },
  );
  t.pass();
});
