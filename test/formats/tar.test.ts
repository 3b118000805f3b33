import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { mustRun } from '../../base/run.ts';
import { readTar } from '../../formats/tar.ts';
import { header, tarOf } from '../image/services/oci.ts';

async function* pieces(bytes: Uint8Array, size = 700): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function entries(bytes: Uint8Array, size?: number) {
  const found: { name: string; type: string; target: string; mode: number; content: string }[] = [];
  for await (const { name, type, target, mode, body } of readTar(pieces(bytes, size))) {
    const parts: Uint8Array[] = [];
    for await (const part of body()) parts.push(part);
    found.push({ name, type, target, mode, content: Buffer.concat(parts).toString('utf8') });
  }
  return found;
}

for (const format of ['gnu', 'pax', 'ustar', 'v7'])
  test(`what GNU tar writes is read: ${format}`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'bootwave-tar-'));
    t.teardown(() => rm(folder, { recursive: true }));
    const long =
      format === 'v7'
        ? 'deep'
        : format === 'ustar'
          ? `${'d'.repeat(90)}/${'e'.repeat(90)}`
          : `${'d'.repeat(120)}/${'ü'.repeat(100)}`;
    await mkdir(join(folder, 'in', long), { recursive: true });
    await writeFile(join(folder, 'in', long, 'file'), 'x'.repeat(1000), { mode: 0o751 });
    await symlink('../a', join(folder, 'in/link'));
    await mustRun('tar', [`--format=${format}`, '-C', join(folder, 'in'), '-cf', join(folder, 'out'), '.']);
    const found = await entries(await readFile(join(folder, 'out')));
    t.deepEqual(
      found.find(({ type }) => type === 'file'),
      {
        ...{ name: `./${long}/file`, type: 'file', target: '', mode: 0o751, content: 'x'.repeat(1000) },
      },
    );
    t.like(
      found.find(({ type }) => type === 'symlink'),
      { name: './link', target: '../a' },
    );
  });

test('an entry whose content nobody reads, or not all of it, does not disturb the next', async (t) => {
  const bytes = tarOf([{ name: 'a', content: 'a'.repeat(5000) }, { name: 'b', content: 'b' }, { name: 'c' }]);
  const names: string[] = [];
  for await (const { name, body } of readTar(pieces(bytes))) {
    names.push(name);
    if (name === 'a') for await (const _ of body()) break;
  }
  t.deepEqual(names, ['a', 'b', 'c']);
});

test('what two readers could understand in two ways is refused', async (t) => {
  const pax = (text: string) => {
    const bytes = Buffer.alloc(512);
    bytes.write(text);
    return Buffer.concat([header({ name: 'p', flag: 'x' }, text.length), bytes]);
  };
  const file = tarOf([{ name: 'f' }]);
  const changed = (at: number, byte: number) => {
    const copy = Buffer.from(file);
    copy[at] = byte;
    return copy;
  };
  const cases: [RegExp, Buffer][] = [
    [/damaged/, changed(0, 0x67)],
    [/unknown type/, tarOf([{ name: 'f', flag: 'S' }])],
    [/unknown type/, tarOf([{ name: 'f', flag: 'g' }])],
    [/unknown type/, tarOf([{ name: 'f', flag: '7' }])],
    [/has content and is no file/, tarOf([{ name: 'f', flag: '2', target: 'x', content: 'x' }])],
    [/name of a folder/, tarOf([{ name: 'f/', flag: '0' }])],
    [/middle/, Buffer.concat([file.subarray(0, 512), Buffer.alloc(512), file])],
    [/twice/, Buffer.concat([pax('8 path=a\n'.replace('8', '9')), pax('9 path=b\n'), file])],
    [/twice/, Buffer.concat([pax('9 path=a\n9 path=b\n'), file])],
    [/damaged/, Buffer.concat([pax('99 path=a\n'), file])],
    [/not understood/, Buffer.concat([pax('22 GNU.sparse.major=1\n'), file])],
    [/UTF-8/, Buffer.concat([pax('9 path=a\n').fill(0xff, 519, 520), file])],
    [/middle of a file/, tarOf([{ name: 'f', content: 'x'.repeat(2000) }]).subarray(0, 1000)],
    [/middle of an entry/, file.subarray(0, 100)],
  ];
  for (const [why, bytes] of cases) await t.throwsAsync(entries(bytes), { message: why }, String(why));
});

test('whatever comes, in pieces of whatever length, is read as before or refused', async (t) => {
  const name = fc.stringMatching(/^[a-z]{1,8}(?:\/[a-zäöü]{1,60}){0,4}$/);
  const made = fc.array(fc.record({ name, content: fc.string({ maxLength: 1500 }) }), { maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(made, fc.integer({ min: 1, max: 2000 }), async (files, size) => {
      const found = await entries(tarOf(files), size);
      t.deepEqual(
        found.map((one) => ({ name: one.name, content: one.content })),
        files.map((one) => ({ name: one.name, content: Buffer.from(one.content).toString('utf8') })),
      );
    }),
    { numRuns: 50 },
  );
  await fc.assert(
    fc.asyncProperty(
      made,
      fc.array(fc.tuple(fc.nat(5000), fc.nat(255)), { maxLength: 4 }),
      async (files, changes) => {
        const bytes = tarOf(files);
        for (const [at, byte] of changes) if (at < bytes.length) bytes[at] = byte;
        await entries(bytes).catch((error: unknown) => t.true(error instanceof Error));
      },
    ),
    { numRuns: 100 },
  );
});
