/** A TFTP server on loopback with a folder of loaders, and a client made of single packets. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger, type Logger } from '../../../base/log.ts';
import type { TftpLimits } from '../../../bootserver/tftp/options.ts';
import { type Option, type Packet, parsePacket, serialisePacket } from '../../../bootserver/tftp/packet.ts';
import { startTftp, type TftpEvent, type TftpServer } from '../../../bootserver/tftp/server.ts';
import { pattern } from '../http/fixture.ts';

export const LOADER = pattern(100_001, 5);
/** A multiple of every block size used here. */
export const EVEN = pattern(512 * 20, 6);

export type Fixture = {
  folder: string;
  port: number;
  address: string;
  server: TftpServer;
  events: TftpEvent[];
  stop(): Promise<void>;
};

export async function bind(address: string): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(0, address);
  await once(socket, 'listening');
  return socket;
}

export async function startFixture(
  options: { limits?: Partial<TftpLimits>; address?: string; log?: Logger } = {},
): Promise<Fixture> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-tftp-'));
  await writeFile(join(folder, 'ipxe.efi'), LOADER);
  await writeFile(join(folder, 'even.efi'), EVEN);
  await writeFile(join(folder, 'empty.efi'), '');
  const address = options.address ?? '127.0.0.1';
  const socket = await bind(address);
  const { port } = socket.address() as AddressInfo;
  const events: TftpEvent[] = [];
  const server = startTftp({
    socket,
    openTransfer: () => bind(address),
    folder,
    log: options.log ?? createLogger('tftp-test', 'silent'),
    onEvent: (event) => events.push(event),
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  const stop = async () => {
    await server.stop();
    await rm(folder, { recursive: true });
  };
  return { folder, port, address, server, events, stop };
}

export type Arrived = { packet: Packet | undefined; from: RemoteInfo };

/** Sends and receives one packet at a time, and keeps what came until it is asked for. */
export class Client {
  readonly #socket: Socket;
  readonly #server: { address: string; port: number };
  readonly #arrived: Arrived[] = [];

  private constructor(socket: Socket, server: { address: string; port: number }) {
    this.#socket = socket;
    this.#server = server;
    socket.on('message', (bytes, from) => {
      this.#arrived.push({ packet: parsePacket(bytes), from });
      socket.emit('arrived');
    });
  }

  static async to(server: { address: string; port: number }, address = '127.0.0.1'): Promise<Client> {
    return new Client(await bind(address), server);
  }

  /** To a transfer's port, else to the server's own. */
  send(packet: Packet | Uint8Array, to: { port: number } = this.#server): Promise<void> {
    const bytes = packet instanceof Uint8Array ? packet : serialisePacket(packet);
    return new Promise((resolve) => this.#socket.send(bytes, to.port, this.#server.address, () => resolve()));
  }

  ask(file: string, options: readonly Option[] = [], mode = 'octet'): Promise<void> {
    return this.send({ op: 'read', file, mode, options });
  }

  async next(): Promise<Arrived> {
    while (this.#arrived.length === 0) await once(this.#socket, 'arrived');
    return this.#arrived.shift() as Arrived;
  }

  /** How many packets came that nobody asked for yet. */
  get waiting(): number {
    return this.#arrived.length;
  }

  /** A whole download in lock-step. */
  async get(file: string, options: readonly Option[] = []): Promise<Buffer> {
    await this.ask(file, options);
    const pieces: Uint8Array[] = [];
    let blockSize = 512;
    for (let expected = 1; ; ) {
      const { packet, from } = await this.next();
      if (packet?.op === 'error') throw new Error(`${packet.code} ${packet.message}`);
      if (packet?.op === 'oack') {
        blockSize = Number(packet.options.find(([name]) => name === 'blksize')?.[1] ?? 512);
        await this.send({ op: 'ack', block: 0 }, from);
      }
      if (packet?.op !== 'data' || packet.block !== (expected & 0xffff)) continue;
      pieces.push(Uint8Array.from(packet.data));
      await this.send({ op: 'ack', block: packet.block }, from);
      expected += 1;
      if (packet.data.length < blockSize) return Buffer.concat(pieces);
    }
  }

  close(): void {
    this.#socket.close();
  }
}
