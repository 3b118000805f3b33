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
  const nodes = new Map(steps.map((step) => [step.node, step]));
  const [a, b, c] = steps as [(typeof steps)[0], (typeof steps)[0], (typeof steps)[0]];
  const refusals = new Refusals(redis);

  const invented = Array.from({ length: 64 }, (_, i) => `9.${i}`);
  await refusals.note(a.node, said(...Object.keys(stored.images), ...invented), stored, nodes);
  await refusals.note(a.node, said('2.0'), stored, nodes);
  t.deepEqual(await readWithdrawn(redis), {});
  t.deepEqual(
    await redis.hgetall(ROLLOUT_KEYS.refusers('2.0')),
    { [a.node]: 'panicked' },
    'its word for itself',
  );
  t.is(await redis.exists(...invented.map(ROLLOUT_KEYS.refusers)), 0, 'what does not exist is not kept');

  const before = new Map(nodes).set(b.node, { ...b, touch: 0 });
  await refusals.note(b.node, said('2.0'), stored, before);
  t.deepEqual(await readWithdrawn(redis), {}, 'the rollout has not brought it there yet');
  await refusals.note(b.node, said('1.0'), stored, nodes);
  t.deepEqual(await readWithdrawn(redis), {}, 'not what this rollout brings');
  await refusals.note(c.node, said('2.0'), stored, before);
  t.deepEqual(await readWithdrawn(redis), { '2.0': '2 nodes refuse it: panicked' });
});

test('a rollout may take one node at its word', async (t) => {
  const { redis, member, start } = await membersFor(t);
  await member(1);
  const id = await start({ refusals: 1 });
  const [step] = (await readState(redis, id)).nodes.values();
  const nodes = new Map([[step!.node, { touch: 1 }]]);
  await new Refusals(redis).note(step!.node, said('2.0'), await readSetup(redis, id), nodes);
  t.deepEqual(await readWithdrawn(redis), { '2.0': `node ${step!.node} refuses it: panicked` });
});

test('nodes are counted whoever heard them, in whatever order they repeat it, and at the same moment', async (t) => {
  const { redis, member, start } = await membersFor(t);
  for (const n of [1, 2, 3]) await member(n);
  const stored = await readSetup(redis, await start({ refusals: 3, limits: { whole: 9, site: 9, rack: 9 } }));
  const ids = [...(await readState(redis, stored.setup.id)).nodes.keys()];
  const nodes = new Map(ids.map((id) => [id, { touch: 1 }]));
  await new Refusals(redis).note(ids[0]!, said('2.0'), stored, nodes);
  const next = new Refusals(redis);
  await Promise.all([1, 2, 0].map((i) => next.note(ids[i]!, said('2.0'), stored, nodes)));
  t.deepEqual(await readWithdrawn(redis), { '2.0': '3 nodes refuse it: panicked' });
});
