/** What was tried on documents that people decide (profiles, capacity and the like) by somebody with every right over Redis. */
import test from 'ava';
import { z } from 'zod';
import { Shelf } from '../../../orchestrator/fleet/decisions/shelf.ts';
import { at } from '../../../orchestrator/fleet/keys.ts';
import { by, rewrite, server } from './server.ts';

const shelf = new Shelf('tool', z.object({ size: z.number() }));
const key = (name: string) => at('shelf', 'tool', name);
const word = { ...by, reason: 'why not' };

test('changed, deleted, rolled back and forged: documents are as people decided them', async (t) => {
  const { redis, fleet, open } = await server(t);
  const size = async (name: string) => (await shelf.get(fleet, name))?.value.size;
  await shelf.decide(fleet, 'saw', () => ({ size: 1 }), word);
  const before = await redis.hgetall(key('saw'));
  t.true((await shelf.decide(fleet, 'saw', () => ({ size: 2 }), word)).changed);
  t.false((await shelf.decide(fleet, 'saw', () => 'same', word)).changed);
  await rewrite(redis, key('saw'), (body) => ({ ...body, epoch: 99, value: { size: 9 } }));
  t.is(await size('saw'), 2);
  await redis.hset(key('saw'), before);
  t.is(await size('saw'), 2);
  await redis.del(key('saw'), at('shelves', 'tool'));
  t.is(await size('saw'), 2);
  t.deepEqual(
    (await shelf.list((await open()).fleet)).map(({ name }) => name),
    ['saw'],
  );
  await rewrite(redis, key('axe'), () => ({
    ...{ name: 'axe', epoch: 1, by: 'eve', at: 1, reason: '' },
    value: { size: 3 },
  }));
  await redis.sadd(at('shelves', 'tool'), 'axe');
  t.is(await size('axe'), undefined);
  t.is((await shelf.decide(fleet, 'saw', () => null, word)).document?.epoch, 3);
  await redis.hset(key('saw'), before);
  t.is(await size('saw'), undefined, 'what was taken away stays away');
  t.deepEqual(await shelf.list(fleet), []);
  t.false((await shelf.decide(fleet, 'saw', () => null, word)).changed);
});
