import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { BootwaveError } from '../../../../base/error.ts';
import { OrderBook } from '../../../../image/agent/member/order-book.ts';
import type { Order } from '../../../../protocol/order.ts';
import { orderKeyId } from '../../../../protocol/order-envelope.ts';
import { signOrder } from '../../../support/sign-order.ts';

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const keys = new Map([[orderKeyId(publicKey), publicKey]]);
const T0 = Date.UTC(2026, 5, 1);
const DAY = 24 * 3600_000;

const order = (epoch: number, more: Partial<Order> = {}): Order => ({
  format: 1,
  node: 'tpm-1',
  epoch,
  issuedAt: T0,
  expires: T0 + DAY,
  mode: 'netboot',
  image: null,
  services: [],
  config: null,
  wipe: false,
  forgiven: [],
  ...more,
});
const signed = (epoch: number, more: Partial<Order> = {}) => signOrder(order(epoch, more), privateKey);

async function setUp(t: ExecutionContext) {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-orders-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'order.json');
  const book = (now = T0, take: (envelope: unknown) => Promise<unknown> = async () => {}) =>
    new OrderBook({ node: 'tpm-1', keys, path, now: () => now, take });
  return { path, book };
}

test('a newer order replaces, the same one is the same, an older one is refused, also after a restart', async (t) => {
  const { book } = await setUp(t);
  const first = book();
  t.is((await first.accept(signed(2))).accepted, 'new');
  t.is((await first.accept(signed(2))).accepted, 'same');
  await t.throwsAsync(first.accept(signed(1)), { code: 'ORDER_EPOCH_OLD' });
  const second = book();
  t.is(second.inForce, null);
  await second.load();
  t.is(second.inForce?.order.epoch, 2);
  await t.throwsAsync(second.accept(signed(1)), { code: 'ORDER_EPOCH_OLD' });
  t.is((await second.accept(signed(2))).accepted, 'same');
});

test('two orders at once: the lower epoch never ends up in force', async (t) => {
  const { book } = await setUp(t);
  const it = book();
  const answers = await Promise.allSettled([it.accept(signed(5)), it.accept(signed(4))]);
  t.is(answers[1]?.status, 'rejected');
  t.is(it.inForce?.order.epoch, 5);
});

test('an order that has expired since still holds its epoch', async (t) => {
  const { book } = await setUp(t);
  await book().accept(signed(7));
  const later = book(T0 + 2 * DAY);
  await later.load();
  t.is(later.inForce?.order.epoch, 7);
  await t.throwsAsync(later.accept(signed(6, { expires: T0 + 5 * DAY })), { code: 'ORDER_EPOCH_OLD' });
});

test('a file that the fleet did not sign, or signed for another node, is none', async (t) => {
  const { book, path } = await setUp(t);
  const stranger = generateKeyPairSync('ed25519').privateKey;
  for (const content of [
    JSON.stringify(signOrder(order(9), stranger)),
    JSON.stringify(signed(9, { node: 'tpm-2' })),
    JSON.stringify(signed(9)).slice(0, 50),
    '{"payload": 1}',
    'null',
  ]) {
    await writeFile(path, content);
    const it = book();
    await it.load();
    t.is(it.inForce, null, content.slice(0, 40));
  }
});

test('an order that cannot be kept is not obeyed', async (t) => {
  const { path } = await setUp(t);
  const gone = new OrderBook({
    node: 'tpm-1',
    keys,
    path: join(path, 'no/folder'),
    now: () => T0,
    take: async () => {},
  });
  await t.throwsAsync(gone.accept(signed(1)));
  t.is(gone.inForce, null);
});

test('what was taken in memory is written again to the place that was mounted over it', async (t) => {
  const { book, path } = await setUp(t);
  const it = book();
  await it.accept(signed(3));
  await rm(path);
  await it.keep();
  t.deepEqual(JSON.parse(await readFile(path, 'utf8')), signed(3));
});

test('what root refuses is not obeyed, whether it comes over the link or lies on the disk', async (t) => {
  const { book } = await setUp(t);
  const refuse = (code: string) => async () => {
    throw new BootwaveError({ code, what: code });
  };
  const it = book(T0, refuse('ORDER_BELOW_FLOOR'));
  await t.throwsAsync(it.accept(signed(3)), { code: 'ORDER_BELOW_FLOOR' });
  t.is(it.inForce, null);

  await book().accept(signed(3));
  const rolledBack = book(T0, refuse('ORDER_EPOCH_OLD'));
  await rolledBack.load();
  t.is(rolledBack.inForce, null);
  const aged = book(T0 + 2 * DAY, refuse('ORDER_EXPIRED'));
  await aged.load();
  t.is(aged.inForce?.order.epoch, 3);
});
