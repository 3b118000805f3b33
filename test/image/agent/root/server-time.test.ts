/** A clock that is wrong, behind or ahead: the server's certificate does not hold by it, and its signed time does. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer as createHttps } from 'node:https';
import { type AddressInfo, createServer as createNet } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { BootServer } from '../../../../image/agent/member/boot-server.ts';
import { askTime } from '../../../../image/agent/member/server-time.ts';
import { type HelperPlaces, OPERATIONS } from '../../../../image/agent/root/operations.ts';
import { verifyTime } from '../../../../image/agent/root/server-time.ts';
import { CLOCK_OFF } from '../../../../protocol/agent/machine.ts';
import { PATHS, SERVER_NAME, startReply } from '../../../../protocol/enrolment/messages.ts';
import { signTime } from '../../../../protocol/enrolment/server-time.ts';
import { Fleet, serve } from '../../../bootserver/enroll/support/fleet.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const fleet = await Fleet.make();
const foreign = await Fleet.make('theirs');
test.after.always(async () => {
  await fleet.remove();
  await foreign.remove();
});

/** A boot server for which it is another time than on this machine, with a certificate of those days. */
async function serverAt(t: ExecutionContext, time: number, from: number, to: number, of = fleet) {
  const leaf = of.leaf(of.authorities.servers, {
    usage: 'server',
    dnsNames: [SERVER_NAME],
    notBefore: new Date(from),
    notAfter: new Date(to),
  });
  const server = await serve(of, { serverKey: leaf.key, serverChainPem: leaf.chain, now: () => time });
  t.teardown(() => server.stop());
  return { server, leaf };
}
const nonce = () => randomBytes(32).toString('hex');

for (const [what, shift, from, to] of [
  ['60 days behind', 60 * DAY, 59 * DAY, 149 * DAY],
  ['ahead', -30 * MINUTE, -50 * MINUTE, -10 * MINUTE],
] as const)
  test(`a machine whose clock is ${what} refuses the certificate and learns the time`, async (t) => {
    const now = Date.now();
    const { server } = await serverAt(t, now + shift, now + from, now + to);
    const https = new BootServer(server.url, fleet.root);
    t.teardown(() => https.close());
    await t.throwsAsync(https.post(PATHS.start, {}, startReply), {
      code: 'SERVER_NOT_TRUSTED',
      message: /clock/,
    });
    const asked = nonce();
    t.is(verifyTime(await askTime(server.url, asked), asked, fleet.root), now + shift);
  });

test('a server that drips, or says nothing, holds a node up no longer than one that is not there', async (t) => {
  const leaf = foreign.leaf(foreign.authorities.servers, { usage: 'server', dnsNames: [SERVER_NAME] });
  const drips = createHttps(
    { key: leaf.key.export({ type: 'pkcs8', format: 'pem' }), cert: leaf.chain },
    (_, response) => {
      const timer = setInterval(() => response.write(' '), 20);
      response.on('close', () => clearInterval(timer));
    },
  );
  for (const server of [drips, createNet(() => {})]) {
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    t.teardown(() => server.close());
    await t.throwsAsync(askTime(`https://127.0.0.1:${port}`, nonce(), 300), { code: 'SERVER_TIME' });
  }
});

test('nobody but a boot server of this fleet says what time it is, and not without a certificate of that time', async (t) => {
  const now = Date.now();
  const leafOf = (authority: 'nodes' | 'servers', usage: 'client' | 'server', of = fleet, more = {}) =>
    of.leaf(of.authorities[authority], { usage, dnsNames: [SERVER_NAME], ...more });
  const own = leafOf('servers', 'server');
  const asked = nonce();
  const say = (leaf: typeof own, time = now) =>
    signTime(leaf.key, leaf.chain, Buffer.from(asked, 'hex'), time);
  t.is(verifyTime(say(own), asked, fleet.root), now);
  const untrusted = { code: 'SERVER_NOT_TRUSTED' };
  t.throws(() => verifyTime(say(leafOf('servers', 'server', foreign)), asked, fleet.root), untrusted);
  t.throws(() => verifyTime(say(leafOf('nodes', 'client')), asked, fleet.root), untrusted);
  t.throws(
    () => verifyTime(say(leafOf('servers', 'server', fleet, { dnsNames: ['other'] })), asked, fleet.root),
    untrusted,
  );
  const bad = { code: 'SERVER_TIME' };
  t.throws(() => verifyTime(say(own), nonce(), fleet.root), bad, 'of another question');
  t.throws(() => verifyTime({ ...say(own), time: now + 1 }, asked, fleet.root), bad);
  t.throws(
    () => verifyTime({ ...say(own), chain: leafOf('servers', 'server').chain }, asked, fleet.root),
    bad,
  );
  t.throws(() => verifyTime({ ...say(own), chain: '' }, asked, fleet.root), bad);
  for (const time of [0, now - 20 * 365 * DAY, now + 2 * DAY])
    t.throws(() => verifyTime(say(own, time), asked, fleet.root), bad, `${time}`);
  fc.assert(
    fc.property(fc.string(), fc.base64String(), fc.nat(), (chain, signature, time) => {
      t.throws(() => verifyTime({ time, signature, chain }, asked, fleet.root), bad);
    }),
  );
});

test('root sets the clock once for a question of its own, unless it is right or NTP keeps it', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-clock-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await mkdir(join(folder, 'fleet'));
  await writeFile(join(folder, 'fleet/root.crt'), fleet.root);
  const set: number[] = [];
  const places: HelperPlaces = {
    ...{
      sys: folder,
      efivars: folder,
      fleet: join(folder, 'fleet'),
      run: join(folder, 'run'),
      environment: {},
    },
    synchronised: join(folder, 'synchronized'),
    setClock: async (time) => void set.push(time),
  };
  const leaf = fleet.serverLeaf();
  const ask = async () => (await OPERATIONS['clock-nonce']({ operation: 'clock-nonce' }, places)).nonce;
  const say = (asked: string, time: number) =>
    signTime(leaf.key, leaf.chain, Buffer.from(asked, 'hex'), time);
  const take = (reply: ReturnType<typeof say>) =>
    OPERATIONS['set-clock']({ operation: 'set-clock', reply }, places);

  const right = Date.now();
  t.deepEqual(await take(say(await ask(), right)), { set: false });
  const wrong = right + 10 * CLOCK_OFF;
  const reply = say(await ask(), wrong);
  t.deepEqual(await take(reply), { set: true });
  await t.throwsAsync(take(reply), { code: 'SERVER_TIME' }, 'heard a second time');
  await t.throwsAsync(take(say(nonce(), wrong)), { code: 'SERVER_TIME' }, 'not asked by root');
  await writeFile(places.synchronised!, '');
  t.deepEqual(await take(say(await ask(), wrong)), { set: false });
  t.deepEqual(set, [wrong]);
});
