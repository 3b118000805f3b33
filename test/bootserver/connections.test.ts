import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import test from 'ava';
import { limitConnections } from '../../bootserver/connections.ts';

test('one address holds so many connections and no more, and gets them back', async (t) => {
  const server = createServer();
  limitConnections(server, { connections: 10, connectionsPerAddress: 2 });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const open: Socket[] = [];
  t.teardown(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  const dial = async (localAddress: string) => {
    const arrived = once(server, 'connection');
    const socket = connect({ port, host: '127.0.0.1', localAddress }).on('error', () => {});
    open.push(socket);
    const [peer] = (await arrived) as [Socket];
    return { socket, peer };
  };
  const first = await dial('127.0.0.2');
  t.false(first.peer.destroyed);
  t.false((await dial('127.0.0.2')).peer.destroyed);
  t.true((await dial('127.0.0.2')).peer.destroyed);
  t.false((await dial('127.0.0.3')).peer.destroyed);
  const closed = once(first.peer, 'close');
  first.socket.destroy();
  first.peer.destroy();
  await closed;
  t.false((await dial('127.0.0.2')).peer.destroyed);
});
