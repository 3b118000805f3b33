import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { answer, claim } from '../../../../orchestrator/rollout/run/ask.ts';
import { ROLLOUT_KEYS } from '../../../../orchestrator/rollout/run/keys.ts';
import { operate } from '../../../../orchestrator/rollout/run/operate.ts';
import { readRollout } from '../../../../orchestrator/rollout/run/stored.ts';
import { Lease } from '../../../../orchestrator/upkeep/lease.ts';
import { membersFor } from './members.ts';

test('the driver of a rollout writes what people ask of it, and nobody races it for the revision', async (t) => {
  const { redis, member, start } = await membersFor(t);
  await member(1);
  const id = await start({});
  const lease = new Lease(redis, id);
  t.true(await lease.take());
  t.teardown(() => lease.release());
  const before = await readRollout(redis, id);
  const asked = operate(redis, id, { type: 'pause', by: 'operator:ann', why: 'lunch' });
  const word = async (): Promise<string> => {
    for (;;) {
      const posted = (await redis.xrange(ROLLOUT_KEYS.inbox(id), '-', '+')).map(([, fields]) =>
        JSON.parse(fields[1] ?? '{}'),
      );
      const found = posted.find(({ type, ask }) => type === 'pause' && ask !== undefined);
      if (found !== undefined) return found.ask;
      await sleep(5);
    }
  };
  const taken = await Promise.race([word(), asked.then(() => null)]);
  if (taken === null) return t.fail('it was written from outside');
  t.true(await claim(redis, taken));
  await answer(redis, taken, { rollout: { ...before, why: 'said by its driver' }, refusal: null });
  t.is((await asked).why, 'said by its driver');
  t.is((await readRollout(redis, id)).rev, before.rev);
});
