/** What everybody may ask of an inner fleet, at the real door before a real server's. */
import { generateKeyPairSync } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { type AddressInfo, connect } from 'node:net';
import test from 'ava';
import fc from 'fast-check';
import { exists } from '../../../base/files.ts';
import { openInnerDoor } from '../../../lab/inner/door.ts';
import { redisFor } from '../../orchestrator/fleet/support.ts';
import { doorOf } from '../../orchestrator/operations/support.ts';
import { keysIn } from '../../support/keys.ts';

const keyOn = (namedCurve: string) =>
  generateKeyPairSync('ec', { namedCurve }).publicKey.export({ type: 'spki', format: 'pem' }).toString();

test('whatever is sent claims nothing but by a key, and once', async (t) => {
  t.timeout(5 * 60_000);
  const { paths } = await redisFor(t);
  await keysIn(paths.keys);
  const door = await openInnerDoor(paths, 0);
  const claimed = `${paths.root}.claimed`;
  t.teardown(async () => {
    door.close();
    await rm(claimed, { force: true });
  });
  const { port } = door.address() as AddressInfo;
  const at = `http://127.0.0.1:${port}`;
  const claim = (body: string) => fetch(`${at}/operator`, { method: 'POST', body });
  // Its server does not run yet: that claims nothing.
  t.is((await claim(keyOn('P-256'))).status, 503);
  t.is((await fetch(`${at}/health`)).status, 503);
  await doorOf(t, paths);
  t.is((await fetch(`${at}/health`)).status, 503, 'no node is healthy');

  const word = fc.oneof(
    fc.string({ maxLength: 2000 }),
    fc.constantFrom(keyOn('P-384'), '/operator', '/health'),
  );
  const method = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE');
  await fc.assert(
    fc.asyncProperty(method, word, word, async (how, path, body) => {
      const send = how === 'GET' ? {} : { body };
      const { status } = await fetch(`${at}/${encodeURI(path.toWellFormed())}`, { method: how, ...send });
      t.true(status >= 400);
      t.true((await claim(body)).status >= 400);
    }),
    { numRuns: 40 },
  );
  // What is no HTTP at all.
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
      const socket = connect(port, '127.0.0.1').on('error', () => {});
      socket.end(bytes).resume();
      await new Promise((resolve) => socket.once('close', resolve));
    }),
    { numRuns: 20 },
  );
  t.false(await exists(claimed));

  const all = await Promise.all([1, 2, 3, 4].map(() => claim(keyOn('P-256'))));
  t.deepEqual(all.map(({ status }) => status).sort(), [200, 409, 409, 409], 'one of them is the first');
  const chain = await all.find(({ status }) => status === 200)!.text();
  t.is(chain.match(/BEGIN CERTIFICATE/g)?.length, 3);
  t.is((await claim(keyOn('P-256'))).status, 409);
});
