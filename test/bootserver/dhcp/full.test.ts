import test from 'ava';
import { decideFull } from '../../../bootserver/dhcp/full.ts';
import { parseIp4 } from '../../../formats/dhcp/ip4.ts';
import { OPTION, u32Bytes } from '../../../formats/dhcp/options.ts';
import { arrivalOn, asRequest, ip, message, replied, rig, SERVER, shown, subnet, text } from './messages.ts';

const EVERYONE = '255.255.255.255:68';
const choosing = (requested: string) => ({ requested, serverId: SERVER });

/** The usual four packets. */
function join(server: ReturnType<typeof rig>, n: number): string {
  const offered = replied(server.decide(message('discover', n)));
  const address = [24, 16, 8, 0].map((shift) => (offered.yiaddr >>> shift) & 255).join('.');
  const ack = server.decide(message('request', n, choosing(address)));
  return shown(ack);
}

test('DISCOVER, OFFER, REQUEST, ACK with the network in it', (t) => {
  const server = rig();
  const offer = server.decide(message('discover', 1));
  t.is(shown(offer), `offer 10.0.0.10 -> ${EVERYONE}`);
  const ack = server.decide(message('request', 1, choosing('10.0.0.10')));
  t.is(shown(ack), `ack 10.0.0.10 -> ${EVERYONE}`);
  const packet = replied(ack);
  t.is(ip(packet, OPTION.serverId), SERVER);
  t.is(ip(packet, OPTION.subnetMask), '255.255.255.0');
  t.is(ip(packet, OPTION.router), '10.0.0.254');
  t.is(ip(packet, OPTION.dns), '10.0.0.53');
  t.deepEqual(packet.options.get(OPTION.leaseTime), u32Bytes(600));
  t.deepEqual(packet.options.get(OPTION.renewalTime), u32Bytes(300));
  t.deepEqual(packet.options.get(OPTION.rebindingTime), u32Bytes(525));
  t.is(packet.xid, 0x1001);
  t.is(packet.siaddr, 0);
});

test('two clients never get one address, and only an ACK is durable', (t) => {
  const server = rig();
  const first = server.decide(message('discover', 1));
  t.is(first.kind === 'reply' && first.change?.kind, 'offer');
  t.is(shown(server.decide(message('discover', 2))), `offer 10.0.0.11 -> ${EVERYONE}`);
  const ack = server.decide(message('request', 1, choosing('10.0.0.10')));
  t.is(ack.kind === 'reply' && ack.change?.kind, 'record');
});

test('an exhausted range is a coded silence; expiry frees the address that was unused for longest', (t) => {
  const server = rig();
  for (const n of [1, 2, 3]) {
    join(server, n);
    server.clock.now += 1000;
  }
  t.is(shown(server.decide(message('discover', 4))), 'silent DHCP_POOL_EXHAUSTED');
  server.clock.now += 598_500;
  t.is(shown(server.decide(message('discover', 4))), `offer 10.0.0.10 -> ${EVERYONE}`);
  // The offer alone keeps it from the next one.
  t.is(shown(server.decide(message('discover', 5))), `offer 10.0.0.11 -> ${EVERYONE}`);
});

test('an offer nobody takes is free again after 15 seconds', (t) => {
  const server = rig({ subnets: [subnet({ pools: [{ from: '10.0.0.10', to: '10.0.0.10' }] })] });
  server.decide(message('discover', 1));
  server.clock.now += 14_999;
  t.is(shown(server.decide(message('discover', 2))), 'silent DHCP_POOL_EXHAUSTED');
  server.clock.now += 1;
  t.is(shown(server.decide(message('discover', 2))), `offer 10.0.0.10 -> ${EVERYONE}`);
});

test('sticky: the same address after expiry and after RELEASE, for the one that had it', (t) => {
  const server = rig();
  join(server, 1);
  join(server, 2);
  server.decide(message('release', 2, { ciaddr: '10.0.0.11', serverId: SERVER }));
  server.clock.now += 86_400_000;
  t.is(join(server, 3), `ack 10.0.0.12 -> ${EVERYONE}`);
  t.is(join(server, 2), `ack 10.0.0.11 -> ${EVERYONE}`);
  t.is(join(server, 1), `ack 10.0.0.10 -> ${EVERYONE}`);
});

test('who chose another server loses the offer here, and is not answered', (t) => {
  const server = rig();
  server.decide(message('discover', 1));
  t.is(
    shown(server.decide(message('request', 1, { requested: '10.0.0.10', serverId: '10.0.0.2' }))),
    'change',
  );
  t.is(server.leases.holder(parseIp4('10.0.0.10'), server.clock.now), undefined);
});

test('selecting an address that another one holds, or of another network: NAK, broadcast', (t) => {
  const server = rig();
  join(server, 1);
  t.is(shown(server.decide(message('request', 2, choosing('10.0.0.10')))), `nak -> ${EVERYONE}`);
  t.is(shown(server.decide(message('request', 2, choosing('10.0.9.10')))), `nak -> ${EVERYONE}`);
  t.is(shown(server.decide(message('request', 2, choosing('10.0.0.200')))), `nak -> ${EVERYONE}`);
});

test('selecting after the server forgot its offers (it was restarted): ACK', (t) => {
  t.is(shown(rig().decide(message('request', 1, choosing('10.0.0.11')))), `ack 10.0.0.11 -> ${EVERYONE}`);
});

test('INIT-REBOOT: ACK for its own, NAK for a wrong one, silence without a record (RFC 2131 4.3.2)', (t) => {
  const server = rig();
  join(server, 1);
  t.is(
    shown(server.decide(message('request', 1, { requested: '10.0.0.10' }))),
    `ack 10.0.0.10 -> ${EVERYONE}`,
  );
  t.is(shown(server.decide(message('request', 1, { requested: '10.0.0.12' }))), `nak -> ${EVERYONE}`);
  t.is(shown(server.decide(message('request', 2, { requested: '10.0.0.12' }))), 'silent');
  t.is(shown(server.decide(message('request', 2, { requested: '192.168.1.5' }))), `nak -> ${EVERYONE}`);
});

test('renewal goes to the client itself and lengthens the lease', (t) => {
  const server = rig();
  join(server, 1);
  server.clock.now += 300_000;
  t.is(shown(server.decide(message('request', 1, { ciaddr: '10.0.0.10' }))), 'ack 10.0.0.10 -> 10.0.0.10:68');
  server.clock.now += 599_999;
  t.not(server.leases.holder(parseIp4('10.0.0.10'), server.clock.now), undefined);
  t.is(shown(server.decide(message('request', 2, { ciaddr: '10.0.0.10' }))), `nak -> ${EVERYONE}`);
});

test('RELEASE and DECLINE count only from the holder and only for this server', (t) => {
  const server = rig();
  join(server, 1);
  t.is(shown(server.decide(message('release', 2, { ciaddr: '10.0.0.10', serverId: SERVER }))), 'silent');
  t.is(shown(server.decide(message('release', 1, { ciaddr: '10.0.0.10', serverId: '10.0.0.2' }))), 'silent');
  t.is(shown(server.decide(message('decline', 2, { requested: '10.0.0.10', serverId: SERVER }))), 'silent');
  t.is(shown(server.decide(message('release', 1, { ciaddr: '10.0.0.10', serverId: SERVER }))), 'change');
  t.is(server.leases.holder(parseIp4('10.0.0.10'), server.clock.now), undefined);
});

test('a declined address rests for an hour and the client gets another', (t) => {
  const server = rig();
  join(server, 1);
  const declined = server.decide(message('decline', 1, { requested: '10.0.0.10', serverId: SERVER }));
  t.is(shown(declined), 'change DHCP_ADDRESS_CONFLICT');
  t.is(join(server, 1), `ack 10.0.0.11 -> ${EVERYONE}`);
  join(server, 2);
  t.is(shown(server.decide(message('discover', 3))), 'silent DHCP_POOL_EXHAUSTED');
  server.clock.now += 3_600_000;
  t.is(shown(server.decide(message('request', 3, choosing('10.0.0.10')))), `ack 10.0.0.10 -> ${EVERYONE}`);
});

test('INFORM is answered to its address, with the network and without a lease', (t) => {
  const decision = rig().decide(message('inform', 1, { ciaddr: '10.0.0.77' }));
  t.is(shown(decision), 'ack 0.0.0.0 -> 10.0.0.77:68');
  t.is(replied(decision).options.get(OPTION.leaseTime), undefined);
  t.is(ip(replied(decision), OPTION.router), '10.0.0.254');
});

const subnets = [
  subnet({ router: '10.0.0.254' }),
  subnet({ network: '10.7.0.0', pools: [{ from: '10.7.0.10', to: '10.7.0.20' }], router: '10.7.0.1' }),
];

test('relay: the subnet of giaddr, the answer to giaddr:67, option 82 last and unchanged', (t) => {
  const server = rig({ subnets });
  const circuit = Uint8Array.of(1, 2, 0xab, 0xcd);
  const via = { giaddr: '10.7.0.1', options: [[OPTION.relayAgent, circuit]] as const };
  const offer = server.decide(message('discover', 1, via));
  t.is(shown(offer), 'offer 10.7.0.10 -> 10.7.0.1:67');
  // Its wire is not ours: no ARP reaches it.
  t.like(offer, { probe: { relayed: true } });
  t.deepEqual(replied(offer).options.get(OPTION.relayAgent), circuit);
  t.is([...replied(offer).options.keys()].at(-1), OPTION.relayAgent);
  t.is(ip(replied(offer), OPTION.router), '10.7.0.1');
  const ack = server.decide(message('request', 1, { ...via, ...choosing('10.7.0.10') }));
  t.is(shown(ack), 'ack 10.7.0.10 -> 10.7.0.1:67');
  // It renews by unicast, without the relay.
  t.is(shown(server.decide(message('request', 1, { ciaddr: '10.7.0.10' }))), 'ack 10.7.0.10 -> 10.7.0.10:68');
  const nak = server.decide(message('request', 1, { ...via, ...choosing('10.0.0.10') }));
  t.is(shown(nak), 'nak -> 10.7.0.1:67');
  t.is(replied(nak).flags, 0x8000);
  t.is(shown(server.decide(message('discover', 2, { giaddr: '172.16.0.1' }))), 'silent DHCP_RELAY_UNKNOWN');
});

test('relay: link selection in option 82 names the subnet (RFC 3527)', (t) => {
  const link = Uint8Array.of(5, 4, 10, 7, 0, 0);
  const via = { giaddr: '192.0.2.1', options: [[OPTION.relayAgent, link]] as const };
  t.is(shown(rig({ subnets }).decide(message('discover', 1, via))), 'offer 10.7.0.10 -> 192.0.2.1:67');
});

test('client identifiers tell clients on one card apart; 01 + MAC is the card itself', (t) => {
  const server = rig();
  const as = (id: number[]) => ({ options: [[OPTION.clientId, Uint8Array.from(id)]] as const });
  t.is(shown(server.decide(message('discover', 1))), `offer 10.0.0.10 -> ${EVERYONE}`);
  const same = server.decide(message('discover', 1, as([1, 0x52, 0x54, 0, 0, 0, 1])));
  t.is(shown(same), `offer 10.0.0.10 -> ${EVERYONE}`);
  // RFC 6842: echoed.
  t.deepEqual(replied(same).options.get(OPTION.clientId), Uint8Array.of(1, 0x52, 0x54, 0, 0, 0, 1));
  t.is(shown(server.decide(message('discover', 1, as([255, 9, 9])))), `offer 10.0.0.11 -> ${EVERYONE}`);
});

test('boards with equal UUIDs get different addresses: firmware goes by MAC address', (t) => {
  const server = rig();
  const twin = {
    vendorClass: 'PXEClient:Arch:00007',
    options: [[OPTION.clientId, new Uint8Array(17)]] as const,
  };
  t.is(shown(server.decide(message('discover', 1, twin))), `offer 10.0.0.10 -> ${EVERYONE}`);
  t.is(shown(server.decide(message('discover', 2, twin))), `offer 10.0.0.11 -> ${EVERYONE}`);
});

test('firmware leases last an hour at most, a client may ask for less but not for less than two minutes', (t) => {
  const server = rig({ settings: { leaseSeconds: 40_000 } });
  const asked = (seconds: number) => [[OPTION.leaseTime, u32Bytes(seconds)]] as const;
  const time = (n: number, parts: Parameters<typeof message>[2]) =>
    replied(server.decide(message('discover', n, parts))).options.get(OPTION.leaseTime);
  t.deepEqual(time(1, {}), u32Bytes(40_000));
  t.deepEqual(time(1, { vendorClass: 'PXEClient' }), u32Bytes(3600));
  t.deepEqual(time(1, { options: asked(500) }), u32Bytes(500));
  t.deepEqual(time(1, { options: asked(1) }), u32Bytes(120));
  t.deepEqual(time(1, { options: asked(0xffffffff) }), u32Bytes(40_000));
});

test('a reservation is kept for its machine, whatever client identifier it sends', (t) => {
  const server = rig({ hosts: [{ mac: '52:54:00:00:00:09', address: '10.0.0.10' }] });
  t.is(join(server, 1), `ack 10.0.0.11 -> ${EVERYONE}`);
  t.is(shown(server.decide(message('request', 1, choosing('10.0.0.10')))), `nak -> ${EVERYONE}`);
  const duid = { options: [[OPTION.clientId, Uint8Array.of(255, 1, 2)]] as const };
  t.is(shown(server.decide(message('discover', 9, duid))), `offer 10.0.0.10 -> ${EVERYONE}`);
  t.is(join(server, 9), `ack 10.0.0.10 -> ${EVERYONE}`);
});

test("the server's and the router's own addresses are never given out", (t) => {
  const server = rig({
    serverIp: '10.0.0.10',
    subnets: [subnet({ pools: [{ from: '10.0.0.9', to: '10.0.0.11' }], router: '10.0.0.9' })],
  });
  t.is(shown(server.decide(message('discover', 1))), `offer 10.0.0.11 -> ${EVERYONE}`);
  t.is(shown(server.decide(message('discover', 2))), 'silent DHCP_POOL_EXHAUSTED');
});

test('an INFORM with an address that no client here can have is not answered: the answer would go there', (t) => {
  for (const ciaddr of ['0.0.0.0', '192.0.2.1', '224.0.0.1', '255.255.255.255'])
    t.is(shown(rig().decide(message('inform', 1, { ciaddr }))), 'silent', ciaddr);
});

test('the agent learns its boot server from OFFER, ACK and INFORM; others do not', (t) => {
  const server = rig();
  const url = Uint8Array.of(1, 20, ...Buffer.from('https://10.0.0.1:443'));
  const agent = { vendorClass: 'bootwave' };
  for (const packet of [
    replied(server.decide(message('discover', 1, agent))),
    replied(server.decide(message('request', 1, { ...agent, ...choosing('10.0.0.10') }))),
  ]) {
    t.deepEqual(packet.options.get(OPTION.vendorSpecific), url);
    t.is(text(packet, OPTION.vendorClass), 'bootwave');
  }
  const inform = decideFull({
    ...server,
    request: asRequest(message('inform', 1, { ...agent, ciaddr: '10.0.0.10' })),
    arrival: arrivalOn(67, '10.0.0.10', 45678),
    boot: undefined,
    now: server.clock.now,
  });
  t.is(shown(inform), 'ack 0.0.0.0 -> 10.0.0.10:45678');
  t.deepEqual(replied(inform).options.get(OPTION.vendorSpecific), url);
  const other = replied(server.decide(message('discover', 2, { vendorClass: 'bootwave2' })));
  t.is(other.options.get(OPTION.vendorSpecific), undefined);
});
