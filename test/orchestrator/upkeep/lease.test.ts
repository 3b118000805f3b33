import { once } from 'node:events';
import test, { type ExecutionContext } from 'ava';
import type { Redis } from 'ioredis';
import { isHeld, Lease, leaseKey } from '../../../orchestrator/upkeep/lease.ts';
import { redisFor } from '../fleet/support.ts';

/** Connections of two orchestrators, and a third one that looks on. */
async function orchestrators(t: ExecutionContext) {
  const { redis } = await redisFor(t);
  const connected = async () => {
    const own = redis.duplicate({ lazyConnect: true });
    await own.connect();
    t.teardown(() => own.disconnect());
    return own;
  };
  return { redis, one: await connected(), two: await connected() };
}

/** Resolves when Redis knows of the end of this connection. */
async function ended(redis: Redis, id: number): Promise<void> {
  while (String(await redis.client('LIST', 'ID', id)).trim() !== '') await new Promise(setImmediate);
}

test('one has it, and while it lives nobody else; who let it go has it no more', async (t) => {
  const { redis, one, two } = await orchestrators(t);
  const [first, second] = [new Lease(one, 'ro-1'), new Lease(two, 'ro-1')];
  t.true(await first.take());
  t.false(await second.take());
  t.false(await second.renew());
  t.true(await first.renew());
  t.true(await isHeld(redis, 'ro-1'));
  await second.release();
  t.true(await isHeld(redis, 'ro-1'));
  await first.release();
  t.false(await isHeld(redis, 'ro-1'));
  t.true(await second.take());
});

test('whoever has died leaves it to the next one at once, and has it no more if it was only cut off', async (t) => {
  const { redis, one, two } = await orchestrators(t);
  const [first, second] = [new Lease(one, 'ro-1'), new Lease(two, 'ro-1')];
  await first.take();
  const id = await one.client('ID');
  one.disconnect();
  await ended(redis, id);
  t.false(await isHeld(redis, 'ro-1'), 'long before its time is over');
  t.true((await redis.pttl(leaseKey('ro-1'))) > 0);
  t.true(await second.take());
  await one.connect();
  t.false(await first.renew());
  t.false(await first.take());
  t.true(await second.renew());
});

test('a connection that was lost and made again does not cost its holder the lease', async (t) => {
  const { redis, one, two } = await orchestrators(t);
  const [first, second] = [new Lease(one, 'ro-1'), new Lease(two, 'ro-1')];
  await first.take();
  const id = await one.client('ID');
  const again = once(one, 'ready');
  await redis.client('KILL', 'ID', id);
  await Promise.all([ended(redis, id), again]);
  t.true(await first.renew());
  t.true(await isHeld(redis, 'ro-1'));
  t.false(await second.take());
});

test('a lease that names no connection is waited for', async (t) => {
  const { redis, one } = await orchestrators(t);
  await redis.set(leaseKey('ro-1'), 'of-an-older-version');
  t.true(await isHeld(redis, 'ro-1'));
  t.false(await new Lease(one, 'ro-1').take());
});
