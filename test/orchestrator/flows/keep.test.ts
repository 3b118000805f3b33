/** Nodes tell over the real wire what their services have sent, and a person asks who it was. */

import test from 'ava';
import { refusal } from '../../../base/error.ts';
import { type DataPaths, dataPaths } from '../../../base/paths.ts';
import { HabitFiles } from '../../../orchestrator/flows/habit-files.ts';
import { startFlowKeeper } from '../../../orchestrator/flows/keep.ts';
import { HabitKeeper } from '../../../orchestrator/flows/keep-habits.ts';
import { AN_HOUR, type Line } from '../../../orchestrator/flows/line.ts';
import { FlowStore } from '../../../orchestrator/flows/store.ts';
import { who } from '../../../orchestrator/operations/flows/acts.ts';
import { targetsOf } from '../../../orchestrator/rollout/run/targets.ts';
import { LinkPool } from '../../../orchestrator/transport/pool.ts';
import type { RoundOptions } from '../../../orchestrator/usage/rounds.ts';
import type { FlowsArgs } from '../../../protocol/link/flows.ts';
import { flowsOf } from '../../image/agent/member/link/handlers.ts';
import { scratch } from '../../image/agent/root/services/bundles.ts';
import { until } from '../../support/until.ts';
import { silent } from '../fleet/support.ts';
import { benchFor } from '../rollout/run/support.ts';
import { POOL } from '../rollout/run/times.ts';

const TIMES = { look: 50, every: 500, rate: 50 };

function keeps(
  { flows }: DataPaths,
  parts: Pick<Parameters<typeof startFlowKeeper>[0], 'fleet' | 'pool' | 'store' | 'signal'>,
): Promise<void> {
  const habits = new HabitKeeper({ fleet: parts.fleet, files: new HabitFiles(flows), log: silent });
  return startFlowKeeper({ ...parts, habits, log: silent, times: TIMES });
}

test('over the real wire: which service it was, how much, and nothing of the others', async (t) => {
  const paths = dataPaths(await scratch(t));
  const { fleet, sim, nodes, clientKey } = await benchFor(t, { count: 2 });
  const stop = new AbortController();
  t.teardown(() => stop.abort());
  const service = { name: 'fleet/chrony', version: '4.3', sha256: 'a'.repeat(64), size: 1 };
  for (const node of nodes) node.services.apply([service]);
  const pool = new LinkPool({
    privateKey: clientKey,
    resolve: targetsOf(fleet, sim.port),
    limits: POOL,
    signal: stop.signal,
  });
  const store = new FlowStore(paths.flows);
  const kept = keeps(paths, { fleet, pool, store, signal: stop.signal });
  const ask = (from: string, more = {}) =>
    who({ from, within: 60, ...more }, {
      fleet,
      paths,
      by: { actor: 'x', at: Date.now() },
    } as never);
  const [one] = nodes.map(({ id }) => id);
  await until(async () => ((await ask(one!)).senders[0]?.packets ?? 0) > 3);
  const { senders, heard } = await ask(one!);
  t.is(senders.length, 1);
  t.like(senders[0], {
    service: 'fleet/chrony',
    version: '4.3',
    owner: 'fleet',
    team: null,
    way: 'sent',
    port: 443,
    sure: true,
  });
  t.true(Date.now() - heard! < 60_000);
  t.is((await ask(one!, { to: senders[0]!.to, port: 443 })).senders.length, 1);
  t.is((await ask(one!, { to: '198.51.100.1' })).senders.length, 0);
  const gaps = (await ask(one!, { at: Date.now() - 3600_000 })).gaps;
  t.is(gaps.length, 1, 'what was before is not known');
  await t.throwsAsync(ask('nobody'), { code: 'NODE_UNKNOWN' });
  stop.abort();
  await kept;
});

test('what is kept is said to the node, before the next is asked for; who repeats itself, or has always more, holds up nobody', async (t) => {
  const paths = dataPaths(await scratch(t));
  const { fleet, nodes } = await benchFor(t, { count: 4 });
  const [fine, same, endless, older] = nodes.map(({ id }) => id) as [string, string, string, string];
  const asked = new Map<string, FlowsArgs['kept'][]>();
  const request = async (id: string, _: string, { kept }: FlowsArgs) => {
    const before = asked.get(id) ?? [];
    asked.set(id, [...before, kept]);
    if (id === older) throw refusal('LINK_OP_UNKNOWN', 'this image knows no operation flows', '');
    if (id === same) return { result: flowsOf({ more: true }) };
    return { result: flowsOf({ number: (kept?.number ?? 0) + 1, more: id === endless }) };
  };
  const stop = new AbortController();
  const store = new FlowStore(paths.flows);
  const pool: RoundOptions['pool'] = { request: request as never, helloOf: () => null };
  const kept = keeps(paths, { fleet, pool, store, signal: stop.signal });
  await until(() => (asked.get(fine)?.length ?? 0) >= 3 && (asked.get(same)?.length ?? 0) >= 4);
  stop.abort();
  await kept;
  t.deepEqual(asked.get(fine)!.slice(0, 3), [
    null,
    { life: 'first', number: 1 },
    { life: 'first', number: 2 },
  ]);
  t.is(asked.get(older)!.length, 1);
  const now = Date.now();
  t.is((await store.read(same, now - 60_000, now, now)).length, 1);
  t.true(asked.get(endless)!.length >= 16);
});

test('what is usual is counted of all that a node tells, also where less is kept', async (t) => {
  const paths = dataPaths(await scratch(t));
  const { fleet, nodes } = await benchFor(t, { count: 1 });
  const MORE = 4;
  const request = async (_: string, __: string, { kept }: FlowsArgs) => {
    const number = (kept?.number ?? 0) + 1;
    const flows = Array.from({ length: 500 }, (_, i) => ({
      ...({ of: 0, way: 'sent', to: `198.51.${number}.${i & 255}`, protocol: 'tcp', port: i } as const),
      ...{ packets: 1, bytes: 60, from: 0, until: 0 },
    }));
    const instances = [{ name: 'web/shop', version: '1' }];
    return { result: flowsOf({ number, instances, flows, more: number < MORE }) };
  };
  const stop = new AbortController();
  let heard = 0;
  const store = new FlowStore(paths.flows);
  const habits = {
    async hear(_: string, { flows }: Line) {
      heard += flows.length;
    },
    tidy: async () => {},
  };
  const options = {
    fleet,
    store,
    habits,
    log: silent,
    signal: stop.signal,
    times: { ...TIMES, every: 60_000 },
  };
  const done = startFlowKeeper({ ...options, pool: { request } as never } as never);
  await until(() => heard >= MORE * 500);
  stop.abort();
  await done;
  const now = Date.now();
  const lines = await store.read(nodes[0]!.id, now - 3600_000, now, now);
  t.true(lines.reduce((sum, { flows }) => sum + flows.length, 0) < 2 * AN_HOUR.most + 10);
  t.is(heard % 500, 0);
});
