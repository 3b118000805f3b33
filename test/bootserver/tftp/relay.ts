/** A bad network between one TFTP client and a server: it loses, copies and delays datagrams, always the same ones. */
import type { RemoteInfo, Socket } from 'node:dgram';
import type { AddressInfo } from 'node:net';
import { bind } from './fixture.ts';

/** Of 100 datagrams, in either direction. */
export type Badness = { lost: number; copied: number; delayed: number };

export type Relay = { port: number; seen: number; hurt: number; close(): void };

export async function startRelay(serverPort: number, badness: Badness, seed: number): Promise<Relay> {
  const front = await bind('127.0.0.1');
  const back = await bind('127.0.0.1');
  let client: RemoteInfo | undefined;
  let transfer = serverPort;
  let state = seed;
  const relay: Relay = {
    port: (front.address() as AddressInfo).port,
    seen: 0,
    hurt: 0,
    close() {
      front.close();
      back.close();
    },
  };
  const pass = (bytes: Buffer, socket: Socket, port: number) => {
    relay.seen += 1;
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const dice = (state >>> 8) % 100;
    const { lost, copied, delayed } = badness;
    const send = () => {
      try {
        socket.send(bytes, port, '127.0.0.1', () => {});
      } catch {
        // Closed while a delayed datagram was under way.
      }
    };
    // The first request always arrives: clients wait seconds before they repeat it.
    if (relay.seen === 1 || dice >= lost + copied + delayed) return send();
    relay.hurt += 1;
    if (dice < lost) return;
    if (dice < lost + copied) send();
    else return void setTimeout(send, 15);
    send();
  };
  front.on('message', (bytes, from) => {
    if (client !== undefined && client.port !== from.port) transfer = serverPort;
    client = from;
    pass(bytes, back, transfer);
  });
  back.on('message', (bytes, from) => {
    transfer = from.port;
    if (client !== undefined) pass(bytes, front, client.port);
  });
  return relay;
}
