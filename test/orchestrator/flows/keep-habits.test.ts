/** Who is told of unusual traffic, and what is frozen, on a real Redis. */
import test, { type ExecutionContext } from 'ava';
import { dataPaths } from '../../../base/paths.ts';
import type { Policy } from '../../../orchestrator/fleet/site.ts';
import { HabitFiles } from '../../../orchestrator/flows/habit-files.ts';
import { HabitKeeper, MOST_FROZEN } from '../../../orchestrator/flows/keep-habits.ts';
import type { Line } from '../../../orchestrator/flows/line.ts';
import { decideRestraint } from '../../../orchestrator/restraints/decide.ts';
import { storeUsages } from '../../../orchestrator/usage/stored.ts';
import { usageOf } from '../../image/agent/member/link/handlers.ts';
import { scratch } from '../../image/agent/root/services/bundles.ts';
import { silent } from '../fleet/support.ts';
import { benchFor } from '../rollout/run/support.ts';
import { instanceOf, ordered } from '../usage/orders.ts';

const HOUR = 3600_000;
const T0 = 20_000 * 24 * HOUR;
const NAMES = ['fleet/chrony', 'fleet/made-up'];

function line(hour: number, many: boolean, names = NAMES): Line {
  const heard = T0 + hour * HOUR;
  const flows = names.flatMap((_, of) =>
    Array.from({ length: many ? 300 : 3 }, (_, i): Line['flows'][number] => [
      ...([of, 'sent', `198.51.${i >> 8}.${i & 255}`, 'tcp', 443, 1, 100, 300, 0] as const),
    ]),
  );
  const instances = names.map((name): [string, string] => [name, '4.3']);
  return { heard, life: 'a', number: hour + 1, from: heard - 1, until: heard, instances, flows };
}

for (const traffic of ['off', 'tell', 'freeze'] as const satisfies Policy['traffic'][])
  test(`where a site says ${traffic}: who is told, and what is frozen`, async (t) => {
    const { fleet, nodes } = await benchFor(t, { count: 1, decides: 'all' });
    const { id, site, name } = (await fleet.nodes.get(nodes[0]!.id))!;
    t.is((await fleet.sites.get(site)).policy.traffic, 'tell', 'nothing is frozen until somebody says so');
    await fleet.sites.set(site, { traffic }, { actor: 'operator:ann', at: T0 });
    await ordered(fleet, id, ['fleet/chrony']);
    const files = new HabitFiles(dataPaths(await scratch(t)).flows);
    const begun = () => new HabitKeeper({ fleet, files, log: silent });
    let keeper = begun();
    for (let hour = 0; hour < 102; hour++) {
      // A server that begins anew forgets nothing but the hour that is now.
      if (hour % 24 === 0) keeper = begun();
      await keeper.hear(id, line(hour, hour >= 100));
    }
    const told = (await fleet.audit.read({ node: id })).filter(({ action }) => action === 'unusual-traffic');
    t.is(told.length, traffic === 'off' ? 0 : 2);
    if (traffic !== 'off') {
      t.regex(told[0]!.reason ?? '', new RegExp(`300 destinations.*bootwave who --from ${name} --at `));
      t.like(told[0]!.detail, { owner: 'fleet' });
      t.regex(told[1]!.reason ?? '', /^\S+ says so of what its order does not name: made-up sends /);
      t.deepEqual(told[1]!.detail, { service: 'made-up' }, 'nobody is asked about it');
    }
    await fleet.decisions.look();
    const frozen = fleet.decisions.restraints.all.map(({ service, node, how, by }) => ({
      service,
      node,
      how,
      by,
    }));
    t.deepEqual(
      frozen,
      traffic === 'freeze' ? [{ service: 'fleet/chrony', node: id, how: 'freeze', by: 'traffic' }] : [],
      'what no order names, a node has made up',
    );
  });

/** `count` nodes, of the sites in turn, at all of which what is unusual is frozen. */
async function freezing(t: ExecutionContext, count: number, sites = ['default']) {
  const { fleet, nodes } = await benchFor(t, { count, sites, decides: 'all' });
  for (const site of sites) await fleet.sites.set(site, { traffic: 'freeze' }, BY);
  const files = new HabitFiles(dataPaths(await scratch(t)).flows);
  const keeper = new HabitKeeper({ fleet, files, log: silent });
  const ids = nodes.map(({ id }) => id);
  /** Usual for four days, and then many times more for two hours, one node after the other. */
  const flood = async (of: Map<string, string[]>) => {
    for (const [id, names] of of) await ordered(fleet, id, names);
    for (let hour = 0; hour < 102; hour++)
      for (const [id, names] of of) await keeper.hear(id, line(hour, hour >= 100, names));
    await fleet.decisions.look();
    return fleet.decisions.restraints.all.filter(({ how }) => how === 'freeze');
  };
  return { fleet, ids, keeper, flood };
}
const BY = { actor: 'operator:ann', at: T0 };
const namesOf = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, i) => `fleet/${prefix}${i}`);

test('of many services that send more at once a few are frozen, and none that a person has in hand', async (t) => {
  const { fleet, ids, flood } = await freezing(t, 1);
  const [id] = ids as [string];
  const names = namesOf('s', 9);
  const slowed = {
    service: names[0]!,
    node: id,
    how: 'throttle' as const,
    rate: 1000,
    reason: 'a complaint',
  };
  await decideRestraint(fleet, slowed, BY);
  t.is((await flood(new Map([[id, names]]))).length, MOST_FROZEN.node);
  t.is(fleet.decisions.restraints.all.find(({ service }) => service === names[0])?.how, 'throttle');
  const told = (await fleet.audit.read({ node: id })).filter(({ action }) => action === 'unusual-traffic');
  t.is(told.filter(({ reason }) => /sends many times more/.test(reason ?? '')).length, 9);
  const not = told.filter(({ reason }) => reason?.includes('[TRAFFIC_MANY]'));
  t.is(not.length, 8 - MOST_FROZEN.node, 'people are told what was not frozen');
});

test('neither a node nor the owner of a slice uses up what is frozen of others', async (t) => {
  const { ids, flood } = await freezing(t, 6, ['default', 'par']);
  const [bad, neighbour, ...slice] = ids as [string, string, ...string[]];
  const frozen = await flood(
    new Map([
      [bad, namesOf('s', 9)],
      ...slice.map((id): [string, string[]] => [id, ['web/crawler@probe', 'web/other@probe']]),
      [neighbour, ['fleet/chrony']],
    ]),
  );
  t.is(frozen.filter(({ node }) => node === bad).length, MOST_FROZEN.node);
  t.is(frozen.filter(({ service }) => service.endsWith('@probe')).length, MOST_FROZEN.of);
  t.like(
    frozen.find(({ node }) => node === neighbour),
    { service: 'fleet/chrony' },
  );
});

test('what is told of usage counts as running, and what is frozen has no habit of silence', async (t) => {
  const { fleet, ids, keeper } = await freezing(t, 2);
  const [quiet, frozen] = ids as [string, string];
  const names = ['fleet/chrony'];
  for (const id of [quiet, frozen]) await ordered(fleet, id, names);
  const word = { service: names[0]!, node: frozen, rate: null, reason: 'a complaint' };
  await decideRestraint(fleet, { ...word, how: 'freeze' }, BY);
  await fleet.decisions.look();
  const usage = { services: names.map((name) => instanceOf(name)) };
  const nothing = (hour: number) => ({ ...line(hour, false), instances: [], flows: [] });
  for (let hour = 0; hour < 102; hour++) {
    if (hour === 100) await decideRestraint(fleet, { ...word, how: null }, BY);
    for (const id of [quiet, frozen]) {
      if (hour % 24 === 0)
        await storeUsages(fleet.redis, new Map([[id, { usage: usageOf(usage), heard: T0 }]]));
      await keeper.hear(id, hour < 100 ? nothing(hour) : line(hour, true, names));
    }
  }
  await fleet.decisions.look();
  const { all } = fleet.decisions.restraints;
  t.is(all.find(({ node }) => node === quiet)?.how, 'freeze');
  t.is(all.find(({ node }) => node === frozen)?.how, null, 'it was let go');
});
