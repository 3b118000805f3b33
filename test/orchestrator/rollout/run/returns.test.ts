import test from 'ava';
import { KEYS } from '../../../../orchestrator/fleet/keys.ts';
import { followReturns } from '../../../../orchestrator/rollout/run/returns.ts';
import { redisFor } from '../../fleet/support.ts';

test('who enrols and who is a member again is told, once it is written; nothing else is', async (t) => {
  const { redis } = await redisFor(t);
  const add = (action: string, node: string) =>
    redis.xadd(KEYS.audit, '*', 'entry', JSON.stringify({ at: 1, node, action }));
  await add('enrol', 'before');
  const stop = new AbortController();
  const told: string[] = [];
  const blocking = redis.duplicate();
  const following = followReturns(blocking, stop.signal, (nodes) => told.push(...nodes));
  t.teardown(async () => {
    stop.abort();
    await following;
    blocking.disconnect();
  });
  // What it has read decides where it goes on from: wait until it reads.
  while (!String(await redis.client('LIST')).includes('cmd=xread')) await new Promise(setImmediate);
  await add('enrol', 'restarted');
  await add('approve', 'approved');
  await add('heartbeat', 'member');
  await add('rollout', 'moved');
  await add('enrol', 'last');
  while (!told.includes('last')) await new Promise(setImmediate);
  t.deepEqual(told, ['restarted', 'member', 'last']);
});
