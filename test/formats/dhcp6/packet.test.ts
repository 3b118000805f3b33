import test from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../../base/error.ts';
import { readRequest6 } from '../../../bootserver/dhcp6/request.ts';
import {
  type Association,
  readAssociation,
  readDuid,
  writeAssociation,
} from '../../../formats/dhcp6/identity.ts';
import { formatIp6, isLinkLocal, parseIp6 } from '../../../formats/dhcp6/ip6.ts';
import {
  OPTION6,
  type Options6,
  readVendorClass,
  writeOptions6,
  writeVendorClass,
} from '../../../formats/dhcp6/options.ts';
import {
  MESSAGE6,
  MOST_RELAYS,
  type Packet6,
  parsePacket6,
  serialisePacket6,
} from '../../../formats/dhcp6/packet.ts';

const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const ips = fc.uint8Array({ minLength: 16, maxLength: 16 });
const options: fc.Arbitrary<Options6> = fc.array(
  fc.tuple(
    u16.filter((code) => code !== OPTION6.relayMessage),
    fc.uint8Array({ maxLength: 300 }),
  ),
  { maxLength: 8 },
);
const packets: fc.Arbitrary<Packet6> = fc.record({
  type: fc.integer({ min: 0, max: 255 }).filter((type) => type !== 12 && type !== 13),
  xid: fc.integer({ min: 0, max: 0xffffff }),
  options,
  relays: fc.array(fc.record({ hops: fc.integer({ min: 0, max: 255 }), link: ips, peer: ips, options }), {
    maxLength: MOST_RELAYS,
  }),
});
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const plain = (list: Options6) => list.map(([code, value]) => `${code} ${hex(value)}`);
const shown = ({ relays, options: own, ...rest }: Packet6) => ({
  ...rest,
  options: plain(own),
  relays: relays.map((one) => [one.hops, hex(one.link), hex(one.peer), plain(one.options)]),
});

test('whatever is written is read back the same, through relays, in its order, repeats included', (t) => {
  fc.assert(
    fc.property(packets, (packet) => {
      t.deepEqual(shown(parsePacket6(serialisePacket6(packet))), shown(packet));
    }),
    { numRuns: 300 },
  );
  t.pass();
});

test('no bytes from the wire make it throw anything but DHCP6_MALFORMED', (t) => {
  const survives = (bytes: Uint8Array) => {
    try {
      readRequest6(parsePacket6(bytes), parseIp6('fe80::1'));
    } catch (error) {
      t.true(error instanceof BootwaveError && error.code === 'DHCP6_MALFORMED', String(error));
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 700 }), survives), { numRuns: 1000 });
  // Most random bytes stop at the first length; these get past it, into what the options hold.
  const known = fc.constantFrom(...Object.values(OPTION6));
  const areas = fc.array(fc.tuple(known, fc.uint8Array({ maxLength: 60 })), { maxLength: 6 });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 14 }), areas, (type, area) => {
      survives(Uint8Array.from([type, 1, 2, 3, ...writeOptions6(area)]));
      survives(Uint8Array.from([12, ...new Uint8Array(33), ...writeOptions6(area)]));
    }),
    { numRuns: 2000 },
  );
  // And what is nearly right: a good packet with one byte changed, or cut off.
  fc.assert(
    fc.property(packets, fc.nat(), fc.integer({ min: 0, max: 255 }), (packet, place, value) => {
      const bytes = serialisePacket6(packet).slice();
      bytes[place % bytes.length] = value;
      survives(bytes);
      survives(bytes.subarray(0, place % bytes.length));
    }),
    { numRuns: 1000 },
  );
  t.pass();
});

test('cut off, too many relays, relays that relay nothing or the wrong way: coded', (t) => {
  const message: Packet6 = { type: MESSAGE6.solicit, xid: 1, options: [], relays: [] };
  const relay = { hops: 0, link: new Uint8Array(16), peer: new Uint8Array(16), options: [] };
  const deep = (count: number) => serialisePacket6({ ...message, relays: Array(count).fill(relay) });
  t.is(parsePacket6(deep(MOST_RELAYS)).relays.length, MOST_RELAYS);
  const wrongWay = deep(1);
  wrongWay[0] = 13;
  const mixed = deep(2);
  mixed[34 + 4] = 13;
  const broken = [
    new Uint8Array(0),
    Uint8Array.of(1, 0, 0),
    Uint8Array.of(1, 0, 0, 1, 0),
    Uint8Array.of(1, 0, 0, 1, 0, 1, 0, 9, 1),
    deep(MOST_RELAYS + 1),
    deep(1).subarray(0, 34),
    deep(1).subarray(0, 20),
    wrongWay,
    mixed,
  ];
  for (const bytes of broken) {
    t.is(
      t.throws(() => parsePacket6(bytes), { instanceOf: BootwaveError })?.code,
      'DHCP6_MALFORMED',
      hex(bytes),
    );
  }
});

test('a datagram of 64 kB is dropped, whatever it is made of', (t) => {
  for (const option of [
    [6, new Uint8Array(0)],
    [1, new Uint8Array(60_000)],
  ] as const) {
    const options = Array(Math.floor(65_000 / (4 + option[1].length))).fill(option);
    const bytes = serialisePacket6({ type: MESSAGE6.solicit, xid: 1, options, relays: [] });
    t.throws(() => parsePacket6(bytes), { code: 'DHCP6_MALFORMED', message: /too many/ });
  }
});

test('an answer goes back through relays as a relay-reply', (t) => {
  const relay = { hops: 0, link: parseIp6('fd00::1'), peer: parseIp6('fe80::2'), options: [] };
  const bytes = serialisePacket6({ type: MESSAGE6.reply, xid: 1, options: [], relays: [relay] });
  t.is(hex(bytes), `0d00fd00${'0'.repeat(26)}01fe80${'0'.repeat(26)}02${'0009000407000001'}`);
});

test('addresses: what is written is read back, as RFC 5952 writes it', (t) => {
  fc.assert(
    fc.property(ips, (ip) => {
      t.deepEqual(parseIp6(formatIp6(ip)), ip);
    }),
    { numRuns: 500 },
  );
  for (const [text, short] of [
    ['::', '::'],
    ['::1', '::1'],
    ['2001:DB8:0:0:0:0:0:0001', '2001:db8::1'],
    ['fe80::1:0:0:2', 'fe80::1:0:0:2'],
    ['::ffff:10.0.0.1', '::ffff:a00:1'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
  ] as const) {
    t.is(formatIp6(parseIp6(text)), short);
  }
  for (const text of ['', '1', '10.0.0.1', '1::2::3', 'fe80::1%eth0', '[::1]', '::1/64', '12345::']) {
    t.throws(() => parseIp6(text), { code: 'DHCP_CONFIG' }, text);
  }
  t.true(isLinkLocal(parseIp6('fe80::1')));
  t.true(isLinkLocal(parseIp6('febf::1')));
  t.false(isLinkLocal(parseIp6('fec0::1')));
});

const associations: fc.Arbitrary<Association> = fc.record(
  {
    iaid: u32,
    t1: u32,
    t2: u32,
    addresses: fc.array(fc.record({ ip: ips, preferred: u32, valid: u32 }), { maxLength: 4 }),
    status: u16,
  },
  { requiredKeys: ['iaid', 't1', 't2', 'addresses'] },
);

test('associations and vendor classes: what is written is read back', (t) => {
  fc.assert(
    fc.property(associations, (one) => {
      t.deepEqual(readAssociation(writeAssociation(one)), one);
    }),
    { numRuns: 300 },
  );
  const classes = fc.record({
    enterprise: u32,
    pieces: fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 4 }),
  });
  fc.assert(
    fc.property(classes, (one) => {
      t.deepEqual(readVendorClass(writeVendorClass(one)), one);
    }),
    { numRuns: 300 },
  );
  // A class that is cut off still says what came before.
  t.deepEqual(readVendorClass(Uint8Array.of(0, 0, 1, 87, 0, 1, 65, 0, 9, 66)), {
    enterprise: 343,
    pieces: [Uint8Array.of(65)],
  });
  t.is(readVendorClass(Uint8Array.of(0, 0, 1)), undefined);
});

test('identifiers: by time and card, by card, by UUID, and all that names no machine', (t) => {
  const mac = [0x52, 0x54, 0, 0, 0, 1];
  const read = (...bytes: number[]) => readDuid(Uint8Array.from(bytes));
  t.deepEqual(read(0, 1, 0, 1, 1, 2, 3, 4, ...mac), { kind: 'mac', mac: '52:54:00:00:00:01' });
  t.deepEqual(read(0, 3, 0, 1, ...mac), { kind: 'mac', mac: '52:54:00:00:00:01' });
  t.is(read(0, 4, ...Array(16).fill(7)).kind, 'uuid');
  for (const other of [
    [],
    [0],
    [0, 2, 0, 0, 0, 9, 1],
    // Infiniband, and a card with eight bytes.
    [0, 3, 0, 32, ...mac],
    [0, 3, 0, 1, ...mac, 0, 0],
    [0, 4, 1, 2],
  ]) {
    t.is(read(...other).kind, 'other');
  }
});
