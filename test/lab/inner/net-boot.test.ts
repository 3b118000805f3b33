/** Machines that are played, on this machine's loopback, before a server that may answer anything. */
import { createHash } from 'node:crypto';
import type { Socket } from 'node:dgram';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import test from 'ava';
import { WireHelper } from '../../../bootserver/wire-helper.ts';
import { ip4Bytes, parseIp4 } from '../../../formats/dhcp/ip4.ts';
import { macText, OPTION, textBytes } from '../../../formats/dhcp/options.ts';
import { parsePacket, serialisePacket } from '../../../formats/dhcp/packet.ts';
import { netBoot } from '../../../lab/inner/net-boot.ts';

const SERVER = ip4Bytes(parseIp4('127.0.0.1'));
const IMAGE = Buffer.from('an image');
const mac = (n: number) => `52:54:09:00:00:0${n}`;

test.serial(
  'a machine takes what it is given, goes on to its disk, or says why it does not boot',
  async (t) => {
    const http = createServer(({ url }, response) => {
      if (url === '/image') response.end(IMAGE);
      else response.writeHead(url === '/disk' ? 404 : 500).end();
    });
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    const at = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
    const helper = await WireHelper.start('lo');
    const got = await helper.open([{ name: 'dhcp', protocol: 'udp', address: '0.0.0.0', port: 67 }]);
    const socket = got.get('dhcp') as Socket;
    t.teardown(async () => {
      socket.close();
      http.close();
      await helper.close();
    });
    const send = (bytes: Uint8Array) => socket.send(bytes, 68, '255.255.255.255');
    const answers: Record<string, () => [number, Uint8Array][]> = {
      [mac(1)]: () => [[OPTION.serverId, SERVER], ...named(`${at}/image`)],
      [mac(2)]: () => [[OPTION.serverId, SERVER], ...named(`${at}/disk`)],
      [mac(3)]: () => [],
      [mac(4)]: () => [[OPTION.serverId, SERVER]],
      [mac(5)]: () => [[OPTION.serverId, SERVER], ...named(`${at}/broken`)],
      [mac(6)]: () => [[OPTION.serverId, SERVER], ...named('file:///etc/passwd')],
    };
    socket.on('message', (bytes) => {
      const ask = parsePacket(bytes);
      const isOffer = ask.options.get(OPTION.messageType)?.[0] === 1;
      const options = answers[macText(ask.chaddr)]?.();
      if (options === undefined) return;
      const type: [number, Uint8Array] = [OPTION.messageType, Uint8Array.of(isOffer ? 2 : 5)];
      const reply = {
        ...ask,
        op: 2 as const,
        yiaddr: parseIp4('127.77.0.10'),
        options: new Map([type, ...options]),
      };
      // What others on the wire say, first.
      send(Buffer.from('no packet'));
      send(bytes);
      send(serialisePacket({ ...reply, xid: (ask.xid ^ 1) >>> 0, yiaddr: parseIp4('127.77.0.66') }));
      send(serialisePacket({ ...reply, options: new Map([[OPTION.messageType, Uint8Array.of(6)]]) }));
      send(serialisePacket(reply));
    });
    const signal = AbortSignal.timeout(60_000);
    const [fetched, disk] = await netBoot('lo', [mac(1), mac(2)], signal);
    const sha256 = createHash('sha256').update(IMAGE).digest('hex');
    t.deepEqual(fetched, {
      address: '127.77.0.10',
      image: { url: `${at}/image`, sha256, size: IMAGE.length },
    });
    t.deepEqual(disk, { address: '127.77.0.10', image: null });
    for (const [n, why] of [
      [3, /names no server/],
      [4, /nothing to boot/],
      [5, /status 500/],
      [6, /NET_BOOT|fetch failed/],
    ] as const) {
      const error = await t.throwsAsync(netBoot('lo', [mac(n)], signal), { code: 'NET_BOOT' }, `${n}`);
      t.regex(error!.message, why);
    }
  },
);

const named = (url: string): [number, Uint8Array][] => [
  [OPTION.vendorClass, textBytes('HTTPClient')],
  [OPTION.bootFile, textBytes(url)],
];
