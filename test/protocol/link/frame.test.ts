import test from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../../base/error.ts';
import { encodeFrame, FrameDecoder } from '../../../protocol/link/frame.ts';
import { LINK_LIMITS } from '../../../protocol/link/messages.ts';

/** Cuts bytes at any places. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [0, ...places.map((place) => place % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  return at.slice(1).map((end, i) => bytes.subarray(at[i], end));
}

test('however the bytes are cut, the same messages come out', (t) => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue(), { maxLength: 6 }), fc.array(fc.nat(5000)), (values, places) => {
      const decoder = new FrameDecoder();
      const messages = cut(Buffer.concat(values.map(encodeFrame)), places).flatMap((part) =>
        decoder.push(part),
      );
      t.deepEqual(messages, JSON.parse(JSON.stringify(values)));
      // Nothing is left over: what comes next is whole.
      t.deepEqual(decoder.push(encodeFrame(1)), [1]);
    }),
  );
});

test('a large message byte by byte', (t) => {
  const value = { text: 'x'.repeat(20_000) };
  const decoder = new FrameDecoder();
  const messages = [...encodeFrame(value)].flatMap((byte) => decoder.push(Buffer.from([byte])));
  t.deepEqual(messages, [value]);
});

test('what is kept of a half frame does not change with the buffer that it came in', (t) => {
  const frame = encodeFrame({ a: 1 });
  const decoder = new FrameDecoder();
  const first = Buffer.from(frame.subarray(0, 6));
  t.deepEqual(decoder.push(first), []);
  first.fill(0);
  t.deepEqual(decoder.push(frame.subarray(6)), [{ a: 1 }]);
});

test('a declared length costs no memory', (t) => {
  const header = Buffer.alloc(4);
  header.writeUInt32BE(LINK_LIMITS.frameBytes);
  const before = process.memoryUsage().arrayBuffers;
  const decoders = Array.from({ length: 1000 }, () => new FrameDecoder());
  for (const decoder of decoders) decoder.push(header);
  t.true(process.memoryUsage().arrayBuffers - before < 20 * 1024 * 1024);
  t.is(decoders.length, 1000);
});

test('the largest frame passes; one byte more is refused on both sides', (t) => {
  const value = 'x'.repeat(LINK_LIMITS.frameBytes - 2);
  t.deepEqual(new FrameDecoder().push(encodeFrame(value)), [value]);
  t.throws(() => encodeFrame(`${value}x`), { code: 'LINK_FRAME_OVERSIZED' });
  const header = Buffer.alloc(4);
  header.writeUInt32BE(LINK_LIMITS.frameBytes + 1);
  t.throws(() => new FrameDecoder().push(header), { code: 'LINK_FRAME_OVERSIZED' });
});

test('not JSON, not UTF-8, nothing: refused, and the decoder stays shut', (t) => {
  for (const body of [
    Buffer.from('{'),
    Buffer.from([0x22, 0xff, 0x22]),
    Buffer.alloc(0),
    Buffer.from('\ufeff1'),
  ]) {
    const header = Buffer.alloc(4);
    header.writeUInt32BE(body.length);
    const decoder = new FrameDecoder();
    t.throws(() => decoder.push(Buffer.concat([header, body])), { code: 'LINK_FRAME_MALFORMED' });
    t.throws(() => decoder.push(encodeFrame(1)), { code: 'LINK_FRAME_MALFORMED' });
  }
});

test('any bytes at all give messages or a coded error', (t) => {
  const frame = fc.uint8Array({ maxLength: 40 }).map((body) => {
    const header = Buffer.alloc(4);
    header.writeUInt32BE(body.length);
    return Buffer.concat([header, body]);
  });
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.array(frame).map((frames) => Buffer.concat(frames)),
  );
  fc.assert(
    fc.property(bytes, (chunk) => {
      try {
        new FrameDecoder().push(chunk);
        return true;
      } catch (error) {
        return error instanceof BootwaveError && error.code.startsWith('LINK_FRAME_');
      }
    }),
  );
  t.pass();
});
