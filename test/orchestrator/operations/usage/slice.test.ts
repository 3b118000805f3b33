/** `slice top` and `slice metrics`: what is theirs, and nothing of what else runs on the same nodes. */
import test from 'ava';
import { storeUsages } from '../../../../orchestrator/usage/stored.ts';
import type { InstanceTop, SliceTop } from '../../../../orchestrator/usage/top.ts';
import { usageOf } from '../../../image/agent/member/link/handlers.ts';
import { parse } from '../../metrics/parse.ts';
import { instanceOf } from '../../usage/orders.ts';
import { elsewhere, SHARE, wish } from '../elsewhere.ts';

type Top = { slices: SliceTop[]; instances: InstanceTop[]; nodes: number; told: number };

test('an owner sees what their instances use, and their sum; of the nodes and of others nothing', async (t) => {
  const { as, member, order, redis, fleet } = await elsewhere(t);
  const ids = [await member(1, []), await member(2, []), await member(3, [], 'par')];
  const { say } = await as({ name: 'ann' });
  await say('slice create', wish('probe', 3));
  await say('slice create', wish('other', 3, { share: { ...SHARE, ports: [] } }));
  const all = ['fleet/shop@probe', 'fleet/shop@other', 'fleet/shop', 'fleet/db@probe'];
  for (const id of ids)
    await order(
      id,
      all.map((name) => `${name}:1`),
    );
  // Two of them say it twice, ten seconds apart; the third says nothing.
  for (const [at, cpu] of [
    [10_000, 0],
    [20_000, 1000],
  ] as const) {
    const services = all.map((name, i) => instanceOf(name, { cpu: cpu * (i + 1), memory: 2 ** i }));
    const told = ids.slice(0, 2).map((id) => [id, { usage: usageOf({ at, services }), heard: at }] as const);
    await storeUsages(redis, new Map(told));
  }
  const owner = await as({ name: 'eve', role: 'slice-owner', slices: ['probe'] });
  const top = await owner.say<Top>('slice top', { name: 'probe', by: 'memory' });
  t.is(top.instances.length, 6);
  t.true(top.instances.every(({ service }) => service.endsWith('@probe')));
  const sum = { wanted: 6, runs: 4, memory: 2 * (1 + 8), cpu: 2 * (0.1 + 0.4) };
  t.is(top.slices.length, 1);
  t.like(top.slices[0], { slice: 'probe', nodes: 3, ...sum });
  t.like(top, { nodes: 3, told: 2 });
  t.is((await owner.say<Top>('slice top', { name: 'probe', most: 1 })).instances.length, 1);

  const { text } = await owner.say<{ text: string }>('slice metrics', { name: 'probe' });
  const series = await parse(text);
  t.deepEqual([...new Set(series.map(({ labels }) => labels.slice))], ['probe']);
  t.true(series.some(({ name }) => name === 'bootwave_instance_cpu_seconds_total'));
  t.false(text.includes('other') || text.includes('bootwave_node_'));
  for (const operation of ['slice top', 'slice metrics'])
    await t.throwsAsync(owner.say(operation, { name: 'other' }), { code: 'OPERATOR_SLICE' });
  await t.throwsAsync(owner.say('slice top'), {
    code: 'OPERATOR_SLICE',
    message: /name one of yours: .*slice list/,
  });
  for (const operation of ['service top', 'metrics', 'node top'])
    await t.throwsAsync(owner.say(operation), { code: 'OPERATOR_ROLE' });

  const every = await say<Top>('slice top', { by: 'memory' });
  t.deepEqual(
    every.slices.map(({ slice, nodes, memory }) => [slice, nodes, memory]),
    [
      ['probe', 3, sum.memory],
      ['other', 3, 2 * 2],
    ],
  );
  const par = await say<Top>('slice top', { name: 'probe', site: 'par' });
  t.like(par.slices[0], { nodes: 1, wanted: 2, runs: 0, memory: null });
  t.deepEqual(
    (await say<Top>('slice top', { site: 'default' })).slices.map(({ nodes }) => nodes),
    [2, 2],
  );

  const whole = await parse((await say<{ text: string }>('metrics')).text);
  t.deepEqual(
    whole.flatMap(({ name, labels, value }) =>
      name === 'bootwave_slice_nodes' ? [[labels.slice, value]] : [],
    ),
    [
      ['other', 3],
      ['probe', 3],
    ],
  );
  await say('slice delete', { name: 'probe' });
  await fleet.decisions.look();
  await t.throwsAsync(owner.say('slice top', { name: 'probe' }), { code: 'SLICE_ENDED' });
});
