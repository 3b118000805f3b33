import test from 'ava';
import type { Slice } from '../../../orchestrator/fleet/decisions/slices.ts';
import {
  fleetFamilies,
  instanceFamilies,
  nodeFamilies,
  sliceFamilies,
  type Told,
} from '../../../orchestrator/metrics/families.ts';
import { textOf } from '../../../orchestrator/metrics/format.ts';
import type { InstanceUsage, Usage } from '../../../protocol/link/usage.ts';
import { usageOf } from '../../image/agent/member/link/handlers.ts';
import { type Parsed, parse } from './parse.ts';

const instance = (name: string, more: Partial<InstanceUsage> = {}): InstanceUsage => ({
  ...{ name, runs: '1', state: 'running', health: 'healthy', restarts: 2 },
  ...{ cpu: 1500, memory: 4096, tasks: 3 },
  ...{ disk: { read: 1, written: 2 }, network: { received: 3, sent: 4 } },
  ...more,
});
const told = (name: string, more: Partial<Usage> = {}): Told => ({
  ...{ name, site: 'par', heard: 1_800_000_000.5 },
  usage: usageOf(more),
});
const read = (nodes: readonly Told[]): Promise<Parsed[]> =>
  parse([...textOf(nodeFamilies(nodes)), ...textOf(instanceFamilies(nodes))].join(''));
const numberOf = (all: readonly Parsed[], name: string, labels: object) =>
  all.find((one) => one.name === name && JSON.stringify(one.labels) === JSON.stringify(labels))?.value;

test('a node and its instances, as an independent parser reads them', async (t) => {
  const services = [instance('fleet/chrony'), instance('web/shop', { state: 'failed', health: 'unknown' })];
  const all = await read([told('n1', { services }), told('n2')]);
  const node = { site: 'par', node: 'n1' };
  t.is(numberOf(all, 'bootwave_node_cpu_seconds_total', node), 12);
  t.is(numberOf(all, 'bootwave_node_memory_available_bytes', node), 2 ** 32);
  t.is(numberOf(all, 'bootwave_node_usage_timestamp_seconds', node), 1_800_000_000.5);
  const chrony = { ...node, service: 'chrony' };
  t.is(numberOf(all, 'bootwave_instance_cpu_seconds_total', chrony), 1.5);
  t.is(numberOf(all, 'bootwave_instance_network_sent_bytes_total', chrony), 4);
  t.is(numberOf(all, 'bootwave_instance_running', chrony), 1);
  t.is(numberOf(all, 'bootwave_instance_healthy', chrony), 1);
  const shop = { ...node, service: 'web/shop' };
  t.is(numberOf(all, 'bootwave_instance_running', shop), 0);
  t.is(numberOf(all, 'bootwave_instance_healthy', shop), undefined, 'unknown is neither');
  for (const { name, type } of all) t.is(type === 'counter', name.endsWith('_total'), name);
  t.is(all.filter(({ labels }) => labels.node === 'n2').length, 10);
});

test('what a node cannot count is absent, never 0; of who says nothing there is nothing', async (t) => {
  const nothing = { cpu: null, memory: null, disk: null, network: null };
  const services = [instance('fleet/chrony', { ...nothing, tasks: null, runs: null, state: 'waiting' })];
  const all = await read([told('n1', { ...nothing, services })]);
  t.deepEqual(
    all.map(({ name }) => name),
    [
      ...['usage_timestamp_seconds', 'uptime_seconds', 'processors'].map((name) => `bootwave_node_${name}`),
      ...['running', 'healthy', 'restarts'].map((name) => `bootwave_instance_${name}`),
    ],
  );
  t.is([...textOf(nodeFamilies([]))].join(''), '');
});

test('what is of a slice has it as a label, and the slice says what it was given', async (t) => {
  const all = await read([told('n1', { services: [instance('web/shop'), instance('web/shop@probe')] })]);
  const own = { site: 'par', node: 'n1', service: 'web/shop' };
  const theirs = { ...own, service: 'web/shop@probe', slice: 'probe' };
  for (const labels of [own, theirs]) t.is(numberOf(all, 'bootwave_instance_memory_bytes', labels), 4096);
  const slice = {
    ...{ name: 'probe', nodes: ['a', 'b'], count: 3, expires: 5000 },
    share: { cpu: 20, memory: 2 ** 26, disk: 0, ports: [] },
  } as unknown as Slice;
  const given = await parse([...textOf(sliceFamilies([slice]))].join(''));
  t.deepEqual(
    given.map(({ name, labels, value }) => [name.replace('bootwave_slice_', ''), labels.slice, value]),
    [
      ['nodes', 'probe', 2],
      ['nodes_wanted', 'probe', 3],
      ['expires_timestamp_seconds', 'probe', 5],
      ['share_cpu', 'probe', 0.2],
      ['share_memory_bytes', 'probe', 2 ** 26],
    ],
  );
});

test("the fleet's own numbers", async (t) => {
  const facts = {
    counts: { registered: 4, reachable: 3, healthy: 2, usable: 1 },
    states: [{ site: 'par', state: 'healthy', nodes: 2 }],
    rollouts: [{ state: 'done', rollouts: 5 }],
    versions: [{ name: 'fleet/chrony', version: '4.3', wanted: 3, runs: 2, unknown: 1 }],
    seen: [{ name: 'n1', site: 'par', at: 1.5 }],
    smart: [{ name: 'n1', site: 'par', failing: 1, well: 0 }],
  };
  const all = await parse([...textOf(fleetFamilies(facts))].join(''));
  t.is(numberOf(all, 'bootwave_fleet_nodes', { is: 'usable' }), 1);
  t.is(numberOf(all, 'bootwave_nodes', { site: 'par', state: 'healthy' }), 2);
  t.is(numberOf(all, 'bootwave_rollouts', { state: 'done' }), 5);
  for (const [is, value] of Object.entries({ wanted: 3, running: 2, unknown: 1 }))
    t.is(numberOf(all, 'bootwave_service_nodes', { service: 'chrony', version: '4.3', is }), value);
  t.is(numberOf(all, 'bootwave_node_seen_timestamp_seconds', { site: 'par', node: 'n1' }), 1.5);
});
