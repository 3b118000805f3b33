import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import test, { type ExecutionContext } from 'ava';
import { gatherWrites } from '../../base/gather-writes.ts';

/** A connected socket that gathers, how often it asked the system to write, and all that the other end got. */
async function connected(t: ExecutionContext) {
  let peer: Promise<Buffer> | null = null;
  const server = createServer((socket) => {
    peer = buffer(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const socket = connect((server.address() as { port: number }).port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  await Promise.all([once(socket, 'connect'), once(server, 'connection')]);
  let calls = 0;
  for (const name of ['_write', '_writev'] as const) {
    const original = socket[name] as (...args: unknown[]) => void;
    socket[name] = (...args: unknown[]) => {
      calls += 1;
      original.apply(socket, args);
    };
  }
  return { socket: gatherWrites(socket), calls: () => calls, received: () => peer as Promise<Buffer> };
}

const writing = (socket: Socket, text: string) =>
  new Promise<void>((resolve, reject) => {
    socket.write(text, (error) => (error == null ? resolve() : reject(error)));
  });

test('what is written in one turn leaves at once, in its order', async (t) => {
  const { socket, calls, received } = await connected(t);
  await Promise.all(['a', 'b', 'c'].map((text) => writing(socket, text)));
  t.is(calls(), 1);
  await Promise.all(['d', 'e'].map((text) => writing(socket, text)));
  t.is(calls(), 2);
  socket.end();
  t.is((await received()).toString(), 'abcde');
});

for (const [how, leave] of [
  ['ended', (socket: Socket) => socket.end()],
  ['destroyed', (socket: Socket) => socket.destroy()],
] as const) {
  test(`what was written is sent when the socket is ${how} in the same turn`, async (t) => {
    const { socket, received } = await connected(t);
    socket.write('good');
    socket.write('bye');
    leave(socket);
    t.is((await received()).toString(), 'goodbye');
  });
}
