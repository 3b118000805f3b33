/** What people are shown of what nodes use. */
import test, { type ExecutionContext } from 'ava';
import { amount } from '../../../cli/usage/text.ts';
import { storeUsages } from '../../../orchestrator/usage/stored.ts';
import type { Usage } from '../../../protocol/link/usage.ts';
import { usageOf } from '../../image/agent/member/link/handlers.ts';
import { beatOfBoot, certificateFor, enrolment, fleetFor } from '../../orchestrator/fleet/support.ts';
import { parse } from '../../orchestrator/metrics/parse.ts';
import { instanceOf, ordered } from '../../orchestrator/usage/orders.ts';
import { commandsOn } from '../in-process.ts';

async function fleetOfThree(t: ExecutionContext) {
  const { fleet, directory, by, paths } = await fleetFor(t);
  const ids: string[] = [];
  for (const n of [1, 2, 3]) {
    const e = enrolment(n);
    await directory.enrol(e);
    await fleet.approve(e.id, e.words, by('bob'), `web${n}`);
    await directory.recordCertificate(e.id, certificateFor(e));
    await directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e));
    ids.push(e.id);
  }
  const say = (id: string, usage: Partial<Usage>) =>
    storeUsages(fleet.redis, new Map([[id, { usage: usageOf(usage), heard: Date.now() }]]));
  return { fleet, paths, ids: ids as [string, string, string], say };
}

test.serial('nodes and services that use most, one node, one service, and text for Prometheus', async (t) => {
  const { fleet, paths, ids, say } = await fleetOfThree(t);
  const [one, two, three] = ids;
  for (const id of ids) await ordered(fleet, id, ['fleet/chrony', 'web/shop']);
  const services = (cpu: number) => [
    instanceOf('fleet/chrony', { cpu }),
    instanceOf('web/shop', { cpu: 2 * cpu }),
  ];
  for (const [id, cpu] of [
    [one, 1000],
    [two, 4000],
  ] as const) {
    await say(id, { at: 0, cpu: 0, services: services(0) });
    await say(id, { at: 10_000, cpu: 10 * cpu, services: services(cpu) });
  }
  const bootwave = commandsOn(t, paths.root);

  const nodes = await bootwave('anna', 'node', 'top');
  const lines = nodes.out.split('\n');
  t.regex(lines[0]!, /^NODE +SITE +CPU +MEMORY +READS +WRITES +RECEIVES +SENDS +SERVICES +HEARD$/);
  t.regex(lines[1]!, /^web2 +default +100 % of 4 +4\.0 GiB of 8\.0 GiB +0 B\/s .* 2 of 2 +\d+ s ago$/);
  t.regex(lines[2]!, /^web1 +default +25 % of 4 /);
  t.regex(lines[3]!, /^web3 +default +- +- +- .* - of 2 +-$/);
  t.regex(nodes.out, /1 of 3 nodes have not said what they use/);
  const few = await bootwave('anna', 'node', 'top', '--most', '1', '--by', 'memory', '--json');
  t.is(few.value.rows.length, 1);
  t.is((await bootwave('anna', 'node', 'top', '--site', 'nowhere')).code, 'SITE_UNKNOWN');

  const top = (await bootwave('anna', 'service', 'top')).out.split('\n');
  t.regex(top[1]!, /^web\/shop +2 of 3, 1 unknown +100\.0 % +2\.0 MiB .* web2$/);
  t.regex(top[2]!, /^chrony +2 of 3, 1 unknown +50\.0 % /);
  const each = (await bootwave('anna', 'service', 'top', 'fleet/chrony')).out.split('\n');
  t.regex(each[1]!, /^web2 +default +1 +running +healthy +40\.0 % +1\.0 MiB +3 /);
  t.regex(each[3]!, /^web3 +default +- +unknown +unknown +- /);
  t.is((await bootwave('anna', 'service', 'top', 'nothing')).code, 'SERVICE_NOWHERE');

  // Who still runs what, beside the life of each version.
  t.regex((await bootwave('anna', 'service', 'versions', 'chrony')).out, /^1 .* 3 +2, 1 unknown /m);

  const shown = (await bootwave('anna', 'node', 'show', 'web2')).out;
  t.regex(shown, /uses +CPU 100 % of 4, memory 4\.0 GiB of 8\.0 GiB, reads 0 B\/s/);
  t.regex(shown, /service +chrony:1 running, healthy, CPU 40\.0 %, memory 1\.0 MiB/);
  t.regex((await bootwave('anna', 'node', 'show', 'web3')).out, /uses +unknown: it has not said/);

  const all = await parse(`${(await bootwave('anna', 'metrics')).out}\n`);
  const wanted = all.filter(({ name }) => name === 'bootwave_service_nodes');
  t.deepEqual(
    wanted.map(({ labels, value }) => [labels.service, labels.is, value]),
    [
      ...['chrony', 'web/shop'].flatMap((service) => [
        [service, 'wanted', 3],
        [service, 'running', 2],
        [service, 'unknown', 1],
      ]),
    ],
  );
  t.is(all.filter(({ name }) => name === 'bootwave_node_processors').length, 2, 'who says nothing is absent');
  t.is(
    all.find(({ name, labels }) => name === 'bootwave_fleet_nodes' && labels.is === 'registered')?.value,
    3,
  );
  t.is((await bootwave('anna', 'metrics', '--site', 'nowhere')).code, 'SITE_UNKNOWN');
  const why = 'its port is taken [SERVICE_PORT_TAKEN]';
  await say(three, {
    services: [
      instanceOf('fleet/chrony', { runs: null, state: 'refused', health: 'unknown', cpu: null, why }),
      instanceOf('web/shop', { state: 'fetching', cpu: null, why: 'the boot server is away' }),
    ],
  });
  const idle = (await bootwave('anna', 'node', 'show', 'web3')).out;
  t.regex(idle, /service +chrony refused: its port is taken \[SERVICE_PORT_TAKEN\]$/m);
  t.regex(idle, /service +web\/shop:1 fetching, healthy, CPU -, memory 1\.0 MiB: the boot server is away$/m);
  // This door has no orchestrator behind it.
  t.is((await bootwave('anna', 'node', 'metrics', 'web1')).code, 'NODE_NOT_LINKED');
  t.is(three, ids[2]);
});

test.serial('a fleet without services and without an answer says so', async (t) => {
  const { paths } = await fleetOfThree(t);
  const bootwave = commandsOn(t, paths.root);
  t.regex((await bootwave('anna', 'service', 'top')).out, /^no order of a node names a service$/);
  t.regex((await bootwave('anna', 'node', 'top')).out, /3 of 3 nodes have not said/);
});

test('amounts have three digits at the most, and never a thousand of a unit that has a next one', (t) => {
  const of: [number, string][] = [
    [0, '0 B'],
    [0.4, '0 B'],
    [1023, '1023 B'],
    [1536, '1.5 KiB'],
    [2 ** 20 * 100, '100 MiB'],
    [2 ** 50 * 3, '3.0 PiB'],
  ];
  for (const [bytes, text] of of) t.is(amount(bytes), text);
});
