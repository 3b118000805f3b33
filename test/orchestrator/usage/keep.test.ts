/** Nodes are asked over their links, and their last word is on record. */

import test, { type ExecutionContext } from 'ava';
import { refusal } from '../../../base/error.ts';
import type { Fleet } from '../../../orchestrator/fleet/fleet.ts';
import { at } from '../../../orchestrator/fleet/keys.ts';
import { take } from '../../../orchestrator/fleet/outcome.ts';
import { targetsOf } from '../../../orchestrator/rollout/run/targets.ts';
import { LinkPool } from '../../../orchestrator/transport/pool.ts';
import { fleetUsage } from '../../../orchestrator/usage/fleet.ts';
import { startUsageKeeper } from '../../../orchestrator/usage/keep.ts';
import type { RoundOptions } from '../../../orchestrator/usage/rounds.ts';
import { LIFE, readUsages } from '../../../orchestrator/usage/stored.ts';
import { countVersions } from '../../../orchestrator/usage/versions.ts';
import { usageOf } from '../../image/agent/member/link/handlers.ts';
import { until } from '../../support/until.ts';
import { silent } from '../fleet/support.ts';
import { benchFor } from '../rollout/run/support.ts';
import { POOL } from '../rollout/run/times.ts';
import { instanceOf, ordered } from './orders.ts';

function keeps(
  t: ExecutionContext,
  fleet: Fleet,
  pool: RoundOptions['pool'],
  times = { look: 50, every: 1100, rate: 50 },
): () => Promise<void> {
  const stop = new AbortController();
  const running = startUsageKeeper({ fleet, pool, log: silent, signal: stop.signal, times });
  const end = async () => {
    stop.abort();
    await running;
  };
  t.teardown(end);
  return end;
}

const chrony = instanceOf('fleet/chrony');

test('over the real wire: what each uses, how fast, and what runs where', async (t) => {
  const { fleet, sim, nodes, clientKey } = await benchFor(t, { count: 3 });
  const stop = new AbortController();
  t.teardown(() => stop.abort());
  const resolve = targetsOf(fleet, sim.port);
  keeps(t, fleet, new LinkPool({ privateKey: clientKey, resolve, limits: POOL, signal: stop.signal }));
  const ids = nodes.map(({ id }) => id);
  const known = () => readUsages(fleet.redis, ids);
  await until(
    async () => [...(await known()).values()].filter(({ rates }) => rates.cpu !== null).length === 3,
  );
  const usage = (await known()).get(ids[1]!)!;
  t.is(usage.usage.bootId, nodes[1]!.bootId);
  t.true(usage.rates.network!.sent > 0);
  for (const key of await fleet.redis.keys(at('usage', '*'))) {
    const left = await fleet.redis.pttl(key);
    t.true(left > 0 && left <= LIFE, 'what nobody hears any more is gone by itself');
  }
});

test('an older image is unknown and is left alone; one that lies speaks for itself alone; who is silent is unknown', async (t) => {
  const { fleet, nodes } = await benchFor(t, { count: 4 });
  const [fine, older, liar, silentOne] = nodes.map(({ id }) => id) as [string, string, string, string];
  for (const id of [fine, older, liar, silentOne]) await ordered(fleet, id, ['fleet/chrony']);
  const asked = new Map<string, number>();
  const answer = async (id: string) => {
    asked.set(id, (asked.get(id) ?? 0) + 1);
    if (id === older) throw refusal('LINK_OP_UNKNOWN', 'this image knows no operation usage', '');
    if (id === silentOne) throw refusal('LINK_TIMEOUT', 'no answer', '');
    const evil = { ...chrony, name: 'evil/name', runs: '9' };
    return { result: usageOf({ services: id === liar ? [evil] : [chrony] }) };
  };
  const end = keeps(t, fleet, { request: answer as never, helloOf: () => null });
  await until(() => (asked.get(silentOne) ?? 0) >= 3 && (asked.get(fine) ?? 0) >= 3);
  await until(async () => (await readUsages(fleet.redis, [fine, liar])).size === 2);
  await end();
  t.is(asked.get(older), 1);
  const all = await fleetUsage(fleet);
  const of = (id: string) => all.find(({ node }) => node.id === id)!;
  t.deepEqual(of(fine).runs, [{ name: 'fleet/chrony', version: '1' }]);
  t.deepEqual(of(liar).runs, [], 'what its order does not name it does not run');
  t.is(of(older).runs, null);
  t.is(of(silentOne).usage, null);
  t.deepEqual(countVersions(all), [{ name: 'fleet/chrony', version: '1', wanted: 4, runs: 1, unknown: 2 }]);
});

test('a node in the hands of a rollout is asked over the link that is open, and is never dialled', async (t) => {
  const { fleet, nodes } = await benchFor(t, { count: 3 });
  const [plain, open, closed] = nodes.map(({ id }) => id) as [string, string, string];
  for (const id of [open, closed])
    await fleet.nodes.update(id, (record) => ({
      outcome: take(record!, {
        to: 'updating',
        at: Date.now(),
        actor: 'rollout',
        action: 'update',
        reason: 'x',
      }),
    }));
  const asked = new Map<string, number>();
  const request = async (id: string) => {
    asked.set(id, (asked.get(id) ?? 0) + 1);
    return { result: usageOf({}) };
  };
  keeps(t, fleet, { request: request as never, helloOf: (id) => (id === open ? ({} as never) : null) });
  await until(() => (asked.get(plain) ?? 0) >= 3 && (asked.get(open) ?? 0) >= 3);
  t.false(asked.has(closed));
});

test('a record that somebody else wrote counts as none', async (t) => {
  const { fleet, nodes } = await benchFor(t, { count: 2 });
  const [a, b] = nodes.map(({ id }) => id) as [string, string];
  await fleet.redis.set(at('usage', a), 'no JSON');
  await fleet.redis.set(at('usage', b), JSON.stringify({ heard: 1, usage: { at: -1 } }));
  t.is((await readUsages(fleet.redis, [a, b])).size, 0);
  t.true((await fleetUsage(fleet)).every(({ usage }) => usage === null));
});
