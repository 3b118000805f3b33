/** What this rests on: private fields of ssh2. Another version of it that has others makes these tests fail. */
import test, { type ExecutionContext } from 'ava';
import ssh2, { type PublicKeyAuthMethod } from 'ssh2';
import { makeHostKey } from '../../../image/agent/root/host-key.ts';
import { readClientKey } from '../../../orchestrator/transport/client-key.ts';
import { signAtOnce } from '../../../orchestrator/transport/sign-at-once.ts';

/** What a server is shown by a client that logs in: whether each attempt was signed, by the right key, and what came of it. */
async function login(t: ExecutionContext, { accept }: { accept: boolean }) {
  const own = makeHostKey();
  const key = readClientKey(own.file);
  const attempts: { signed: boolean; valid: boolean }[] = [];
  const server = new ssh2.Server({ hostKeys: [makeHostKey().file] }, (connection) => {
    connection.on('error', () => {});
    connection.on('authentication', (context) => {
      if (context.method !== 'publickey') return context.reject(['publickey']);
      const { signature, blob, hashAlgo } = context;
      const signed = signature !== undefined && blob !== undefined;
      attempts.push({ signed, valid: signed && key.verify(blob, signature, hashAlgo) === true });
      if (accept) context.accept();
      else context.reject(['publickey']);
    });
  });
  t.teardown(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = new ssh2.Client();
  t.teardown(() => client.destroy());
  const outcome = new Promise<string>((resolve) => {
    client.once('ready', () => resolve('ready'));
    client.once('error', (error) => resolve(error.level ?? error.message));
  });
  const method: PublicKeyAuthMethod = { type: 'publickey', username: 'any', key };
  client.connect({
    host: '127.0.0.1',
    port: (server.address() as { port: number }).port,
    username: 'any',
    authHandler: [method],
  });
  signAtOnce(client, key);
  return { outcome: await outcome, attempts };
}

test('a client signs at once, without asking first', async (t) => {
  const { outcome, attempts } = await login(t, { accept: true });
  t.is(outcome, 'ready');
  t.deepEqual(attempts, [{ signed: true, valid: true }]);
});

test('a key that is not accepted is told as before, after one attempt', async (t) => {
  const { outcome, attempts } = await login(t, { accept: false });
  t.is(outcome, 'client-authentication');
  t.deepEqual(attempts, [{ signed: true, valid: true }]);
});

test('something that is no connection of ssh2 as it was is left as it is', (t) => {
  const strange = new ssh2.Client();
  const key = readClientKey(makeHostKey().file);
  t.notThrows(() => signAtOnce(strange, key));
  Object.assign(strange, { _protocol: { authPK: 'words' } });
  signAtOnce(strange, key);
  t.like(strange, { _protocol: { authPK: 'words' } });
});
