import test from 'ava';
import fc from 'fast-check';
import type { NodeRecord } from '../../../orchestrator/fleet/record.ts';
import { BY } from '../../../orchestrator/usage/by.ts';
import type { NodeUsage } from '../../../orchestrator/usage/fleet.ts';
import { recordOf } from '../../../orchestrator/usage/record.ts';
import { instancesOf, topInstances, topNodes, topServices } from '../../../orchestrator/usage/top.ts';
import type { Usage } from '../../../protocol/link/usage.ts';
import { usageOf } from '../../image/agent/member/link/handlers.ts';
import { instanceOf } from './orders.ts';

const of = (version = '1') => ({ name: 'fleet/chrony', version });

/** A node that is to run chrony. @param then what it said after ten seconds; null: it said nothing at all */
function node(name: string, then: Partial<Usage> | null): NodeUsage {
  const record = { id: name, name, site: 'par', state: 'healthy' } as NodeRecord;
  if (then === null) return { node: record, usage: null, wanted: [of()], runs: null };
  const ordered = new Set(['fleet/chrony']);
  const first = recordOf(
    usageOf({ at: 0, cpu: 0, services: [instanceOf('fleet/chrony', { cpu: 0 })] }),
    ordered,
    1,
    null,
  );
  const usage = recordOf(usageOf({ at: 10_000, ...then }), ordered, 2, first);
  return { node: record, usage, wanted: [of()], runs: usage.usage.services.map(() => of()) };
}
const chrony = (cpu: number | null, memory: number | null = 2 ** 20) => [
  instanceOf('fleet/chrony', { cpu, memory }),
];

test('the busiest share first; who says nothing is last and is not idle', (t) => {
  const rows = topNodes(
    [
      node('b', { processors: 8, cpu: 20_000, services: chrony(1) }),
      node('silent', null),
      node('a', { processors: 1, cpu: 9000, services: chrony(1) }),
      node('odd', { cpu: null, services: [] }),
    ],
    'cpu',
  );
  t.deepEqual(
    rows.map(({ name, cpu }) => [name, cpu]),
    [
      ['a', 0.9],
      ['b', 2],
      ['odd', null],
      ['silent', null],
    ],
  );
  t.like(rows[3], { processors: null, memory: null, heard: null, wanted: 1, runs: null });
  t.like(rows[2], { wanted: 1, runs: 0 });
});

test('a service is the sum of what is known of it, and says of how many nodes nobody knows', (t) => {
  const all = [
    node('a', { services: chrony(1000, 100) }),
    node('b', { services: chrony(3000, 50) }),
    node('c', {
      services: [instanceOf('fleet/chrony', { runs: null, state: 'fetching', cpu: null, memory: null })],
    }),
    node('silent', null),
    // Its order has just come.
    node('new', { services: [] }),
  ].flatMap(instancesOf);
  const [one, ...none] = topServices(all, 'cpu');
  t.deepEqual(none, []);
  t.like(one, { service: 'chrony', wanted: 5, runs: 2, unknown: 1, cpu: 0.4, memory: 150, node: 'b' });
  t.is(topServices(all, 'memory')[0]!.node, 'a');
  t.deepEqual(
    topInstances(all, 'cpu').map((row) => [row.node, row.state]),
    [
      ['b', 'running'],
      ['a', 'running'],
      ['c', 'fetching'],
      ['new', 'absent'],
      ['silent', 'unknown'],
    ],
  );
});

test('nobody is lost or made up, whatever is asked for', (t) => {
  const some = fc.array(
    fc.option(fc.record({ processors: fc.integer({ min: 1, max: 9 }), cpu: fc.option(fc.nat(99_999)) })),
    { maxLength: 9 },
  );
  fc.assert(
    fc.property(some, fc.constantFrom(...BY), (told, by) => {
      const all = told.map((one, i) => node(`n${i}`, one));
      const names = topNodes(all, by).map(({ name }) => name);
      t.deepEqual(names.toSorted(), all.map(({ node: { name } }) => name).toSorted());
      const rows = all.flatMap(instancesOf);
      t.is(topInstances(rows, by).length, rows.length);
      t.is(topServices(rows, by)[0]?.wanted ?? 0, all.length);
    }),
  );
});
