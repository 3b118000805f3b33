import test from 'ava';
import fc from 'fast-check';
import { linkLocal } from '../../../bootserver/boot/ipxe-ipv6.ts';
import type { QUIRKS } from '../../../bootserver/boot/quirks.ts';
import { FIRMWARE_ADDRESS } from '../../../bootserver/dhcp6/config.ts';
import type { Decision6 } from '../../../bootserver/dhcp6/decide.ts';
import { addressOf, isWithin, prefixOf } from '../../../bootserver/dhcp6/prefix.ts';
import { macOfLinkLocal } from '../../../bootserver/dhcp6/request.ts';
import { readAssociation, writeAssociation } from '../../../formats/dhcp6/identity.ts';
import { formatIp6, parseIp6, sameBytes } from '../../../formats/dhcp6/ip6.ts';
import { OPTION6, option6, readVendorClass } from '../../../formats/dhcp6/options.ts';
import { MESSAGE6, type Packet6, parsePacket6, serialisePacket6 } from '../../../formats/dhcp6/packet.ts';
import {
  addressIn,
  asRequest6,
  CAPTURES6,
  MACHINE,
  message6,
  type Parts6,
  PREFIX,
  relay,
  replied6,
  rig6,
  SERVER6,
  shown6,
} from './messages.ts';

const UKI = 'http://[fd00:77::1]:7080/m/52-54-00-00-00-01/bootwave_1.2.3.efi';
const OURS = formatIp6(addressOf(prefixOf(PREFIX)!, '52:54:00:00:00:01'));

test('real firmware: told apart, known by the MAC address of its card, answered by its row of the quirk table', (t) => {
  t.deepEqual([...CAPTURES6.keys()].sort(), ['edk2-http6-request', 'edk2-http6-solicit']);
  for (const packet of CAPTURES6.values()) {
    const { mac, boot, associations } = asRequest6(packet);
    t.is(mac, '52:54:00:00:00:01');
    t.is(boot?.client.firmware.name, 'uefi-x64-http');
    t.is(boot?.client.firmware.way, 'uefi-http' satisfies keyof typeof QUIRKS);
    t.is(boot?.client.uuid, '11223344-5566-7788-99aa-bbccddeeff00');
    t.is(associations.length, 1);
  }
  const solicit = CAPTURES6.get('edk2-http6-solicit')!;
  t.is(shown6(rig6().decide(solicit)), `advertise ${OURS} ${UKI}`);
  t.is(shown6(rig6({ prefixes: [] }).decide(solicit)), `advertise ${UKI}`, 'beside another DHCPv6 server');
});

test('the four messages: an address for an hour at once, the URL with a vendor class behind it', (t) => {
  const { decide, config } = rig6();
  const offer = replied6(decide(message6()));
  const codes = offer.options.map(([code]) => code);
  t.deepEqual(codes, [
    OPTION6.clientId,
    OPTION6.serverId,
    OPTION6.bootFileUrl,
    OPTION6.vendorClass,
    OPTION6.iaNa,
    OPTION6.preference,
  ]);
  t.deepEqual(option6(offer.options, OPTION6.preference), Uint8Array.of(255));
  t.is(offer.xid, 0x123456);
  const serverId = option6(offer.options, OPTION6.serverId)!;
  t.true(sameBytes(serverId, config.duid));
  const reply = replied6(decide(message6({ type: 'request', serverId })));
  t.is(reply.type, MESSAGE6.reply);
  t.is(option6(reply.options, OPTION6.preference), undefined);
  const given = readAssociation(option6(reply.options, OPTION6.iaNa)!);
  t.is(given.iaid, 9);
  t.deepEqual([given.t1, given.t2], [FIRMWARE_ADDRESS.renew, FIRMWARE_ADDRESS.rebind]);
  t.deepEqual(given.addresses, [{ ip: parseIp6(OURS), preferred: 3600, valid: 3600 }]);
  const { enterprise, pieces } = readVendorClass(option6(reply.options, OPTION6.vendorClass)!)!;
  t.is(enterprise, 343, 'as the client said');
  t.is(Buffer.from(pieces[0]!).toString(), 'HTTPClient');
});

test('EDK2 reads a URL up to the next zero byte: what follows it begins with one', (t) => {
  for (const prefixes of [[PREFIX], []]) {
    for (const type of ['solicit', 'information'] as const) {
      const packet = replied6(
        rig6({ prefixes }).decide(message6({ type, associations: type === 'solicit' ? [{}] : [] })),
      );
      const bytes = Buffer.from(serialisePacket6(packet));
      t.is(bytes[bytes.indexOf(UKI) + UKI.length], 0);
    }
  }
});

test('stateless: an Information-request gets the URL and no address', (t) => {
  t.is(shown6(rig6().decide(message6({ type: 'information', associations: [] }))), `reply ${UKI}`);
});

test('the address is always the same, of the prefix, another one for each machine and each link', (t) => {
  const prefix = prefixOf(PREFIX)!;
  const macs = fc
    .uint8Array({ minLength: 6, maxLength: 6 })
    .map((bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':'));
  const seen = new Map<string, string>();
  fc.assert(
    fc.property(macs, (mac) => {
      const ip = addressOf(prefix, mac);
      t.deepEqual(ip, addressOf(prefix, mac));
      t.true(isWithin(prefix, ip));
      // RFC 5453: what begins like this is kept for something else, and so is what people write by hand.
      t.false([0x00, 0x02, 0xfd].includes(ip[8]!));
      t.is(seen.get(formatIp6(ip)) ?? mac, mac);
      seen.set(formatIp6(ip), mac);
    }),
    { numRuns: 500 },
  );
  t.notDeepEqual(addressOf(prefixOf('fd00:78::/64')!, 'x').slice(8), addressOf(prefix, 'x').slice(8));
});

test('a boot server that was started anew is the same server, and one with another address is not', (t) => {
  t.deepEqual(rig6().config.duid, rig6().config.duid);
  t.notDeepEqual(rig6({ serverIp: 'fd00:77::2' }).config.duid, rig6().config.duid);
});

const foreign = Uint8Array.of(0, 3, 0, 1, 1, 2, 3, 4, 5, 6);
const serverId = rig6().config.duid;
const held = [{ addresses: [{ ip: parseIp6(OURS), preferred: 1, valid: 1 }] }];
const other = [{ addresses: [{ ip: parseIp6('fd00:77::99'), preferred: 1, valid: 1 }] }];

const table: [string, Parts6, string][] = [
  ['a request for another server', { type: 'request', serverId: foreign }, 'silent'],
  ['a request for nobody', { type: 'request' }, 'silent'],
  ['a solicit for one server', { serverId }, 'silent'],
  ['nobody to answer', { clientId: null }, 'silent'],
  ['an operating system', { vendorClass: null }, 'silent'],
  ['PXE', { vendorClass: 'PXEClient:Arch:00007:UNDI:003000', architecture: [0, 7] }, 'silent'],
  ['renewed here', { type: 'renew', serverId, associations: held }, `reply ${OURS} ${UKI}`],
  ['renewed by anybody', { type: 'rebind', associations: held }, `reply ${OURS} ${UKI}`],
  ['renewed by anybody, what another server gave', { type: 'rebind', associations: other }, 'silent'],
  ['an information request', { type: 'information', associations: [] }, `reply ${UKI}`],
  ['one for another server', { type: 'information', serverId: foreign, associations: [] }, 'silent'],
  ['given back', { type: 'release', serverId, associations: held, vendorClass: null }, 'reply'],
  ['given back elsewhere', { type: 'release', serverId: foreign, associations: held }, 'silent'],
  [
    'an architecture without an image',
    { vendorClass: 'HTTPClient', architecture: [0, 19] },
    `advertise ${OURS}`,
  ],
  ['the architecture in the class alone', { architecture: null }, `advertise ${OURS} ${UKI}`],
];
for (const [what, parts, answer] of table) {
  test(`${what}: ${answer.split(' ')[0]}`, (t) => {
    t.is(shown6(rig6().decide(message6(parts))), answer);
  });
}

test('beside another DHCPv6 server: the URL and nothing else, and no word about its addresses', (t) => {
  const { decide } = rig6({ prefixes: [] });
  const offer = replied6(decide(message6()));
  t.is(option6(offer.options, OPTION6.iaNa), undefined);
  t.is(option6(offer.options, OPTION6.preference), undefined, 'firmware must wait for the other one');
  t.is(shown6(decide(message6({ type: 'rebind', associations: held }))), 'silent');
  t.is(shown6(decide(message6({ type: 'request', serverId }))), 'silent');
  t.is(shown6(decide(message6({ type: 'request', serverId: foreign }))), 'silent');
});

test('what the fleet wants: to its disk with a URL that is not there, refused with an address alone', (t) => {
  const disk = { kind: 'disk', reason: 'installed' } as const;
  const refuse = { kind: 'refuse', reason: 'not expected' } as const;
  const nothing = 'http://[fd00:77::1]:7080/m/52-54-00-00-00-01/boot-from-disk';
  t.is(shown6(rig6({}, disk).decide(message6())), `advertise ${OURS} ${nothing}`);
  t.is(shown6(rig6({ prefixes: [] }, disk).decide(message6())), `advertise ${nothing}`);
  t.is(shown6(rig6({}, refuse).decide(message6())), `advertise ${OURS}`);
  t.is(shown6(rig6({ prefixes: [] }, refuse).decide(message6())), 'silent');
});

test('an address that another machine has is said, with the likely reason', (t) => {
  const decision = rig6().decide(
    message6({ type: 'decline', serverId, associations: held, vendorClass: null }),
  );
  t.is(decision.kind === 'reply' ? decision.note?.code : '', 'DHCP6_ADDRESS_CONFLICT');
});

test('one machine gets one address, whatever it asks for', (t) => {
  const packet = replied6(rig6().decide(message6({ associations: [{ iaid: 1 }, { iaid: 2 }] })));
  const all = packet.options
    .filter(([code]) => code === OPTION6.iaNa)
    .map(([, value]) => readAssociation(value));
  t.deepEqual(
    all.map(({ iaid, addresses, status }) => [iaid, addresses.length, status]),
    [
      [1, 1, undefined],
      [2, 0, 2],
    ],
  );
});

test('the MAC address: of the relay that saw it, of the link-local address, of the identifier; else it is said', (t) => {
  const llt = [0, 1, 0, 1, 0, 0, 0, 0, 0x52, 0x54, 0, 0, 0, 9];
  const macOf = (parts: Parts6, from?: string) => asRequest6(message6(parts), from).mac;
  t.is(
    macOf({ clientId: llt }),
    '52:54:00:00:00:01',
    'the card that asks, not the one that the identifier is of',
  );
  t.is(macOf({ clientId: llt }, 'fe80::1:2:3:4'), '52:54:00:00:00:09');
  t.is(macOf({}, 'fe80::1:2:3:4'), undefined);
  // A relay's own address is not the client's.
  const through = (...relays: Parameters<typeof relay>[]) =>
    macOf({ relays: relays.map((one) => relay(...one)) }, 'fe80::5054:ff:fe00:99');
  t.is(through(['fd00:78::1', MACHINE]), '52:54:00:00:00:01');
  t.is(through(['::', 'fe80::5054:ff:fe00:88'], ['fd00:78::1', MACHINE]), '52:54:00:00:00:01');
  const seen = [[OPTION6.clientLinkLayer, Uint8Array.of(0, 1, 0x52, 0x54, 0, 0, 0, 7)]] as const;
  t.is(through(['fd00:78::1', 'fe80::1:2:3:4', seen]), '52:54:00:00:00:07');
  t.is(shown6(rig6().decide(message6(), 'fe80::1:2:3:4')), 'DHCP6_MAC_UNKNOWN');
});

test('who is not on this wire is heard through a relay alone', (t) => {
  t.throws(() => asRequest6(message6(), 'fd00:99::1'), { message: 'not a request' });
  t.notThrows(() => asRequest6(message6({ relays: [relay('fd00:99::1', MACHINE)] }), 'fd00:99::1'));
});

test('link-local addresses and MAC addresses are made of each other', (t) => {
  const macs = fc.uint8Array({ minLength: 6, maxLength: 6 }).map((bytes) => {
    bytes[0]! &= 0xfe;
    bytes[5]! |= 1;
    return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
  });
  fc.assert(
    fc.property(macs, (mac) => {
      t.is(macOfLinkLocal(parseIp6(linkLocal(mac))), mac);
    }),
  );
  for (const ip of ['fe80::1', 'fd00::5054:ff:fe00:1', 'fe80::ff:fe00:0', 'fe80::300:ff:fe00:1']) {
    t.is(macOfLinkLocal(parseIp6(ip)), ip === 'fe80::ff:fe00:0' ? '02:00:00:00:00:00' : undefined, ip);
  }
});

test('behind a relay: an address of the link that it names, and the answer goes back as it came', (t) => {
  const { decide } = rig6({ prefixes: [PREFIX, 'fd00:78::/64'] });
  const port = [[OPTION6.interfaceId, Uint8Array.of(7)]] as const;
  const relays = [relay('::', 'fe80::99'), relay('fd00:78::1', MACHINE, [...port, [77, Uint8Array.of(1)]])];
  const offer = replied6(decide(message6({ relays }), 'fd00:77::fe'));
  t.is(addressIn(offer), formatIp6(addressOf(prefixOf('fd00:78::/64')!, '52:54:00:00:00:01')));
  t.deepEqual(
    offer.relays.map(({ link, peer, options }) => [formatIp6(link), formatIp6(peer), options.length]),
    [
      ['::', 'fe80::99', 0],
      ['fd00:78::1', MACHINE, 1],
    ],
  );
  t.deepEqual(offer.relays[1]?.options, port);
  const twice = [relay('fd00:77::1', 'fd00:78::1'), relay('fd00:78::1', MACHINE)];
  t.regex(
    addressIn(replied6(decide(message6({ relays: twice }), 'fd00:77::fe')))!,
    /^fd00:78::/,
    'the nearest',
  );
  // A relay that names no link (RFC 6221) is on ours; a link without a prefix has another server.
  t.is(shown6(decide(message6({ relays: [relay('::', MACHINE)] }))), `advertise ${OURS} ${UKI}`);
  t.is(shown6(decide(message6({ relays: [relay('fd00:99::1', MACHINE)] }))), `advertise ${UKI}`);
});

test("an address that is not the machine's own, declined by anybody, is no conflict: no line", (t) => {
  for (const parts of [
    { associations: other },
    { associations: [{}] },
    { associations: held, relays: [relay('fd00:99::1', MACHINE)] },
  ]) {
    const decision = rig6().decide(message6({ type: 'decline', serverId, ...parts }));
    t.is(shown6(decision), 'reply');
    t.is(decision.kind === 'reply' ? decision.note : 'none', undefined);
  }
});

test('identifiers longer or shorter than they may be: dropped, never sent back', (t) => {
  const of = (length: number) => message6({ clientId: Array(length).fill(0) });
  for (const length of [3, 130]) t.is(shown6(rig6().decide(of(length))), `advertise ${OURS} ${UKI}`);
  for (const length of [0, 2, 131, 3000])
    t.throws(() => rig6().decide(of(length)), { code: 'DHCP6_MALFORMED' }, String(length));
});

test('whatever a stranger puts together: an answer is one to him, not much longer than his question, or there is none', (t) => {
  const ips = fc.constantFrom(MACHINE, OURS, '::', SERVER6, 'fd00:99::1', 'fe80::1', 'ff02::1').map(parseIp6);
  const bytes = fc.uint8Array({ maxLength: 40 });
  const option = fc.oneof(
    fc.tuple(
      fc.constantFrom(
        ...Object.values(OPTION6).filter(
          (code) => ![OPTION6.relayMessage, OPTION6.iaNa].includes(code as never),
        ),
      ),
      bytes,
    ),
    fc
      .record({
        iaid: fc.nat(),
        t1: fc.nat(),
        t2: fc.nat(),
        addresses: fc.array(fc.record({ ip: ips, preferred: fc.nat(), valid: fc.nat() }), { maxLength: 3 }),
      })
      .map((one) => [OPTION6.iaNa, writeAssociation(one)] as const),
  );
  const packets = fc.record({
    type: fc.constantFrom(...(Object.keys(MESSAGE6) as (keyof typeof MESSAGE6)[])),
    serverId: fc.constantFrom(undefined, serverId, foreign),
    vendorClass: fc.constantFrom(undefined, null, 'HTTPClient', 'PXEClient:Arch:00007'),
    more: fc.array(option, { maxLength: 60 }),
    relays: fc.array(
      fc.record({
        hops: fc.nat(255),
        link: ips,
        peer: ips,
        options: fc.array(
          fc.tuple(fc.constantFrom(OPTION6.interfaceId, OPTION6.clientLinkLayer, 77), bytes),
          { maxLength: 3 },
        ),
      }),
      { maxLength: 8 },
    ),
  });
  const { decide, config } = rig6();
  let answers = 0;
  fc.assert(
    fc.property(
      packets,
      fc.oneof({ arbitrary: fc.constant(parseIp6(MACHINE)), weight: 4 }, ips),
      ({ serverId: named, vendorClass, ...parts }, from) => {
        const packet = message6({
          ...parts,
          ...(named && { serverId: named }),
          ...(vendorClass !== undefined && { vendorClass }),
        });
        const question = serialisePacket6(packet);
        let decision: Decision6;
        try {
          decision = decide(question, formatIp6(from));
        } catch (error) {
          const { code, message } = error as Error & { code?: string };
          t.true(code === 'DHCP6_MALFORMED' || message === 'not a request', String(error));
          return;
        }
        if (decision.kind === 'silent') return;
        answers += 1;
        const answer = serialisePacket6(decision.reply);
        const back = parsePacket6(answer);
        t.is(back.type, parts.type === 'solicit' ? MESSAGE6.advertise : MESSAGE6.reply);
        t.is(back.xid, packet.xid);
        t.deepEqual(option6(back.options, OPTION6.clientId), option6(packet.options, OPTION6.clientId));
        t.deepEqual(option6(back.options, OPTION6.serverId), config.duid);
        t.true(named === undefined || named === serverId);
        const way = (one: Packet6) => one.relays.map(({ hops, link, peer }) => [hops, link, peer]);
        t.deepEqual(way(back), way(packet));
        t.true(answer.length < 1.5 * question.length + 300, `${answer.length} bytes for ${question.length}`);
      },
    ),
    { numRuns: 1000 },
  );
  t.true(answers > 50, `${answers} of 1000 were answered: the rule must have been tried`);
});

test('no bytes make a decision throw', (t) => {
  const { decide } = rig6();
  const base = serialisePacket6(message6());
  fc.assert(
    fc.property(fc.nat(base.length - 1), fc.integer({ min: 0, max: 255 }), (at, value) => {
      const bytes = base.slice();
      bytes[at] = value;
      try {
        const packet = parsePacket6(bytes);
        if (packet.type < 1 || packet.type > 11) return;
        decide(bytes);
      } catch (error) {
        const { code, message } = error as Error & { code?: string };
        t.true(code === 'DHCP6_MALFORMED' || message === 'not a request', message);
      }
    }),
    { numRuns: 2000 },
  );
  t.pass();
});

test('prefixes: a /64 that machines can have addresses of', (t) => {
  t.deepEqual(prefixOf('fd00:77::/64'), Uint8Array.of(0xfd, 0, 0, 0x77, 0, 0, 0, 0));
  for (const text of [
    'fd00:77::',
    'fd00:77::1/64',
    'fd00::/48',
    'fe80::/64',
    'ff02::/64',
    '::/64',
    '10.0.0.0/24',
    '',
  ]) {
    t.is(prefixOf(text), undefined, text);
    t.throws(() => rig6({ prefixes: [text] }), { code: 'DHCP_CONFIG' });
  }
  t.throws(() => rig6({ prefixes: [PREFIX, 'fd00:0077:0::/64'] }), { code: 'DHCP_CONFIG', message: /twice/ });
});
