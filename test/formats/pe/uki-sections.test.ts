import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../../base/error.ts';
import { mustRun } from '../../../base/run.ts';
import { sectionNamed, UKI_HEADER_BYTES, ukiSections } from '../../../formats/pe/uki-sections.ts';
import { CMDLINE, INITRD, LINUX, makeUki, UKI } from '../../bootserver/http/fixture.ts';

const contentOf = (file: Buffer, name: string) => {
  const section = sectionNamed(ukiSections(file.subarray(0, UKI_HEADER_BYTES), file.length), name);
  return section === undefined ? undefined : file.subarray(section.offset, section.offset + section.length);
};
const malformed = (t: import('ava').ExecutionContext, head: Uint8Array, size: number, what: RegExp) => {
  const error = t.throws(() => ukiSections(head, size), { instanceOf: BootwaveError });
  t.is(error?.code, 'UKI_MALFORMED');
  t.regex(error?.what ?? '', what);
};

test('finds the parts without their padding', (t) => {
  t.deepEqual(contentOf(UKI, '.linux'), LINUX);
  t.deepEqual(contentOf(UKI, '.initrd'), INITRD);
  t.deepEqual(contentOf(UKI, '.cmdline')?.toString(), `${CMDLINE}\0`);
  t.is(contentOf(UKI, '.splash'), undefined);
});

test("agrees with objcopy about a UKI on systemd's own stub", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-uki-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const path = (name: string) => join(folder, name);
  await writeFile(path('linux'), LINUX);
  await writeFile(path('initrd'), INITRD);
  const stub = '/usr/lib/systemd/boot/efi/linuxx64.efi.stub';
  const parts = [
    ['.linux', 'linux', '0x2000000'],
    ['.initrd', 'initrd', '0x3000000'],
  ].flatMap(([name, file, address]) => [
    '--add-section',
    `${name}=${path(file ?? '')}`,
    '--change-section-vma',
    `${name}=${address}`,
  ]);
  await mustRun('objcopy', [...parts, stub, path('uki.efi')]);
  const uki = await readFile(path('uki.efi'));
  t.deepEqual(contentOf(uki, '.linux'), LINUX);
  t.deepEqual(contentOf(uki, '.initrd'), INITRD);
  t.truthy(contentOf(uki, '.sdmagic') ?? contentOf(uki, '.text'));
});

test('the first of several sections with one name counts', (t) => {
  const uki = makeUki([
    { name: '.cmdline', content: Buffer.from('base') },
    { name: '.cmdline', content: Buffer.from('profile') },
  ]);
  t.is(contentOf(uki, '.cmdline')?.toString(), 'base');
});

test('refuses what is not a UKI, with a reason', (t) => {
  malformed(t, new Uint8Array(0), 0, /DOS header/);
  malformed(t, Buffer.from('#!/bin/sh\n'.repeat(20)), 200, /MZ/);
  const far = Buffer.from(UKI);
  far.writeUInt32LE(0xfffffff0, 0x3c);
  malformed(t, far, far.length, /beyond the first/);
  const unsigned = Buffer.from(UKI);
  unsigned.write('NE', 0x80);
  malformed(t, unsigned, unsigned.length, /PE signature/);
  const many = Buffer.from(UKI);
  many.writeUInt16LE(5000, 0x86);
  malformed(t, many, many.length, /5000 sections/);
});

test('a file cut short is refused, not read beyond its end', (t) => {
  malformed(t, UKI, UKI.length - 600, /beyond the end of the file/);
});

test('whatever the bytes are, sections lie inside the file or there is a coded error', (t) => {
  const check = (bytes: Uint8Array, size: number) => {
    try {
      for (const { offset, length } of ukiSections(bytes, size)) {
        if (!(offset >= 0 && length > 0 && offset + length <= size)) t.fail(`${offset}+${length} of ${size}`);
      }
    } catch (error) {
      t.true(error instanceof BootwaveError, String(error));
    }
  };
  const head = UKI.subarray(0, 1024);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(head.length - 1), fc.nat(255)), { maxLength: 20 }),
      fc.nat(UKI.length * 2),
      fc.integer({ min: 0, max: 1024 }),
      (changes, size, cut) => {
        const bytes = Buffer.from(head);
        for (const [at, value] of changes) bytes[at] = value;
        check(bytes.subarray(0, cut === 0 ? undefined : cut), size);
      },
    ),
    { numRuns: 3000 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(1000), check));
  t.pass();
});
