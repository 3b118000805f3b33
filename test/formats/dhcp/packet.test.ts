import { createRequire } from 'node:module';
import test from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../../base/error.ts';
import { readBootClient } from '../../../bootserver/boot/client.ts';
import { readRequest } from '../../../bootserver/dhcp/request.ts';
import { concat, OPTION, textBytes, writeOption } from '../../../formats/dhcp/options.ts';
import { type DhcpPacket, LARGEST, parsePacket, serialisePacket } from '../../../formats/dhcp/packet.ts';
import { message } from '../../bootserver/dhcp/messages.ts';

const u8 = fc.integer({ min: 0, max: 255 });
const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const latin = (max: number) =>
  fc
    .array(fc.integer({ min: 1, max: 255 }), { maxLength: max })
    .map((bytes) => Buffer.from(bytes).toString('latin1'));
const code = fc.integer({ min: 1, max: 254 }).filter((c) => c !== OPTION.overload);
const packets: fc.Arbitrary<DhcpPacket> = fc.record({
  op: fc.constantFrom(1 as const, 2 as const),
  htype: u8,
  hops: u8,
  xid: u32,
  secs: u16,
  flags: u16,
  ciaddr: u32,
  yiaddr: u32,
  siaddr: u32,
  giaddr: u32,
  chaddr: fc.uint8Array({ maxLength: 16 }),
  sname: latin(64),
  file: latin(128),
  options: fc
    .uniqueArray(fc.tuple(code, fc.uint8Array({ maxLength: 310 })), { selector: ([c]) => c, maxLength: 12 })
    .map((entries) => new Map(entries)),
});
const plain = (packet: DhcpPacket) => ({
  ...packet,
  chaddr: [...packet.chaddr],
  options: [...packet.options].map(([c, v]) => [c, [...v]] as const).sort(([a], [b]) => a - b),
});

test('whatever is written is read back the same, options over 255 bytes included (RFC 3396)', (t) => {
  fc.assert(
    fc.property(packets, (packet) => {
      t.deepEqual(plain(parsePacket(serialisePacket(packet))), plain(packet));
    }),
    { numRuns: 300 },
  );
  t.pass();
});

test('no bytes from the wire make it throw anything but DHCP_MALFORMED', (t) => {
  const survives = (bytes: Uint8Array) => {
    try {
      const packet = parsePacket(bytes);
      readRequest(packet);
      readBootClient(packet.options);
    } catch (error) {
      t.true(error instanceof BootwaveError && error.code === 'DHCP_MALFORMED', String(error));
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 700 }), survives), { numRuns: 500 });
  // Most random bytes stop at the cookie; these get past it.
  const header = serialisePacket(message('discover', 1)).subarray(0, 240);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), (tail) => survives(concat(header, tail))),
    { numRuns: 2000 },
  );
  const overloaded = fc.tuple(
    fc.uint8Array({ minLength: 192, maxLength: 192 }),
    fc.constantFrom(1, 2, 3),
    fc.uint8Array(),
  );
  fc.assert(
    fc.property(overloaded, ([fields, how, tail]) => {
      const bytes = concat(header, Uint8Array.of(OPTION.overload, 1, how), tail);
      bytes.set(fields, 44);
      survives(bytes);
    }),
    { numRuns: 1000 },
  );
  t.pass();
});

function bytesWith(
  options: readonly number[],
  fields: { sname?: number[]; file?: number[] } = {},
): Uint8Array {
  const bytes = concat(serialisePacket(message('discover', 1)).subarray(0, 240), Uint8Array.from(options));
  bytes.set(fields.sname ?? [], 44);
  bytes.set(fields.file ?? [], 108);
  return bytes;
}

test('a datagram of 64 kB is dropped before its options are read; the largest message is read', (t) => {
  const one = [OPTION.clientId, 1, 7];
  const of = (length: number) =>
    bytesWith([
      53,
      1,
      1,
      ...Array(Math.floor((length - 243) / 3))
        .fill(one)
        .flat(),
    ]);
  t.throws(() => parsePacket(of(65_000)), { code: 'DHCP_MALFORMED', message: /too many/ });
  t.throws(() => parsePacket(of(LARGEST + 3)), { code: 'DHCP_MALFORMED' });
  const packet = parsePacket(of(LARGEST));
  t.is(packet.options.get(OPTION.clientId)?.length, Math.floor((LARGEST - 243) / 3));
});

test('an identifier that would fill the disk with its leases is refused', (t) => {
  const asked = (length: number) =>
    readRequest({
      ...message('discover', 1),
      options: new Map([
        [53, Uint8Array.of(1)],
        [61, new Uint8Array(length)],
      ]),
    });
  t.is(asked(255)?.clientId?.length, 510);
  t.throws(() => asked(256), { code: 'DHCP_MALFORMED', message: /256 bytes/ });
});

test('what was read does not change with the datagram', (t) => {
  const bytes = Buffer.from(bytesWith([53, 1, 1, 61, 2, 65, 66]));
  const packet = parsePacket(bytes);
  bytes.fill(0);
  t.deepEqual([...packet.options.get(61)!], [65, 66]);
  t.deepEqual([...packet.chaddr], [0x52, 0x54, 0, 0, 0, 1]);
});

test('a PAD is one byte long, and END may be missing', (t) => {
  const packet = parsePacket(bytesWith([0, 53, 1, 1, 0, 0, 0, 12, 2, 65, 66]));
  t.deepEqual([...packet.options.keys()], [53, 12]);
  t.deepEqual([...packet.options.get(12)!], [65, 66]);
});

test('option overload: file before sname, and the fields themselves are then empty (RFC 2132 9.3)', (t) => {
  const packet = parsePacket(
    bytesWith([52, 1, 3, 53, 1, 1, 67, 1, 97, 255], {
      file: [67, 1, 98, 255],
      sname: [67, 1, 99, 12, 1, 120],
    }),
  );
  t.is(Buffer.from(packet.options.get(67)!).toString(), 'abc');
  t.is(Buffer.from(packet.options.get(12)!).toString(), 'x');
  t.is(packet.file, '');
  t.is(packet.sname, '');
});

test('too short, wrong cookie, wrong op, an option past the end: coded', (t) => {
  const good = bytesWith([53, 1, 1, 255]);
  const broken: Uint8Array[] = [good.slice(0, 239), bytesWith([12, 9, 65]), bytesWith([12])];
  for (const [at, value] of [
    [0, 3],
    [2, 17],
    [236, 0],
  ] as const) {
    const copy = good.slice();
    copy[at] = value;
    broken.push(copy);
  }
  for (const bytes of broken)
    t.is(t.throws(() => parsePacket(bytes), { instanceOf: BootwaveError })?.code, 'DHCP_MALFORMED');
});

test('option 53 is first, 82 last, and no message is shorter than BOOTP', (t) => {
  const bytes = serialisePacket({
    ...message('discover', 1),
    options: new Map([
      [82, Uint8Array.of(1, 1, 7)],
      [60, textBytes('x')],
      [53, Uint8Array.of(1)],
    ]),
  });
  t.is(bytes.length, 300);
  t.deepEqual([...bytes.subarray(240, 252)], [53, 1, 1, 60, 1, 120, 82, 3, 1, 1, 7, 255]);
});

test('RFC 3396: 300 bytes go out as 255 and 45', (t) => {
  const bytes = new Uint8Array(310);
  t.is(writeOption(bytes, 2, 43, new Uint8Array(300)), 306);
  t.deepEqual([...bytes.subarray(2, 4), ...bytes.subarray(259, 261)], [43, 255, 43, 45]);
  t.is(writeOption(bytes, 0, 43, new Uint8Array(0)), 2, 'an empty one is an option too');
});

test('the npm package dhcp reads what we write and we read what it writes', (t) => {
  const theirs = createRequire(import.meta.url)('dhcp/lib/protocol.js') as {
    parse(bytes: Buffer): Record<string, unknown> & { options: Record<number, unknown> };
    format(packet: object): { _data: Buffer; _w: number };
  };
  const ours = message('discover', 7, { requested: '10.0.0.9', vendorClass: 'PXEClient' });
  const read = theirs.parse(serialisePacket({ ...ours, giaddr: 0x0a000002, file: 'ipxe.efi' }));
  t.is(read.chaddr, '52-54-00-00-00-07'.toUpperCase());
  t.is(read.giaddr, '10.0.0.2');
  t.is(read.file, 'ipxe.efi');
  t.is(read.options[50], '10.0.0.9');
  t.is(read.options[60], 'PXEClient');

  const written = theirs.format({ ...read, options: { 53: 3, 51: 77, 3: ['10.0.0.254'], 60: 'HTTPClient' } });
  const back = parsePacket(written._data.subarray(0, written._w));
  t.deepEqual([...back.chaddr], [...ours.chaddr]);
  t.is(back.xid, ours.xid);
  t.deepEqual([...back.options.get(51)!], [0, 0, 0, 77]);
  t.deepEqual([...back.options.get(3)!], [10, 0, 0, 254]);
});
