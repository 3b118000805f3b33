import { generateKeyPairSync } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { makeHostKey } from '../../../image/agent/root/host-key.ts';
import { FAULTS, type Faults, noFaults, randomFaults } from '../../../lab/sim/fault.ts';
import { SimNode } from '../../../lab/sim/node.ts';
import { simSshd } from '../../../lab/sim/ssh.ts';
import { LinkPool } from '../../../orchestrator/transport/pool.ts';
import { ORDER_FORMAT, type Order } from '../../../protocol/order.ts';
import { orderKeyId } from '../../../protocol/order-envelope.ts';
import { signOrder } from '../../support/sign-order.ts';

const ID = `tpm-${'a'.repeat(64)}`;

async function nodeFor(t: ExecutionContext, faults: Faults = noFaults) {
  const client = makeHostKey();
  const key = generateKeyPairSync('ed25519');
  const stop = new AbortController();
  const server = await simSshd(client.line, '127.0.0.1', 0);
  const node = new SimNode({
    id: ID,
    number: 0,
    version: '1.0',
    orderKeys: new Map([[orderKeyId(key.publicKey), key.publicKey]]),
    faults,
    times: { stage: 5, restart: 20, trouble: 50 },
    signal: stop.signal,
    onUp: async (node) => server.up(node.hostKey.file, node.handlers),
    onDown: (_node, how) => server.down(how),
  });
  await node.boot('1.0');
  const shown = { line: null as string | null };
  const poolWith = (privateKey: string) => {
    const pool = new LinkPool({
      privateKey,
      resolve: async (id) => ({
        id,
        host: '127.0.0.1',
        port: server.port,
        hostKey: shown.line ?? node.hostKey.line,
        group: 'site',
      }),
      limits: { first: 20, most: 50, rate: 1000 },
      signal: stop.signal,
    });
    t.teardown(() => pool.close());
    return pool;
  };
  t.teardown(async () => {
    stop.abort();
    await server.close();
  });
  const pool = poolWith(client.file);
  const order = (epoch: number, version: string, signer = key.privateKey) => {
    const now = Date.now();
    const image = { version, sha256: 'b'.repeat(64), size: 1 };
    const what: Order = {
      format: ORDER_FORMAT,
      node: ID,
      epoch,
      issuedAt: now,
      expires: now + 60_000,
      mode: 'installed',
      image,
      services: [],
      config: null,
      wipe: false,
      forgiven: [],
    };
    return { envelope: signOrder(what, signer) };
  };
  return { node, pool, poolWith, shown, order };
}

/** A connection may be cut by a restart; then it is asked again. */
async function statusOf(pool: LinkPool) {
  for (;;) {
    try {
      return (await pool.request(ID, 'status', {}, { connectWithin: 10_000 })).result;
    } catch (error) {
      if ((error as { code?: string }).code !== 'LINK_CUT') throw error;
    }
  }
}

test('a node is staged, activated once per boot, and reports what it runs', async (t) => {
  const { node, pool, order } = await nodeFor(t);
  await pool.request(ID, 'order', order(1, '2.0'));
  await pool.request(ID, 'stage', { epoch: 1 });
  const { bootId } = node;
  await pool.request(ID, 'activate', { epoch: 1, bootId });
  let status = await statusOf(pool);
  while (status.running.version !== '2.0') status = await statusOf(pool);
  t.not(status.running.bootId, bootId);
  const again = pool.request(ID, 'activate', { epoch: 1, bootId }, { connectWithin: 10_000 });
  t.is(((await t.throwsAsync(again)) as unknown as { code: string }).code, 'LINK_RESTARTED');
});

test('it obeys no order of another key and knows its own host key anew at every boot', async (t) => {
  const { node, pool, shown, order } = await nodeFor(t);
  const stranger = generateKeyPairSync('ed25519').privateKey;
  const refused = await t.throwsAsync(pool.request(ID, 'order', order(1, '2.0', stranger)));
  t.is((refused as unknown as { code: string }).code, 'ORDER_KEY_UNKNOWN');
  t.is(node.epoch, 0);

  const before = node.hostKey.line;
  pool.drop(ID);
  await node.boot('1.0');
  t.not(node.hostKey.line, before);
  shown.line = before;
  const impostor = await t.throwsAsync(pool.request(ID, 'status', {}));
  t.is((impostor as unknown as { code: string }).code, 'LINK_HOST_KEY');
});

test('a stranger does not log in', async (t) => {
  const { poolWith } = await nodeFor(t);
  const error = await t.throwsAsync(poolWith(makeHostKey().file).request(ID, 'status', {}));
  t.is((error as unknown as { code: string }).code, 'LINK_AUTH');
});

test('half a file is not an image: the second attempt writes it whole', async (t) => {
  const { node, pool, order } = await nodeFor(t, (_, version) => (version === '2.0' ? 'half-write' : null));
  await pool.request(ID, 'order', order(1, '2.0'));
  await t.throwsAsync(pool.request(ID, 'stage', { epoch: 1 }));
  t.false(node.has('2.0'));
  await pool.request(ID, 'stage', { epoch: 1 }, { connectWithin: 10_000 });
  t.true(node.has('2.0'));
  t.is(node.lastGood, '1.0');
});

test('the same seed gives the same faults, about as many as asked for', (t) => {
  const pick = (seed: number) => {
    const faults = randomFaults(seed, 0.2, '2.0');
    return Array.from({ length: 1000 }, (_, n) => faults(n, '2.0'));
  };
  t.deepEqual(pick(7), pick(7));
  t.notDeepEqual(pick(7), pick(8));
  const hit = pick(7).filter((fault) => fault !== null);
  t.true(hit.length > 150 && hit.length < 250, String(hit.length));
  t.is(new Set(hit).size, FAULTS.length);
  t.is(randomFaults(7, 1, '2.0')(0, '1.0'), null);
});
