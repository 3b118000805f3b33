import test from 'ava';
import { bootAnswer } from '../../../bootserver/boot/answer.ts';
import { readBootClient } from '../../../bootserver/boot/client.ts';
import { decidePortPxe, decideProxy } from '../../../bootserver/dhcp/proxy.ts';
import type { BootIntent } from '../../../bootserver/directory.ts';
import { parseIp4 } from '../../../formats/dhcp/ip4.ts';
import { OPTION } from '../../../formats/dhcp/options.ts';
import { type DhcpPacket, parsePacket } from '../../../formats/dhcp/packet.ts';
import { CAPTURES } from '../boot/captures.ts';
import { arrivalOn, asRequest, ip, message, replied, SERVER, shown, text } from './messages.ts';

const server = { serverIp: parseIp4(SERVER), httpsPort: 443 };
const image: BootIntent = { kind: 'image', version: '1.0', reason: 'new' };

function boot(packet: DhcpPacket, role: 'proxy' | '4011', intent: BootIntent = image) {
  const client = readBootClient(packet.options);
  if (client === undefined) return undefined;
  return bootAnswer({
    client,
    mac: '52:54:00:00:00:01',
    intent,
    role,
    base: { serverIp: SERVER, httpPort: 80 },
  });
}
const on67 = (packet: DhcpPacket, intent: BootIntent = image) =>
  decideProxy(asRequest(packet), arrivalOn(67), server, boot(packet, 'proxy', intent));
const on4011 = (packet: DhcpPacket, arrival = arrivalOn(4011, '10.0.0.77', 4321)) =>
  decidePortPxe(asRequest(packet), arrival, server, boot(packet, '4011'));
const capture = (name: string) => parsePacket(CAPTURES.get(name)!);

test('a proxy offers no address, names itself, and echoes the machine id', (t) => {
  const discover = capture('edk2-pxe-discover');
  const decision = on67(discover);
  t.is(shown(decision), 'offer 0.0.0.0 -> 255.255.255.255:68');
  const offer = replied(decision);
  t.is(text(offer, OPTION.vendorClass), 'PXEClient');
  t.is(ip(offer, OPTION.serverId), SERVER);
  t.deepEqual(offer.options.get(OPTION.machineId), discover.options.get(OPTION.machineId));
  for (const code of [OPTION.leaseTime, OPTION.subnetMask, OPTION.router, OPTION.vendorSpecific]) {
    t.false(offer.options.has(code));
  }
});

test('a proxy answers the DISCOVER of boot firmware on port 67 and nothing else there', (t) => {
  t.is(shown(on67(capture('edk2-pxe-request'))), 'silent');
  t.is(shown(on67(capture('edk2-http-request'))), 'silent');
  t.is(shown(on67(capture('ipxe-bios-request'))), 'silent');
  for (const type of ['discover', 'request', 'inform', 'release', 'decline'] as const) {
    t.is(shown(on67(message(type, 1, { ciaddr: '10.0.0.5' }))), 'silent');
  }
  t.is(shown(on67(capture('edk2-pxe-discover'), { kind: 'refuse', reason: 'no' })), 'silent');
});

test('a relayed DISCOVER is offered through the relay', (t) => {
  const packet = { ...capture('edk2-http-discover'), giaddr: parseIp4('10.7.0.1') };
  t.is(shown(on67(packet)), 'offer 0.0.0.0 -> 10.7.0.1:67');
});

test('port 4011: the boot file, to where the question came from', (t) => {
  const decision = on4011(capture('edk2-pxe-4011'));
  t.is(shown(decision), 'ack 0.0.0.0 -> 10.0.0.77:4321');
  t.is(replied(decision).file, 'ipxe.efi');
  t.is(replied(decision).siaddr, server.serverIp);
});

test('port 4011: silent to DISCOVERs, to other clients, and when another boot server is meant', (t) => {
  t.is(shown(on4011(capture('edk2-pxe-discover'))), 'silent');
  t.is(shown(on4011(message('request', 1))), 'silent');
  t.is(shown(on4011(message('inform', 1, { ciaddr: '10.0.0.77' }))), 'silent');
  t.is(shown(on4011(message('request', 1, { vendorClass: 'PXEClient', serverId: '10.0.0.9' }))), 'silent');
  t.is(
    shown(on4011(message('request', 1, { vendorClass: 'PXEClient', serverId: SERVER }))),
    'ack 0.0.0.0 -> 10.0.0.77:4321',
  );
});

test("the agent's INFORM is answered on both ports, its DISCOVER and REQUEST on neither", (t) => {
  const agent = { vendorClass: 'bootwave', ciaddr: '10.0.0.77' };
  const url = Uint8Array.of(1, 20, ...Buffer.from('https://10.0.0.1:443'));
  const inform = message('inform', 1, agent);
  for (const port of [67, 4011] as const) {
    const arrival = arrivalOn(port, '10.0.0.77', 45678);
    const decide = port === 67 ? decideProxy : decidePortPxe;
    const decision = decide(asRequest(inform), arrival, server, undefined);
    t.is(shown(decision), 'ack 0.0.0.0 -> 10.0.0.77:45678');
    t.deepEqual(replied(decision).options.get(OPTION.vendorSpecific), url);
    t.is(text(replied(decision), OPTION.vendorClass), 'bootwave');
    for (const type of ['discover', 'request'] as const) {
      t.is(shown(decide(asRequest(message(type, 1, agent)), arrival, server, undefined)), 'silent');
    }
    const nowhere = arrivalOn(port, '0.0.0.0', 68);
    t.is(
      shown(decide(asRequest(message('inform', 1, { vendorClass: 'bootwave' })), nowhere, server, undefined)),
      'silent',
    );
  }
});
