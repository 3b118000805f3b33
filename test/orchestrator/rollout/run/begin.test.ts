import test from 'ava';
import { Fleet } from '../../../../orchestrator/fleet/fleet.ts';
import { listRollouts } from '../../../../orchestrator/rollout/run/list.ts';
import { DOCUMENT, dyingAfter, worldFor } from './waiting-world.ts';

test('a server that is killed while somebody starts a rollout leaves none, or one that runs, whatever comes after it', async (t) => {
  const { member, begin, redis } = await worldFor(t);
  await member(1);
  let kills = 0;
  for (; (await listRollouts(redis)).length === 0; kills += 1) {
    const fleet = new Fleet(dyingAfter(redis, kills));
    await begin({ ...DOCUMENT, then: [{ config: '1' }] }, {}, fleet).catch(() => {});
  }
  t.true(kills > 10, `${kills}`);
  const states = (await listRollouts(redis)).map(({ state }) => state);
  t.deepEqual(states.sort(), ['running', 'waiting']);
});
