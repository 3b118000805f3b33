import test from 'ava';
import { readWithdrawn } from '../../../../orchestrator/releases/withdrawn.ts';
import { ROLLOUT_KEYS } from '../../../../orchestrator/rollout/run/keys.ts';
import { Refusals } from '../../../../orchestrator/rollout/run/refusals.ts';
import { readSetup, readState } from '../../../../orchestrator/rollout/run/stored.ts';
import { membersFor } from './members.ts';

const said = (...versions: string[]) =>
  versions.map((version) => ({ version, reason: 'panicked', attempts: 3, at: 1 }));

test('one member withdraws nothing, whatever it names; as many as the rollout asks for do', async (t) => {
  const { redis, member, start } = await membersFor(t);
  for (const n of [1, 2, 3]) await member(n);
  const id = await start({ waves: [{}], limits: { whole: 9, site: 9, rack: 9 } });
  const stored = await readSetup(redis, id);
  const steps = [...(await readState(redis, id)).nodes.values()].map((step) => ({ ...step, touch: 1 }));
  const [a, b, c] = steps as [(typeof steps)[0], (typeof steps)[0], (typeof steps)[0]];
  const refusals = new Refusals(redis);

  const invented = Array.from({ length: 64 }, (_, i) => `9.${i}`);
  await refusals.note(a, said(...Object.keys(stored.images), ...invented), stored);
  await refusals.note(a, said('2.0'), stored);
  t.deepEqual(await readWithdrawn(redis), {});
  t.deepEqual(
    await redis.hgetall(ROLLOUT_KEYS.refusers('2.0')),
    { [a.node]: 'panicked' },
    'its word for itself',
  );
  t.is(await redis.exists(...invented.map(ROLLOUT_KEYS.refusers)), 0, 'what does not exist is not kept');

  await refusals.note({ ...b, touch: 0 }, said('2.0'), stored);
  t.deepEqual(await readWithdrawn(redis), {}, 'the rollout has not brought it there yet');
  await refusals.note(b, said('1.0'), stored);
  t.deepEqual(await readWithdrawn(redis), {}, 'not what this rollout brings');
  await refusals.note(c, said('2.0'), stored);
  t.deepEqual(await readWithdrawn(redis), { '2.0': '2 nodes refuse it: panicked' });
});

test('a rollout may take one node at its word', async (t) => {
  const { redis, member, start } = await membersFor(t);
  await member(1);
  const id = await start({ refusals: 1 });
  const [step] = (await readState(redis, id)).nodes.values();
  await new Refusals(redis).note({ ...step!, touch: 1 }, said('2.0'), await readSetup(redis, id));
  t.deepEqual(await readWithdrawn(redis), { '2.0': `node ${step!.node} refuses it: panicked` });
});
