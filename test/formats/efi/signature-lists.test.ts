import test from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../../base/error.ts';
import { signatureEntries, X509 } from '../../../formats/efi/signature-lists.ts';
import { SHA256_LIST, signatureList } from '../../bootserver/enroll/support/event-log.ts';

const walk = (bytes: Uint8Array) => [...signatureEntries(bytes, 'LIST_BROKEN')];
const told = (bytes: Uint8Array) => walk(bytes).map(({ type, data }) => [type, data.toString('hex')]);

const list = fc
  .record({
    type: fc.constantFrom(X509, SHA256_LIST),
    length: fc.integer({ min: 1, max: 40 }),
    count: fc.nat(4),
    header: fc.nat(5),
  })
  .chain(({ type, length, count, header }) => {
    const entry = fc.uint8Array({ minLength: length, maxLength: length });
    return fc
      .array(entry, { minLength: count, maxLength: count })
      .map((entries) => ({ type, entries, header: new Uint8Array(header).fill(0xff) }));
  });
const written = fc.array(list, { maxLength: 4 });
const bytesOf = (lists: readonly { type: string; entries: Uint8Array[]; header: Uint8Array }[]) =>
  Buffer.concat(lists.map(({ type, entries, header }) => signatureList(type, entries, header)));

test('what was written is read, entry by entry, whatever headers stand between', (t) => {
  fc.assert(
    fc.property(written, (lists) => {
      const entries = lists.flatMap(({ type, entries }) =>
        entries.map((data) => [type, Buffer.from(data).toString('hex')]),
      );
      return JSON.stringify(told(bytesOf(lists))) === JSON.stringify(entries);
    }),
  );
  t.deepEqual(walk(Buffer.alloc(0)), []);
});

test('no bytes whatsoever break the walk: they are read, or refused by the code that was given', (t) => {
  const bent = fc
    .tuple(written, fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 4 }), fc.nat(40))
    .map(([lists, changes, cut]) => {
      const bytes = bytesOf(lists);
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      return bytes.subarray(0, Math.max(0, bytes.length - cut));
    });
  const codes = new Set<string>();
  fc.assert(
    fc.property(fc.oneof(bent, fc.uint8Array({ maxLength: 200 })), (bytes) => {
      try {
        walk(bytes);
        codes.add('read');
      } catch (error) {
        if (!(error instanceof BootwaveError)) throw error;
        codes.add(error.code);
      }
    }),
    { numRuns: 1000 },
  );
  t.deepEqual([...codes].sort(), ['LIST_BROKEN', 'read']);
});

test('lengths that do not agree are refused, each of them', (t) => {
  const good = signatureList(SHA256_LIST, [Buffer.alloc(32), Buffer.alloc(32)]);
  const lies: [at: number, value: number][] = [
    ...[good.length - 1, good.length + 1, 27, 0xffffffff].map((value) => [16, value] as [number, number]),
    ...[1, good.length, 0xffffffff].map((value) => [20, value] as [number, number]),
    ...[0, 16, 47, 0xffffffff].map((value) => [24, value] as [number, number]),
  ];
  for (const [at, value] of lies) {
    const bytes = Buffer.from(good);
    bytes.writeUInt32LE(value, at);
    t.throws(() => walk(bytes), { code: 'LIST_BROKEN' }, `${value} at ${at}`);
  }
});
