import test from 'ava';
import { readChain } from '../../../../orchestrator/rollout/run/chain.ts';
import { forgetOld, OLD } from '../../../../orchestrator/rollout/run/forget.ts';
import { ROLLOUT_KEYS } from '../../../../orchestrator/rollout/run/keys.ts';
import { listRollouts } from '../../../../orchestrator/rollout/run/list.ts';
import { readRollout, readSetup } from '../../../../orchestrator/rollout/run/stored.ts';
import { silent } from '../../fleet/support.ts';
import { membersFor } from './members.ts';

test('rollouts that ended long ago leave nothing behind, and the newest stay however old they are', async (t) => {
  const { redis, member, start } = await membersFor(t);
  const ids: string[] = [];
  for (let i = 0; i < OLD.keep + 3; i += 1) {
    await member(i + 1);
    const id = await start({});
    await redis.srem(ROLLOUT_KEYS.live, id);
    const rollout = await readRollout(redis, id);
    const body = JSON.stringify({ ...rollout, state: 'aborted', endedAt: i + 1 });
    await redis.hset(ROLLOUT_KEYS.rollout(id), { state: 'aborted', body });
    ids.push(id);
  }
  t.deepEqual(await forgetOld(redis, { at: OLD.age, published: ['1.0'], log: silent }), [], 'none is so old');

  await redis.hset(ROLLOUT_KEYS.refusers('2.0'), 'a-node', 'it smells');
  // One that waits for it has to learn how it ended; one that cannot be read stops none of the others.
  const [waitedFor, spoilt, old] = ids as [string, string, string];
  await member(ids.length + 1);
  const live = await start({});
  await redis.sadd(ROLLOUT_KEYS.followers(waitedFor), live);
  await redis.hset(ROLLOUT_KEYS.setup(spoilt), 'body', '{');
  const newest = ids.at(-1)!;
  const { digest: _, ...plan } = await readSetup(redis, old);
  const after = { rollout: newest, how: 'after' };
  const setup = JSON.stringify({ ...plan, setup: { ...plan.setup, after } });
  await redis.hset(ROLLOUT_KEYS.setup(old), 'body', setup);
  await redis.sadd(ROLLOUT_KEYS.followers(newest), old);
  t.deepEqual(await forgetOld(redis, { at: OLD.age * 2, published: ['1.0'], log: silent }), [old]);
  t.deepEqual(await redis.keys(`*${old}*`), []);
  t.is(await redis.exists(ROLLOUT_KEYS.refusers('2.0')), 0, 'nobody can be given 2.0 any more');
  t.false((await redis.smembers(ROLLOUT_KEYS.all)).includes(old));
  t.deepEqual(await redis.smembers(ROLLOUT_KEYS.followers(newest)), []);
  // As one leaves them that was forgotten between two reads.
  await redis.sadd(ROLLOUT_KEYS.followers(newest), old);
  await redis.sadd(ROLLOUT_KEYS.all, old);
  t.deepEqual(
    (await readChain(redis, newest)).map(({ id }) => id),
    [newest],
  );
  t.true((await redis.exists(ROLLOUT_KEYS.rollout(waitedFor))) === 1);

  await redis.del(ROLLOUT_KEYS.followers(waitedFor));
  await redis.hdel(ROLLOUT_KEYS.setup(spoilt), 'body');
  t.deepEqual(await forgetOld(redis, { at: OLD.age * 2, published: ['1.0'], log: silent }), [waitedFor]);
  await redis.srem(ROLLOUT_KEYS.all, spoilt);
  const left = (await listRollouts(redis)).map(({ id }) => id);
  for (const id of ids.slice(-OLD.keep)) t.true(left.includes(id));
});
