/** Decisions about the life of versions, on a real Redis that somebody else writes to. */
import test from 'ava';
import fc from 'fast-check';
import { DecidedLives, LIVES, lifeKey } from '../../../orchestrator/fleet/decisions/lives.ts';
import { decideLife, listLives, readLife, repairLives } from '../../../orchestrator/services/lives.ts';
import { rewrite } from '../../attack/redis/server.ts';
import { servicesFor } from './world.ts';

const BY = { actor: 'operator:ann', at: 7 };
const OLD = 'fleet/chrony:4.3';
const WORD = { successor: null, on: null, template: null, reason: '' };
const DEPRECATED = { ...WORD, state: 'deprecated' as const, successor: 'fleet/chrony:4.4' };

test('said, said again, taken back: each with who and when, and in the history', async (t) => {
  const { fleet } = await servicesFor(t);
  t.is(await readLife(fleet, OLD), undefined);
  t.true((await decideLife(fleet, OLD, DEPRECATED, { ...BY, person: ['p1'] })).changed);
  t.false((await decideLife(fleet, OLD, DEPRECATED, { actor: 'operator:bob', at: 8 })).changed);
  t.like(await readLife(fleet, OLD), { ...DEPRECATED, by: 'operator:ann', at: 7, epoch: 1, person: ['p1'] });
  const again = await decideLife(fleet, OLD, DEPRECATED, { actor: 'operator:bob', at: 8 }, true);
  t.like(again, { changed: true, life: { epoch: 2, by: 'operator:bob' }, before: { epoch: 1 } });
  await Promise.all(
    (['current', 'preview'] as const).map((state) => decideLife(fleet, OLD, { ...WORD, state }, BY)),
  );
  t.is((await readLife(fleet, OLD))?.epoch, 4, 'two at the same moment are one after the other');
  const told = (await fleet.audit.read()).filter(({ action }) => action === 'service-life');
  t.is(told.length, 4);
  t.is(told[0]?.reason, `${OLD} is deprecated, its successor is fleet/chrony:4.4`);
});

test('whoever owns Redis decides nothing: a forged copy is named, not believed, and written again', async (t) => {
  const { fleet, redis, open, written } = await servicesFor(t);
  await decideLife(fleet, OLD, { ...DEPRECATED, on: 9_000_000_000_000 }, BY);
  t.deepEqual(await repairLives(fleet), [], 'nothing is wrong');
  await rewrite(redis, lifeKey(OLD), (body) => ({ ...body, on: 1, epoch: 2 ** 52 }));
  await rewrite(redis, lifeKey('fleet/unbound:1'), () => ({
    ...DEPRECATED,
    service: 'fleet/unbound:1',
    epoch: 1,
  }));
  await redis.sadd(LIVES, 'fleet/unbound:1');
  t.is((await readLife(fleet, OLD))?.on, 9_000_000_000_000);
  t.deepEqual([...(await listLives(fleet)).keys()], [OLD]);
  t.is(written.filter((line) => line.includes('RECORD_DISAGREES')).length, 2, written.join('\n'));
  t.deepEqual(await repairLives(fleet), [OLD]);
  t.like(JSON.parse((await redis.hget(lifeKey(OLD), 'body')) ?? ''), { on: 9_000_000_000_000, epoch: 1 });
  for (const spoil of [
    () => redis.unlink(lifeKey(OLD)),
    () => redis.unlink(lifeKey(OLD)).then(() => redis.set(lifeKey(OLD), 'x')),
    () => redis.hset(lifeKey(OLD), { epoch: 'x' }),
    () => redis.hset(lifeKey(OLD), { body: '{' }),
    () => redis.srem(LIVES, OLD),
  ]) {
    await spoil();
    t.deepEqual(await repairLives(fleet), [OLD]);
    t.deepEqual(await repairLives(fleet), []);
  }
  // One of which only Redis speaks stands in nobody's way.
  t.is((await decideLife(fleet, 'fleet/unbound:1', DEPRECATED, BY)).life.epoch, 1);
  const other = await open();
  t.is((await readLife(other.fleet, OLD))?.on, 9_000_000_000_000, 'after a restart');
  t.is(other.fleet.decisions.rollouts.lives.of(OLD)?.on, 9_000_000_000_000);
});

test('the retirement on which a rollout rests is the last word, and no other', async (t) => {
  const { fleet } = await servicesFor(t);
  const lives = () => fleet.decisions.rollouts.lives;
  await decideLife(fleet, OLD, DEPRECATED, BY);
  t.is(lives().retirement({ service: OLD, epoch: 1 }), undefined, 'no day was named');
  await decideLife(fleet, OLD, { ...DEPRECATED, on: 5 }, BY);
  t.like(lives().retirement({ service: OLD, epoch: 2 }), { on: 5, successor: 'fleet/chrony:4.4' });
  t.is(lives().retirement({ service: OLD, epoch: 1 }), undefined);
  t.is(lives().retirement({ service: OLD, epoch: 3 }), undefined);
  await decideLife(fleet, OLD, { ...WORD, state: 'current' }, BY);
  t.is(lives().retirement({ service: OLD, epoch: 2 }), undefined, 'taken back');
});

test('whatever stands in the log under the name of a life is read or left, and hides no other', (t) => {
  const any = fc.oneof(
    fc.string(),
    fc.json(),
    fc.constant(JSON.stringify({ ...DEPRECATED, service: OLD, on: 'x' })),
  );
  fc.assert(
    fc.property(any, fc.string(), (body, name) => {
      const lives = new DecidedLives();
      const good = { ...DEPRECATED, service: OLD, on: 5, epoch: 1, by: 'x', at: 1 };
      lives.add({ key: lifeKey(OLD), body: JSON.stringify(good) });
      t.notThrows(() => lives.add({ key: lifeKey(`x${name}`), body }));
      t.is(lives.retirement({ service: OLD, epoch: 1 })?.on, 5);
    }),
  );
});
