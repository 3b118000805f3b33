/** One client is one client, in whatever way each of its messages names it. */
import test from 'ava';
import { OPTION } from '../../../formats/dhcp/options.ts';
import { message, rig, SERVER, shown } from './messages.ts';

const EVERYONE = '255.255.255.255:68';
/** The SMBIOS UUID, as firmware puts it into option 61. */
const uuid = [[OPTION.clientId, new Uint8Array(17).fill(7)]] as const;
const rom = { vendorClass: 'PXEClient:Arch:00007:UNDI:003016', options: uuid };
/** DECLINE and RELEASE carry no option 60 (RFC 2131 table 5, and so does EDK2). */
const bare = { options: uuid };

function boundRom(hosts: Parameters<typeof rig>[0] = {}, address = '10.0.0.10') {
  const server = rig(hosts);
  t0(shown(server.decide(message('discover', 1, rom))) === `offer ${address} -> ${EVERYONE}`);
  server.decide(message('request', 1, { ...rom, requested: address, serverId: SERVER }));
  return server;
}

function t0(fine: boolean): void {
  if (!fine) throw new Error('the machine was not bound');
}

test('a DECLINE of firmware with option 61 and without 60 counts: the address is not offered again', (t) => {
  const server = boundRom();
  const declined = server.decide(
    message('decline', 1, { ...bare, requested: '10.0.0.10', serverId: SERVER }),
  );
  t.is(shown(declined), 'change DHCP_ADDRESS_CONFLICT');
  t.is(shown(server.decide(message('discover', 1, rom))), `offer 10.0.0.11 -> ${EVERYONE}`);
});

test('its RELEASE counts, and so do a renewal and a REQUEST without option 60', (t) => {
  const server = boundRom();
  const renewal = message('request', 1, { ...bare, ciaddr: '10.0.0.10' });
  t.is(shown(server.decide(renewal)), 'ack 10.0.0.10 -> 10.0.0.10:68');
  t.is(
    shown(server.decide(message('release', 1, { ...bare, ciaddr: '10.0.0.10', serverId: SERVER }))),
    'change',
  );
  server.decide(message('discover', 1, rom));
  const taken = message('request', 1, { ...bare, requested: '10.0.0.10', serverId: SERVER });
  t.is(shown(server.decide(taken)), `ack 10.0.0.10 -> ${EVERYONE}`);
});

test("another card's DECLINE, RELEASE or renewal of that address does not count, with the same option 61", (t) => {
  const server = boundRom();
  t.is(
    shown(server.decide(message('decline', 2, { ...bare, requested: '10.0.0.10', serverId: SERVER }))),
    'silent',
  );
  t.is(
    shown(server.decide(message('release', 2, { ...bare, ciaddr: '10.0.0.10', serverId: SERVER }))),
    'silent',
  );
  t.is(shown(server.decide(message('request', 2, { ...bare, ciaddr: '10.0.0.10' }))), `nak -> ${EVERYONE}`);
});

test('a reserved address that is declined: its own log line, and the machine boots with one of the range', (t) => {
  const mac = '52:54:00:00:00:01';
  const server = boundRom({ hosts: [{ mac, address: '10.0.0.40' }] }, '10.0.0.40');
  const declined = server.decide(
    message('decline', 1, { ...bare, requested: '10.0.0.40', serverId: SERVER }),
  );
  t.is(shown(declined), 'change DHCP_RESERVATION_CONFLICT');
  const offer = server.decide(message('discover', 1, rom));
  t.is(shown(offer), `offer 10.0.0.10 -> ${EVERYONE}`);
  t.regex(
    offer.kind === 'reply' ? (offer.note?.why ?? '') : '',
    /^10\.0\.0\.40, reserved for 52:54:00:00:00:01, is used/,
  );
  const taken = message('request', 1, { ...rom, requested: '10.0.0.10', serverId: SERVER });
  t.is(shown(server.decide(taken)), `ack 10.0.0.10 -> ${EVERYONE}`);
  t.is(
    shown(server.decide(message('request', 1, { ...rom, ciaddr: '10.0.0.10' }))),
    'ack 10.0.0.10 -> 10.0.0.10:68',
  );
  // After the rest it gets its own again: NAK brings it back to DISCOVER.
  server.clock.now += 3_600_000;
  t.is(shown(server.decide(message('request', 1, { ...rom, ciaddr: '10.0.0.10' }))), `nak -> ${EVERYONE}`);
  t.is(shown(server.decide(message('discover', 1, rom))), `offer 10.0.0.40 -> ${EVERYONE}`);
});

test('a reserved address that another machine still leases: the same, until that lease ends', (t) => {
  const server = rig();
  server.decide(message('discover', 2));
  server.decide(message('request', 2, { requested: '10.0.0.10', serverId: SERVER }));
  const decide = server.reconfigured({ hosts: [{ mac: '52:54:00:00:00:01', address: '10.0.0.10' }] });
  const offer = decide(message('discover', 1));
  t.is(shown(offer), `offer 10.0.0.11 -> ${EVERYONE}`);
  t.regex(offer.kind === 'reply' ? (offer.note?.why ?? '') : '', /is still leased to another machine/);
  server.clock.now += 600_000;
  t.is(shown(decide(message('discover', 1))), `offer 10.0.0.10 -> ${EVERYONE}`);
});

test('only what nobody knows is probed: not what the client has, not what is confirmed', (t) => {
  const server = rig();
  const probe = (decision: ReturnType<typeof server.decide>) => decision.kind === 'reply' && decision.probe;
  t.like(probe(server.decide(message('discover', 1))), { relayed: false });
  t.falsy(probe(server.decide(message('request', 1, { requested: '10.0.0.10', serverId: SERVER }))));
  t.falsy(probe(server.decide(message('discover', 1))));
  server.clock.now += 600_000;
  t.like(probe(server.decide(message('discover', 1))), { relayed: false }, 'its lease has ended');
});

test("two systems on one card, each with an identifier of its own, cannot take each other's address", (t) => {
  const server = rig();
  const as = (id: number) => ({ options: [[OPTION.clientId, Uint8Array.of(255, id)]] as const });
  server.decide(message('discover', 1, as(1)));
  server.decide(message('request', 1, { ...as(1), requested: '10.0.0.10', serverId: SERVER }));
  for (const parts of [{ requested: '10.0.0.10', serverId: SERVER }, { ciaddr: '10.0.0.10' }]) {
    t.is(shown(server.decide(message('request', 1, { ...as(2), ...parts }))), `nak -> ${EVERYONE}`);
  }
  t.is(shown(server.decide(message('request', 1, { ...as(2), requested: '10.0.0.10' }))), 'silent');
  t.is(
    shown(server.decide(message('decline', 1, { ...as(2), requested: '10.0.0.10', serverId: SERVER }))),
    'silent',
  );
});
