/** DHCPv6 on a real wire: two namespaces, the real sockets, and what firmware sent. */
import test, { type ExecutionContext } from 'ava';
import { mustRun } from '../../../base/run.ts';
import { dhcp6Config } from '../../../bootserver/dhcp6/config.ts';
import { addressOf, prefixOf } from '../../../bootserver/dhcp6/prefix.ts';
import { formatIp6 } from '../../../formats/dhcp6/ip6.ts';
import { Inside, type TwoWires, twoWires } from '../sockets-netns.ts';
import type { ServerOrders } from '../sockets-server.ts';
import { card6, GROUP, Machine6 } from './machine.ts';
import { addressIn, CAPTURES6, MACHINE, message6, relay, urlIn } from './messages.ts';

const SERVER = 'fd00:91::1';
const PREFIX = 'fd00:91::/64';
const UKI = `http://[${SERVER}]:80/m/52-54-00-00-00-01/bootwave_1.0.efi`;
const OURS = formatIp6(addressOf(prefixOf(PREFIX)!, '52:54:00:00:00:01'));

/** The server, and a machine whose card is 52:54:00:00:00:01 on its wire; neither waits until its address is its own. */
async function serve(t: ExecutionContext, more: Partial<ServerOrders> = {}, prefixes = [PREFIX]) {
  const wires = await twoWires(t);
  await mustRun('ip', ['-n', wires.server, 'addr', 'add', `${SERVER}/64`, 'dev', 'boot0', 'nodad']);
  await card6(wires.inside);
  const orders: ServerOrders = {
    sockets: { interface: 'boot0', httpPort: 80, httpsPort: 443, ipv6: { prefixes } },
    leases: '/nonexistent',
    ...more,
  };
  const server = new Inside(t, wires.server, './sockets-server.ts', [JSON.stringify(orders)]);
  t.like(await server.next(), { ready: '10.91.0.1', tcp: 3 });
  return { wires, server };
}

async function nextEvent(server: Inside): Promise<object> {
  for (;;) {
    const line = (await server.next()) as { event?: string };
    if (line.event !== undefined) return line;
  }
}

test('real firmware, replayed: an address, the URL and an event; rubbish before it kills nothing', async (t) => {
  const { wires, server } = await serve(t);
  const machine = new Machine6(t, wires.inside);
  const solicit = CAPTURES6.get('edk2-http6-solicit')!;
  for (const bytes of [
    new Uint8Array(1),
    new Uint8Array(600),
    Uint8Array.from({ length: 1400 }, (_, n) => n),
    solicit.subarray(0, 60),
  ]) {
    await machine.shout(bytes);
  }
  const offer = await machine.ask(solicit);
  t.is(addressIn(offer), OURS);
  t.is(urlIn(offer), UKI);
  const event = { event: 'dhcp-offered', mac: '52:54:00:00:00:01', arch: 'uefi-x64-http', detail: UKI };
  t.deepEqual(await nextEvent(server), event);
  const { duid: serverId } = dhcp6Config({ serverIp: SERVER, httpPort: 80, prefixes: [] });
  t.is(addressIn(await machine.ask(message6({ type: 'request', serverId }))), OURS);
  // Its own request names the server of the lab in which it was recorded.
  await machine.shout(CAPTURES6.get('edk2-http6-request')!);
  await machine.shout(message6({ vendorClass: null }));
  t.is(urlIn(await machine.ask(message6({ type: 'information' }))), UKI, 'neither of the two was answered');
});

test('through a relay: the answer goes to the port of relays, with what the relay wrote', async (t) => {
  const { wires } = await serve(t, {}, [PREFIX, 'fd00:78::/64']);
  const machine = new Machine6(t, wires.inside);
  const relays = [relay('fd00:78::1', MACHINE)];
  for (const to of [GROUP, 'ff05::1:3%eth0']) {
    const offer = await machine.ask(message6({ relays }), 547, to);
    t.is(offer.relays.length, 1);
    t.regex(addressIn(offer)!, /^fd00:78::/);
  }
});

test('one machine whose fate is undecided does not keep the others waiting', async (t) => {
  const { wires } = await serve(t, { undecided: ['52:54:00:00:00:09'] });
  const machine = new Machine6(t, wires.inside);
  const other = relay('fd00:91::9', 'fe80::5054:ff:fe00:9');
  for (let n = 0; n < 20; n++) await machine.shout(message6({ relays: [other] }));
  t.is(addressIn(await machine.ask(message6())), OURS);
});

test('what arrives at another interface is never answered; the address is one of the interface alone', async (t) => {
  const { wires, server } = await serve(t);
  await mustRun('ip', ['-n', wires.server, 'addr', 'add', 'fd00:92::1/64', 'dev', 'other0', 'nodad']);
  await card6(wires.outside);
  await mustRun('ip', ['-n', wires.outside, 'addr', 'add', 'fd00:92::2/64', 'dev', 'eth0', 'nodad']);
  await mustRun('ip', ['-n', wires.outside, 'route', 'add', 'fd00:91::/64', 'via', 'fd00:92::1']);
  const outside = new Machine6(t, wires.outside);
  const send = Buffer.from(CAPTURES6.get('edk2-http6-solicit')!).toString('hex');
  for (const to of ['fd00:92::1', SERVER]) {
    t.deepEqual(await outside.order({ send, to, port: 547, connected: true }), { refused: 'ECONNREFUSED' });
    t.deepEqual(await outside.order({ tcp: to, port: 80 }), { refused: 'ECONNREFUSED' });
  }
  await outside.shout(CAPTURES6.get('edk2-http6-solicit')!);
  await mustRun('ip', ['-n', wires.inside, 'addr', 'add', 'fd00:91::2/64', 'dev', 'eth0', 'nodad']);
  const inside = new Machine6(t, wires.inside);
  t.deepEqual(await inside.order({ tcp: SERVER, port: 80 }), { said: 'http6' });
  t.deepEqual(await server.next(), { reached: 'http6', from: 'fd00:91::2' });
});

test('an IPv6 address that goes is a loss; IPv4 alone is not served instead', async (t) => {
  const { wires, server } = await serve(t);
  await mustRun('ip', ['-n', wires.server, 'addr', 'add', 'fd00:91::3/64', 'dev', 'boot0', 'nodad']);
  await mustRun('ip', ['-n', wires.server, 'addr', 'del', `${SERVER}/64`, 'dev', 'boot0']);
  t.deepEqual(await server.next(), {
    code: 'INTERFACE_LOST',
    what: `the interface boot0 no longer has the address ${SERVER}`,
  });
});

test('no address but the link-local one, or another one than was named: refused before a port is opened', async (t) => {
  const wires: TwoWires = await twoWires(t);
  const start = async (ipv6: NonNullable<ServerOrders['sockets']['ipv6']>) => {
    const sockets = { interface: 'boot0', httpPort: 80, httpsPort: 443, ipv6 };
    const server = new Inside(t, wires.server, './sockets-server.ts', [
      JSON.stringify({ sockets, leases: '' }),
    ]);
    return (await server.next()) as { code?: string; what?: string };
  };
  t.like(await start({ prefixes: [] }), { code: 'INTERFACE_NO_ADDRESS' });
  const add = (ip: string) => mustRun('ip', ['-n', wires.server, 'addr', 'add', `${ip}/64`, 'dev', 'boot0']);
  await add('fd00:91::1');
  t.like(await start({ prefixes: [], address: 'fd00:91::7' }), { code: 'INTERFACE_NO_ADDRESS' });
});

test('of several addresses the one is taken whose link gets addresses, and a new one at once', async (t) => {
  const wires = await twoWires(t);
  // The kernel looks for half a minute whether they are free.
  const transmits = '/proc/sys/net/ipv6/conf/boot0/dad_transmits';
  await mustRun('ip', ['netns', 'exec', wires.server, 'sh', '-c', `echo 30 > ${transmits}`]);
  for (const ip of ['2001:db8::1', SERVER, 'fd00:99::1'])
    await mustRun('ip', ['-n', wires.server, 'addr', 'add', `${ip}/64`, 'dev', 'boot0']);
  // One that a router could have given: it may go at any time.
  const passing = ['fd00:91:0:0:1::/64', 'dev', 'boot0', 'valid_lft', '1000', 'preferred_lft', '1000'];
  await mustRun('ip', ['-n', wires.server, 'addr', 'add', ...passing]);
  await card6(wires.inside);
  const sockets = { interface: 'boot0', httpPort: 80, httpsPort: 443, ipv6: { prefixes: [PREFIX] } };
  const server = new Inside(t, wires.server, './sockets-server.ts', [
    JSON.stringify({ sockets, leases: '' }),
  ]);
  t.like(await server.next(), { ready: '10.91.0.1' });
  t.is(urlIn(await new Machine6(t, wires.inside).ask(message6())), UKI);
});
