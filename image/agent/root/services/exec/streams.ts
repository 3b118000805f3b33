/** The standard streams of a command: sockets in a folder of root, to which PID 1 connects them (systemd.exec(5), `file:`). */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Duplex, Readable } from 'node:stream';
import { firstEvent } from '../../../../../base/first-event.ts';
import { encodeChunks, type Stream } from '../../../../../protocol/chunks.ts';

export async function send(person: Duplex, stream: Stream, bytes: Buffer): Promise<void> {
  if (person.destroyed || person.writableEnded || person.write(encodeChunks(stream, bytes))) return;
  await firstEvent(person, ['drain', 'close']);
}

/** @returns `ended`: when all that was written is sent */
export async function openStreams(
  folder: string,
  input: Readable,
  person: Duplex,
): Promise<{ ended(): Promise<unknown>; close(): void }> {
  const servers: Server[] = [];
  const passed: Promise<unknown>[] = [];
  const open = async (name: string, take: (socket: Socket) => Promise<void> | Socket) => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      server.close();
      passed.push(Promise.resolve(take(socket.on('error', () => {}))).catch(() => {}));
    });
    servers.push(server);
    await once(server.listen(join(folder, name)), 'listening');
  };
  await open('in', (socket) => input.pipe(socket));
  for (const stream of ['out', 'err'] as const)
    await open(stream, async (socket) => {
      for await (const bytes of socket) await send(person, stream, bytes as Buffer);
      socket.destroy();
    });
  return {
    ended: () => Promise.all(passed),
    close: () => {
      for (const server of servers) server.close();
    },
  };
}
