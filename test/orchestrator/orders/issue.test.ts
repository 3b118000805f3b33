import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { keyLayout } from '../../../keys/layout.ts';
import { nextOrder, ORDER_LIVES, type Wanted } from '../../../orchestrator/orders/issue.ts';
import { loadOrderKey } from '../../../orchestrator/orders/key.ts';
import { readOrderKeys, verifyOrder } from '../../../protocol/order-envelope.ts';
import { keysIn } from '../../support/keys.ts';
import { signOrder } from '../../support/sign-order.ts';

const NODE = `tpm-${'a'.repeat(64)}`;
const NOW = Date.UTC(2026, 0, 1);
const service = (name: string, version = '1') => ({ name, version, sha256: 'd'.repeat(64), size: 7 });
const wanted: Wanted = {
  services: [],
  mode: 'installed',
  image: { version: '1.2', sha256: 'b'.repeat(64), size: 1000 },
  config: null,
  wipe: false,
  forgiven: [],
};

test('the first order has epoch 1; asked again, it is the same order', (t) => {
  const first = nextOrder(NODE, wanted, null, NOW);
  t.true(first.isNew);
  t.is(first.order.epoch, 1);
  t.deepEqual(nextOrder(NODE, { ...wanted }, first.order, NOW + 1000), { order: first.order, isNew: false });
});

test('any other content has the next epoch', (t) => {
  const { order } = nextOrder(NODE, wanted, null, NOW);
  const others: Partial<Wanted>[] = [
    { mode: 'netboot' },
    { image: null },
    { image: { ...wanted.image!, sha256: 'c'.repeat(64) } },
    { image: { ...wanted.image!, version: '1.3' } },
    { image: { ...wanted.image!, size: 1001 } },
    { config: 'd'.repeat(64) },
    { services: [service('fleet/a')] },
    { wipe: true },
    { forgiven: ['1.1'] },
  ];
  for (const other of others) {
    const next = nextOrder(NODE, { ...wanted, ...other }, order, NOW);
    t.true(next.isNew, JSON.stringify(other));
    t.is(next.order.epoch, 2);
    t.like(next.order, other);
  }
});

test('an order is issued again before it expires', (t) => {
  const { order } = nextOrder(NODE, wanted, null, NOW);
  t.false(nextOrder(NODE, wanted, order, NOW + ORDER_LIVES.tpm * 0.6).isNew);
  const renewed = nextOrder(NODE, wanted, order, NOW + ORDER_LIVES.tpm * 0.7).order;
  t.is(renewed.epoch, 2);
  t.true(renewed.expires > order.expires);
});

test('the epoch that a node reports wins over a record that lost writes', (t) => {
  const { order } = nextOrder(NODE, wanted, null, NOW);
  t.is(nextOrder(NODE, wanted, order, NOW, 7).order.epoch, 8);
  t.is(nextOrder(NODE, wanted, null, NOW, 7).order.epoch, 8);
});

test('an order to wipe is never repeated by itself', (t) => {
  const wipe = { ...wanted, wipe: true };
  const { order } = nextOrder(NODE, wipe, null, NOW);
  t.false(nextOrder(NODE, wipe, order, NOW + 1000).isNew);
  t.throws(() => nextOrder(NODE, wipe, order, NOW + ORDER_LIVES.wipe * 0.7), { code: 'ORDER_WIPE_STALE' });
  t.throws(() => nextOrder(NODE, wipe, order, NOW + 1000, 5), { code: 'ORDER_WIPE_STALE' });
  const late = NOW + ORDER_LIVES.wipe * 0.7;
  t.throws(() => nextOrder(NODE, wipe, order, late, 0, NOW), { code: 'ORDER_WIPE_STALE' }, 'asked before it');
  t.is(nextOrder(NODE, wipe, order, late, 0, NOW + 1).order.epoch, 2, 'a person asked again');
  t.false(nextOrder(NODE, wanted, order, NOW + ORDER_LIVES.wipe * 0.7).order.wipe);
});

test('epochs never fall, whatever is wanted and whatever the clock does', (t) => {
  const want = fc.record({
    mode: fc.constantFrom('installed' as const, 'netboot' as const),
    image: fc.constantFrom(null, wanted.image),
    services: fc.subarray([service('fleet/a'), service('fleet/b')]),
    config: fc.constantFrom(null, 'e'.repeat(64)),
    wipe: fc.constant(false),
    forgiven: fc.subarray(['1.0', '1.1']),
  });
  fc.assert(
    fc.property(
      fc.array(fc.tuple(want, fc.integer({ min: 0, max: 2e12 }), fc.nat(20)), { maxLength: 30 }),
      (steps) => {
        let last: ReturnType<typeof nextOrder>['order'] | null = null;
        for (const [next, now, floor] of steps) {
          const { order, isNew } = nextOrder(NODE, next, last, now, floor);
          if (last !== null && (isNew ? order.epoch <= last.epoch : order !== last)) return false;
          if (order.epoch < floor) return false;
          last = order;
        }
        return true;
      },
    ),
  );
  t.pass();
});

test('the key of a keys folder signs what its public half verifies', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-orders-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await t.throwsAsync(loadOrderKey(folder), { code: 'ORDER_KEY_MISSING' });
  await keysIn(folder);
  const envelope = signOrder(nextOrder(NODE, wanted, null, NOW).order, await loadOrderKey(folder));
  const keys = readOrderKeys(await readFile(keyLayout(folder).order.pub, 'utf8'));
  t.is(verifyOrder(envelope, keys, { nodeId: NODE, now: NOW, last: null }).order.epoch, 1);
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  await writeFile(keyLayout(folder).order.key, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  await t.throwsAsync(loadOrderKey(folder), { code: 'ORDER_KEY_FILE' });
});
