import { createSocket } from 'node:dgram';
import type { AddressInfo } from 'node:net';
import test from 'ava';
import fc from 'fast-check';
import { OPTION, writeSubOptions } from '../../../../formats/dhcp/options.ts';
import { type DhcpPacket, parsePacket, serialisePacket } from '../../../../formats/dhcp/packet.ts';
import { urlOfLease } from '../../../../image/agent/member/discover.ts';
import {
  askFrom,
  informPacket,
  urlOfAnswer,
  urlOfVendorOptions,
} from '../../../../image/agent/member/inform.ts';
import { OPTION43_URL } from '../../../../protocol/enrolment/messages.ts';

const local = { address: '127.0.0.1', mac: '52:54:00:00:00:01' };
const text = (value: string) => Buffer.from(value);
const vendor = (url: string) => writeSubOptions([[OPTION43_URL, text(url)]], true);

function answerTo(request: DhcpPacket, url: string, change: Partial<DhcpPacket> = {}): Buffer {
  const options = new Map<number, Uint8Array>([
    [OPTION.messageType, Uint8Array.of(5)],
    [OPTION.vendorClass, text('bootwave')],
    [OPTION.vendorSpecific, vendor(url)],
  ]);
  return serialisePacket({ ...request, op: 2, options, ...change });
}

test('the request is an INFORM of class bootwave from this address', (t) => {
  const packet = parsePacket(informPacket(7, { address: '10.1.2.3', mac: local.mac }));
  t.like(packet, { op: 1, xid: 7, ciaddr: 0x0a010203 });
  t.deepEqual([...packet.options.get(OPTION.messageType)!], [8]);
  t.is(Buffer.from(packet.options.get(OPTION.vendorClass)!).toString(), 'bootwave');
  t.is(Buffer.from(packet.chaddr).toString('hex'), '525400000001');
});

test('the answer of our server gives its URL over a real socket, other answers nothing', async (t) => {
  const server = createSocket('udp4');
  await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  server.on('message', (bytes, from) => {
    const request = parsePacket(bytes);
    const back = (answer: Uint8Array) => server.send(answer, from.port, from.address);
    back(text('garbage'));
    back(answerTo(request, 'https://10.0.0.9', { xid: request.xid ^ 1 }));
    back(answerTo(request, 'https://10.0.0.8', { op: 1 }));
    back(answerTo(request, 'http://10.0.0.7'));
    back(answerTo(request, 'https://10.0.0.1:8443/'));
  });
  const { port } = server.address() as AddressInfo;
  t.deepEqual(await askFrom(local, 99, 5000, [{ address: '127.0.0.1', port }]), ['https://10.0.0.1:8443']);
});

test('silence ends with nothing', async (t) => {
  const deaf = createSocket('udp4');
  await new Promise<void>((resolve) => deaf.bind(0, '127.0.0.1', resolve));
  t.teardown(() => deaf.close());
  t.deepEqual(await askFrom(local, 1, 50, [{ address: '127.0.0.1', port: deaf.address().port }]), []);
});

test('the lease of systemd-networkd names the server in option 43', (t) => {
  const hex = Buffer.from(vendor('https://10.0.0.1:8443')).toString('hex');
  t.is(urlOfLease(`ADDRESS=10.0.0.5\nVENDOR_SPECIFIC=${hex}\nLIFETIME=60\n`), 'https://10.0.0.1:8443');
  t.is(urlOfLease('ADDRESS=10.0.0.5\n'), undefined);
});

test('only an https origin comes out of option 43, whatever is in it', (t) => {
  for (const url of ['http://a', 'ftp://a', 'file:///etc/passwd', 'javascript:1', '', 'https://', 'a b']) {
    t.is(urlOfVendorOptions(vendor(url)), undefined, url);
  }
  t.is(urlOfVendorOptions(vendor('https://u:p@h:1/path?q#f')), 'https://h:1');
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const url = urlOfVendorOptions(bytes);
      return url === undefined || (url.startsWith('https://') && new URL(url).origin === url);
    }),
  );
});

test('no datagram whatsoever breaks the reader', (t) => {
  const good = answerTo(parsePacket(informPacket(5, local)), 'https://10.0.0.1');
  t.is(urlOfAnswer(good, 5), 'https://10.0.0.1');
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 20 }),
      fc.nat(good.length),
      (edits, cut) => {
        const bytes = Buffer.from(good);
        for (const [at, value] of edits) bytes[at] = value;
        const url = urlOfAnswer(bytes.subarray(0, cut), 5);
        return url === undefined || url.startsWith('https://');
      },
    ),
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => urlOfAnswer(bytes, 5) === undefined));
});
