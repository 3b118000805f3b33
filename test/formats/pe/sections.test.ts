import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../../base/error.ts';
import { mustRun } from '../../../base/run.ts';
import { addSections, readSections } from '../../../formats/pe/sections.ts';

const STUB = '/usr/lib/systemd/boot/efi/linuxx64.efi.stub';
const stub = await readFile(STUB);

test('sections are where binutils looks for them, in order and without overlap', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-pe-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const added = [
    { name: '.osrel', data: Buffer.from('ID=x\n') },
    { name: '.linux', data: Buffer.alloc(5000, 7) },
    { name: '.initrd', data: Buffer.alloc(512, 9) },
  ];
  const file = join(folder, 'uki.efi');
  await writeFile(file, addSections(stub, added));
  for (const { name, data } of added) {
    const out = join(folder, 'section');
    await mustRun('objcopy', ['--dump-section', `${name}=${out}`, file, join(folder, 'copy')]);
    // objcopy hands out the content with the padding that the file has.
    const found = await readFile(out);
    t.deepEqual(found.subarray(0, data.length), data, name);
    t.true(found.subarray(data.length).every((byte) => byte === 0));
  }
});

test('what was added is read back, for any sizes', (t) => {
  const size = fc.integer({ min: 0, max: 9000 });
  fc.assert(
    fc.property(fc.array(size, { minLength: 1, maxLength: 6 }), (sizes) => {
      const added = sizes.map((length, i) => ({ name: `.s${i}`, data: Buffer.alloc(length, i + 1) }));
      const file = addSections(stub, added);
      const sections = readSections(file);
      const old = readSections(stub);
      // Addresses in the order of the table and never overlapping, as loaders demand.
      for (let i = 1; i < sections.length; i += 1)
        if (sections[i]!.address < sections[i - 1]!.address + sections[i - 1]!.size) return false;
      return added.every(({ name, data }, i) => {
        const section = sections[old.length + i]!;
        const content = file.subarray(section.offset, section.offset + section.size);
        return section.name === name && section.address % 4096 === 0 && content.equals(data);
      });
    }),
    { numRuns: 50 },
  );
  t.pass();
});

test('the code of the stub is not touched', (t) => {
  const file = addSections(stub, [{ name: '.x', data: Buffer.alloc(10) }]);
  for (const section of readSections(stub)) {
    const end = section.offset + section.size;
    t.deepEqual(file.subarray(section.offset, end), stub.subarray(section.offset, end), section.name);
  }
});

test('more sections than the headers have room for are refused', (t) => {
  const many = Array.from({ length: 8 }, (_, i) => ({ name: `.s${i}`, data: Buffer.alloc(1) }));
  t.is(t.throws(() => addSections(stub, many), { instanceOf: BootwaveError })?.code, 'PE_INVALID');
});

test('a signed file and a long name are refused', (t) => {
  const signed = Buffer.from(stub);
  const optional = signed.readUInt32LE(0x3c) + 24;
  signed.writeUInt32LE(8, optional + 112 + 4 * 8 + 4);
  const one = [{ name: '.x', data: Buffer.alloc(1) }];
  t.is(t.throws(() => addSections(signed, one), { instanceOf: BootwaveError })?.code, 'PE_INVALID');
  const long = [{ name: '.toolongname', data: Buffer.alloc(1) }];
  t.is(t.throws(() => addSections(stub, long), { instanceOf: BootwaveError })?.code, 'PE_INVALID');
});

test('damaged and foreign files are refused with a code, never with another error', (t) => {
  const damaged = fc.array(fc.tuple(fc.nat(0x400), fc.nat(255)), { maxLength: 30 }).map((changes) => {
    const file = Buffer.from(stub.subarray(0, 0x1000));
    for (const [at, byte] of changes) file[at] = byte;
    return file;
  });
  fc.assert(
    fc.property(
      fc.oneof(
        damaged,
        fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
      ),
      (file) => {
        try {
          readSections(file);
        } catch (error) {
          return error instanceof BootwaveError && error.code === 'PE_INVALID';
        }
        return true;
      },
    ),
    { numRuns: 3000 },
  );
  t.pass();
});
