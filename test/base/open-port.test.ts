import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import test from 'ava';
import { openPort } from '../../base/open-port.ts';
import { until } from '../support/until.ts';

const fault = { code: 'TEST_PORT', use: 'for a test', option: '--test-port' };

test('it listens until the signal fires, and ends who is connected then', async (t) => {
  const stop = new AbortController();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => sockets.add(socket));
  const hangUp = () => {
    for (const socket of sockets) socket.destroy();
  };
  const { port, done } = await openPort(server, { port: 0, signal: stop.signal, hangUp, fault });
  const client = connect(port, '127.0.0.1');
  await once(server, 'connection');
  const closed = once(client, 'close');
  stop.abort();
  await done;
  await closed;
  t.false(server.listening);
});

test('one host has so many connections, and no other host one less; who goes makes room', async (t) => {
  const stop = new AbortController();
  const served: Socket[] = [];
  // Nobody is cut off for being slow: only the limit does that here.
  const server = createServer((socket) => void served.push(socket.on('error', () => {}).resume()));
  const hangUp = () => {
    for (const socket of served) socket.destroy();
  };
  const { port, done } = await openPort(server, {
    port: 0,
    signal: stop.signal,
    mostOfOne: 2,
    hangUp,
    fault,
  });
  const from = async (localAddress: string) => {
    const client = connect({ port, host: '127.0.0.1', localAddress }).on('error', () => {});
    const before = served.length;
    await until(() => served.length > before);
    return { client, isServed: !served.at(-1)!.destroyed };
  };
  const [first, second, third] = [await from('127.9.9.9'), await from('127.9.9.9'), await from('127.9.9.9')];
  const other = await from('127.9.9.8');
  t.deepEqual(
    [first, second, third, other].map(({ isServed }) => isServed),
    [true, true, false, true],
  );
  first.client.destroy();
  await until(() => served[0]!.destroyed);
  t.true((await from('127.9.9.9')).isServed);
  stop.abort();
  await done;
});

test('a port that somebody has is refused by its code, and it is said where', async (t) => {
  const stop = new AbortController();
  t.teardown(() => stop.abort());
  const open = (port: number, host?: string) =>
    openPort(createServer(), { port, host, signal: stop.signal, hangUp: () => {}, fault });
  const { port } = await open(0);
  await t.throwsAsync(open(port), {
    code: 'TEST_PORT',
    message: new RegExp(`^port ${port} cannot be opened for a test: .*EADDRINUSE.*--test-port`, 's'),
  });
  const own = await open(0, '127.0.0.1');
  await t.throwsAsync(open(own.port, '127.0.0.1'), {
    message: new RegExp(`^port ${own.port} of 127.0.0.1 cannot be opened`),
  });
});
