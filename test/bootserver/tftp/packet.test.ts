import test from 'ava';
import fc from 'fast-check';
import { dataPackets, type Packet, parsePacket, serialisePacket } from '../../../bootserver/tftp/packet.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

/** Any Latin-1 text without NUL. */
const text = (maxLength: number) =>
  fc
    .array(fc.integer({ min: 1, max: 255 }), { minLength: 1, maxLength })
    .map((codes) => String.fromCharCode(...codes));
const options = (minLength: number) => fc.array(fc.tuple(text(12), text(12)), { minLength, maxLength: 6 });
const word = fc.nat(0xffff);
const packets: fc.Arbitrary<Packet> = fc.oneof(
  fc.record({
    op: fc.constantFrom('read', 'write'),
    file: text(60),
    mode: fc.constantFrom('octet', 'netascii', 'mail'),
    options: options(0),
  }),
  fc.record({ op: fc.constant('data' as const), block: word, data: fc.uint8Array({ maxLength: 1468 }) }),
  fc.record({ op: fc.constant('ack' as const), block: word }),
  fc.record({ op: fc.constant('error' as const), code: word, message: text(200) }),
  fc.record({ op: fc.constant('oack' as const), options: options(1) }),
);

test('a request as EDK2 sends it', (t) => {
  // Read request for ipxe.efi with tsize 0, blksize 1468, windowsize 4.
  const bytes = hex(
    '0001 697078652e65666900 6f6374657400 7473697a6500 3000 626c6b73697a6500 3134363800 77696e646f7773697a6500 3400',
  );
  t.deepEqual(parsePacket(bytes), {
    op: 'read',
    file: 'ipxe.efi',
    mode: 'octet',
    options: [
      ['tsize', '0'],
      ['blksize', '1468'],
      ['windowsize', '4'],
    ],
  });
});

test('what RFC 1350 prints is what goes out', (t) => {
  t.deepEqual(serialisePacket({ op: 'ack', block: 258 }), hex('0004 0102'));
  t.deepEqual(serialisePacket({ op: 'data', block: 1, data: hex('aabb') }), hex('0003 0001 aabb'));
  t.deepEqual(serialisePacket({ op: 'error', code: 2, message: 'no' }), hex('0005 0002 6e6f00'));
  t.deepEqual(serialisePacket({ op: 'oack', options: [['tsize', '7']] }), hex('0006 7473697a6500 3700'));
});

test('the mode is compared without regard to case', (t) => {
  t.like(parsePacket(hex('0001 6100 4f635465 7400')), { mode: 'octet' });
});

test('padding after the request and an error without its NUL are what ROMs send', (t) => {
  t.like(parsePacket(hex('0001 6100 6f6374657400 0000 0000')), { op: 'read', file: 'a', options: [] });
  t.deepEqual(parsePacket(hex('0005 0008 6162')), { op: 'error', code: 8, message: 'ab' });
  t.deepEqual(parsePacket(hex('0005 0000')), { op: 'error', code: 0, message: '' });
});

test('what is not a packet is none', (t) => {
  for (const bytes of [
    '',
    '00',
    '0001',
    '000100',
    '0001 6100',
    '0001 00 6f6374657400',
    '0004',
    '000401',
    '0007 0000',
    '0000 0000',
    'ffff ffff',
  ]) {
    t.is(parsePacket(hex(bytes)), undefined, bytes);
  }
  const long = serialisePacket({ op: 'read', file: 'a'.repeat(600), mode: 'octet', options: [] });
  t.is(parsePacket(long), undefined);
});

test('parsing is the inverse of serialising', (t) => {
  fc.assert(
    fc.property(packets, (packet) => {
      const bytes = serialisePacket(packet);
      if (bytes.length > 512 && packet.op !== 'data') return;
      const again = parsePacket(bytes);
      t.truthy(again);
      t.deepEqual(serialisePacket(again as Packet), bytes);
    }),
    { numRuns: 1000 },
  );
});

test('any datagram is a packet or none, and never an exception', (t) => {
  const opcode = fc.tuple(fc.constant(0), fc.nat(7)).map((bytes) => Uint8Array.from(bytes));
  const bytes = fc
    .tuple(opcode, fc.uint8Array({ maxLength: 700 }))
    .map(([head, rest]) => Buffer.concat([head, rest]));
  fc.assert(
    fc.property(fc.oneof(bytes, fc.uint8Array()), (datagram) => {
      const packet = parsePacket(datagram);
      if (packet?.op === 'error') t.true(packet.message.length <= 256);
      if (packet !== undefined) serialisePacket(packet);
    }),
    { numRuns: 3000 },
  );
  t.pass();
});

test('consecutive blocks are the packets that each would be alone', (t) => {
  const blocks = fc.record({
    first: fc.nat(200_000),
    blockSize: fc.integer({ min: 8, max: 40 }),
    length: fc.nat(300),
  });
  fc.assert(
    fc.property(blocks, ({ first, blockSize, length }) => {
      const data = Buffer.from(Array.from({ length }, (_, i) => i & 255));
      const count = Math.floor(length / blockSize) + 1;
      const alone = Array.from({ length: count }, (_, i) => {
        const block = (first + i) & 0xffff;
        return serialisePacket({
          op: 'data',
          block,
          data: data.subarray(i * blockSize, (i + 1) * blockSize),
        });
      });
      t.deepEqual(dataPackets(first, count, blockSize, data), Buffer.concat(alone));
    }),
  );
});
