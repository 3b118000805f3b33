/** `slice top` and `slice metrics`: what is theirs, and nothing of what else runs on the same nodes. */
import test from 'ava';
import { storeUsages } from '../../../../orchestrator/usage/stored.ts';
import type { InstanceTop, ServiceTop } from '../../../../orchestrator/usage/top.ts';
import { usageOf } from '../../../image/agent/member/link/handlers.ts';
import { parse } from '../../metrics/parse.ts';
import { instanceOf } from '../../usage/orders.ts';
import { elsewhere, SHARE, wish } from '../elsewhere.ts';

type Top = {
  services: ServiceTop[];
  instances: InstanceTop[];
  all: { cpu: number; memory: number; instances: number };
  nodes: number;
  told: number;
};

test('an owner sees what their instances use, and their sum; of the nodes and of others nothing', async (t) => {
  const { as, member, order, redis, fleet } = await elsewhere(t);
  const ids = [await member(1, []), await member(2, []), await member(3, [])];
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
  t.deepEqual(
    top.services.map(({ service, wanted, runs, unknown }) => [service, wanted, runs, unknown]),
    [
      ['db@probe', 3, 2, 1],
      ['shop@probe', 3, 2, 1],
    ],
  );
  t.is(top.instances.length, 6);
  t.true(top.instances.every(({ service }) => service.endsWith('@probe')));
  t.like(top.all, { instances: 6, memory: 2 * (1 + 8), cpu: 2 * (0.1 + 0.4) });
  t.like(top, { nodes: 3, told: 2 });
  t.is((await owner.say<Top>('slice top', { name: 'probe', most: 1 })).instances.length, 1);

  const { text } = await owner.say<{ text: string }>('slice metrics', { name: 'probe' });
  const series = await parse(text);
  t.deepEqual([...new Set(series.map(({ labels }) => labels.slice))], ['probe']);
  t.true(series.some(({ name }) => name === 'bootwave_instance_cpu_seconds_total'));
  t.false(text.includes('other') || text.includes('bootwave_node_'));
  for (const operation of ['slice top', 'slice metrics'])
    await t.throwsAsync(owner.say(operation, { name: 'other' }), { code: 'OPERATOR_SLICE' });
  for (const operation of ['service top', 'metrics', 'node top'])
    await t.throwsAsync(owner.say(operation), { code: 'OPERATOR_ROLE' });

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
