/** What this rests on: private fields of ssh2. Another version of it that has others makes these tests fail. */
import type { KeyObject } from 'node:crypto';
import test from 'ava';
import ssh2, { type Client, type Connection } from 'ssh2';
import { makeHostKey } from '../../../image/agent/root/host-key.ts';
import { holdCipherKeys } from '../../../orchestrator/transport/cipher-keys.ts';

/** Where ssh2 1.17 keeps the key of each end; see the file under test. */
const FIELDS = { _cipher: '_encKey', _decipher: '_decipherKey' } as const;

/** The key that an end of this connection ciphers with, where it is held as an object. */
function heldKey(connection: object, end: keyof typeof FIELDS): KeyObject | null {
  const ends = (connection as { _protocol?: Record<string, Record<string, unknown> | undefined> })._protocol;
  const key = ends?.[end]?.[FIELDS[end]];
  return key === undefined || Buffer.isBuffer(key) ? null : (key as KeyObject);
}

type Pair = { client: Client; server: Connection; echo(text: string): Promise<string>; close(): void };

/** A connection with a subsystem that sends back what it gets. */
function pair(cipher: 'aes128-gcm@openssh.com' | 'aes128-ctr'): Promise<Pair> {
  return new Promise((resolve, reject) => {
    const client = new ssh2.Client();
    const server = new ssh2.Server({ hostKeys: [makeHostKey().file] }, (connection) => {
      holdCipherKeys(connection);
      connection.on('error', () => {});
      connection.on('authentication', (context) => context.accept());
      connection.on('session', (accept) => {
        accept().on('subsystem', (open) => {
          const stream = open();
          stream.pipe(stream);
        });
      });
      client.on('ready', () => {
        client.subsys('echo', (error, stream) => {
          if (error) return reject(error);
          const echo = (text: string) =>
            new Promise<string>((done) => {
              stream.once('data', (chunk: Buffer) => done(chunk.toString()));
              stream.write(text);
            });
          const close = () => {
            client.destroy();
            server.close();
          };
          resolve({ client, server: connection, echo, close });
        });
      });
    });
    client.on('error', reject);
    holdCipherKeys(client);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      client.connect({ host: '127.0.0.1', port, username: 'any', algorithms: { cipher: [cipher] } });
    });
  });
}

test('both ends of a connection cipher with key objects, after each rekeying as well', async (t) => {
  const { client, server, echo, close } = await pair('aes128-gcm@openssh.com');
  t.teardown(close);
  const keys = () => [
    heldKey(client, '_cipher'),
    heldKey(client, '_decipher'),
    heldKey(server, '_cipher'),
    heldKey(server, '_decipher'),
  ];
  const before = keys();
  t.deepEqual(
    before.map((key) => key?.type),
    ['secret', 'secret', 'secret', 'secret'],
  );
  t.is(await echo('one'), 'one');
  await new Promise<void>((resolve) => server.rekey(resolve));
  t.is(await echo('two'), 'two');
  const after = keys();
  t.deepEqual(
    after.map((key, i) => key?.type === 'secret' && !key.equals(before[i]!)),
    [true, true, true, true],
  );
  // What one end sends the other one reads.
  t.true(after[0]?.equals(after[3]!));
});

test('a connection whose cipher has no such key is left as it is', async (t) => {
  const { client, server, echo, close } = await pair('aes128-ctr');
  t.teardown(close);
  t.is(heldKey(client, '_cipher'), null);
  t.is(heldKey(server, '_decipher'), null);
  t.is(await echo('one'), 'one');
});

test('something that is no connection of ssh2 as it was is left as it is', (t) => {
  const strange = new ssh2.Client();
  holdCipherKeys(strange);
  t.notThrows(() => strange.emit('handshake', {} as never));
  Object.assign(strange, { _protocol: { _cipher: { _encKey: 'words' }, _decipher: null } });
  t.notThrows(() => strange.emit('handshake', {} as never));
  t.like(strange, { _protocol: { _cipher: { _encKey: 'words' } } });
});
