/** Nodes tell over the real wire what their services have sent, and a person asks who it was. */

import test from 'ava';
import { refusal } from '../../../base/error.ts';
import { dataPaths } from '../../../base/paths.ts';
import { HabitFiles } from '../../../orchestrator/flows/habit-files.ts';
import { startFlowKeeper } from '../../../orchestrator/flows/keep.ts';
import { HabitKeeper } from '../../../orchestrator/flows/keep-habits.ts';
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
  const habits = new HabitKeeper({ fleet, files: new HabitFiles(paths.flows), log: silent });
  const kept = startFlowKeeper({
    fleet,
    pool,
    store,
    habits,
    log: silent,
    signal: stop.signal,
    times: TIMES,
  });
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
  const habits = new HabitKeeper({ fleet, files: new HabitFiles(paths.flows), log: silent });
  const pool: RoundOptions['pool'] = { request: request as never, helloOf: () => null };
  const kept = startFlowKeeper({
    fleet,
    pool,
    store,
    habits,
    log: silent,
    signal: stop.signal,
    times: TIMES,
  });
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
