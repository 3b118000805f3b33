import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import test, { type ExecutionContext } from 'ava';
import type { BanList, Bearer } from '../../../bootserver/enroll/bans.ts';
import { sha256 } from '../../../formats/digest.ts';
import { ServerRefused } from '../../../image/agent/member/boot-server.ts';
import { spkiOf } from '../../../keys/authority.ts';
import { NODE_URI, PATHS, SERVER_NAME } from '../../../protocol/enrolment/messages.ts';
import { Fleet, type Leaf, serve } from './support/fleet.ts';
import { RUNNING, Wire } from './support/node.ts';

const fleet = await Fleet.make();
test.after.always(() => fleet.remove());

/** Bans whatever a test says. */
class Bans implements BanList {
  readonly #banned: Bearer[] = [];
  readonly #listeners: (() => void)[] = [];

  banOf(bearer: Bearer) {
    const hit = this.#banned.some((one) =>
      (['id', 'serial', 'key'] as const).some((k) => one[k] !== undefined && one[k] === bearer[k]),
    );
    return hit ? { id: 'b1', reason: 'stolen' } : null;
  }

  onBan(listener: () => void) {
    this.#listeners.push(listener);
  }

  ban(bearer: Bearer, { tell } = { tell: true }) {
    this.#banned.push(bearer);
    if (tell) for (const listener of this.#listeners) listener();
  }
}

const leafOf = (id: string): Leaf =>
  fleet.leaf(fleet.authorities.nodes, { usage: 'client', uris: [`${NODE_URI}${id}`] });

async function setup(t: ExecutionContext) {
  const bans = new Bans();
  const server = await serve(fleet, { bans });
  t.teardown(() => server.stop());
  const node = (id: string) => {
    const leaf = leafOf(id);
    server.directory.certificates.set(id, {
      serial: leaf.serial,
      spkiDigest: '',
      notBefore: 0,
      notAfter: Number.MAX_SAFE_INTEGER,
    });
    const wire = new Wire(server.url, fleet.root, { key: leaf.keyPem, chain: leaf.chain });
    t.teardown(() => wire.close());
    const beat = () => wire.send(PATHS.heartbeat, { running: RUNNING, uptime: 1, healthy: true, reason: '' });
    return { id, leaf, beat };
  };
  return { bans, server, node };
}

/** A connection of the node's own, idle after one answer: the server has seen whose it is. */
async function open(t: ExecutionContext, port: number, leaf: Leaf): Promise<TLSSocket> {
  const socket = connect({
    host: '127.0.0.1',
    port,
    servername: SERVER_NAME,
    ca: fleet.root,
    key: leaf.keyPem,
    cert: leaf.chain,
    minVersion: 'TLSv1.3',
  });
  t.teardown(() => socket.destroy());
  await once(socket, 'secureConnect');
  socket.on('error', () => {});
  socket.write('GET / HTTP/1.1\r\nHost: boot\r\n\r\n');
  await once(socket, 'data');
  socket.resume();
  return socket;
}

const ways: [string, (leaf: Leaf, id: string) => Bearer][] = [
  ['a node', (_, id) => ({ id })],
  ['a serial number', (leaf) => ({ serial: leaf.serial })],
  ['a key', (leaf) => ({ key: sha256(spkiOf(leaf.key)).toString('hex') })],
];

for (const [what, of] of ways) {
  test(`a ban of ${what} cuts the open connections of the banned and refuses new ones with a code`, async (t) => {
    const { bans, server, node } = await setup(t);
    const [good, bad] = [node('tpm-good'), node('tpm-bad')];
    await Promise.all([good.beat(), bad.beat()]);
    const idle = await open(t, server.port, bad.leaf);
    const kept = await open(t, server.port, good.leaf);
    const cut = once(idle, 'close');
    bans.ban(of(bad.leaf, bad.id));
    await cut;
    const error = await t.throwsAsync(bad.beat(), { instanceOf: ServerRefused });
    t.like(error, { code: 'CERTIFICATE_BANNED', what: 'this certificate is banned: stolen' });
    t.like(server.directory.refusals.at(-1), {
      code: 'CERTIFICATE_BANNED',
      from: '127.0.0.1',
      id: 'tpm-bad',
    });
    await good.beat();
    t.false(kept.destroyed);
    t.is(server.directory.heartbeats.filter(({ id }) => id === 'tpm-bad').length, 1);
  });
}

test('every request is asked about anew, on connections that are open already, whatever it is for', async (t) => {
  const { bans, server, node } = await setup(t);
  const bad = node('tpm-bad');
  await bad.beat();
  const wire = new Wire(server.url, fleet.root, { key: bad.leaf.keyPem, chain: bad.leaf.chain });
  t.teardown(() => wire.close());
  await wire.start();
  bans.ban({ id: 'tpm-bad' }, { tell: false });
  t.like(await t.throwsAsync(bad.beat()), { code: 'CERTIFICATE_BANNED' });
  t.like(await t.throwsAsync(wire.start()), { code: 'CERTIFICATE_BANNED' });
});

test('who shows no certificate may enrol while others are banned', async (t) => {
  const { bans, server } = await setup(t);
  bans.ban({ id: 'tpm-bad' });
  const wire = new Wire(server.url, fleet.root);
  t.teardown(() => wire.close());
  t.is((await wire.start()).session.length, 32);
});

test("a certificate of somebody's own, with a banned number and the name of a node, says nothing of that node", async (t) => {
  const { bans, server, node } = await setup(t);
  const bad = node('tpm-bad');
  const others = await Fleet.make('theirs');
  t.teardown(() => others.remove());
  const made = others.leaf(others.authorities.nodes, { usage: 'client', uris: [`${NODE_URI}tpm-victim`] });
  for (const { serial } of [bad.leaf, made]) bans.ban({ serial });
  const wire = new Wire(server.url, fleet.root, { key: made.keyPem, chain: made.chain });
  t.teardown(() => wire.close());
  t.like(await t.throwsAsync(wire.start()), { code: 'CERTIFICATE_BANNED' });
  t.deepEqual(server.directory.caughtAs, []);
  await t.throwsAsync(bad.beat());
  t.deepEqual(server.directory.caughtAs, [{ id: 'tpm-bad', code: 'CERTIFICATE_BANNED' }]);
});
