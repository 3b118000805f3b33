import test from 'ava';
import fc from 'fast-check';
import { CHUNK, ChunkDecoder, encodeChunks, STREAMS } from '../../protocol/chunks.ts';

const chunk = fc.record({ stream: fc.constantFrom(...STREAMS), bytes: fc.uint8Array({ maxLength: 300 }) });

test('what is written comes out, however it was cut', (t) => {
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 20 }), fc.integer({ min: 1, max: 64 }), (chunks, cut) => {
      const all = Buffer.concat(chunks.map(({ stream, bytes }) => encodeChunks(stream, Buffer.from(bytes))));
      const decoder = new ChunkDecoder();
      const got = [];
      for (let at = 0; at < all.length; at += cut) got.push(...decoder.push(all.subarray(at, at + cut)));
      t.deepEqual(
        got.map(({ stream, bytes }) => [stream, bytes.toString('hex')]),
        chunks.map(({ stream, bytes }) => [stream, Buffer.from(bytes).toString('hex')]),
      );
    }),
  );
  const long = new ChunkDecoder().push(encodeChunks('out', Buffer.alloc(2 * CHUNK + 1, 'x')));
  t.deepEqual(
    long.map(({ bytes }) => bytes.length),
    [CHUNK, CHUNK, 1],
  );
});

test('any bytes at all are chunks, or refused with a code, and never more is kept than one', (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 }), (pieces) => {
      const decoder = new ChunkDecoder();
      try {
        for (const piece of pieces)
          for (const { stream, bytes } of decoder.push(piece))
            t.true(STREAMS.includes(stream) && bytes.length <= CHUNK);
      } catch (error) {
        t.is((error as { code?: string }).code, 'EXEC_CHUNK');
        t.throws(() => decoder.push(Buffer.alloc(1)), { code: 'EXEC_CHUNK' });
      }
    }),
  );
  const oversized = Buffer.from([2, 0xff, 0xff, 0xff, 0xff]);
  t.throws(() => new ChunkDecoder().push(oversized), { code: 'EXEC_CHUNK' });
});
