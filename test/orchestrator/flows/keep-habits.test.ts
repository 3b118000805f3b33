/** Who is told of unusual traffic, and what is frozen, on a real Redis. */
import test from 'ava';
import { dataPaths } from '../../../base/paths.ts';
import type { Policy } from '../../../orchestrator/fleet/site.ts';
import { HabitFiles } from '../../../orchestrator/flows/habit-files.ts';
import { HabitKeeper, MOST_FROZEN } from '../../../orchestrator/flows/keep-habits.ts';
import type { Line } from '../../../orchestrator/flows/line.ts';
import { decideRestraint } from '../../../orchestrator/restraints/decide.ts';
import { scratch } from '../../image/agent/root/services/bundles.ts';
import { silent } from '../fleet/support.ts';
import { benchFor } from '../rollout/run/support.ts';
import { ordered } from '../usage/orders.ts';

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

test('of many services that send more at once a few are frozen, and none that a person has in hand', async (t) => {
  const { fleet, nodes } = await benchFor(t, { count: 1, decides: 'all' });
  const { id, site } = (await fleet.nodes.get(nodes[0]!.id))!;
  const by = { actor: 'operator:ann', at: T0 };
  await fleet.sites.set(site, { traffic: 'freeze' }, by);
  const names = Array.from({ length: 9 }, (_, i) => `fleet/s${i}`);
  await ordered(fleet, id, names);
  const slowed = {
    service: names[0]!,
    node: id,
    how: 'throttle' as const,
    rate: 1000,
    reason: 'a complaint',
  };
  await decideRestraint(fleet, slowed, by);
  const files = new HabitFiles(dataPaths(await scratch(t)).flows);
  const keeper = new HabitKeeper({ fleet, files, log: silent });
  for (let hour = 0; hour < 102; hour++) await keeper.hear(id, line(hour, hour >= 100, names));
  await fleet.decisions.look();
  const { all } = fleet.decisions.restraints;
  t.is(all.filter(({ how }) => how === 'freeze').length, MOST_FROZEN);
  t.is(all.find(({ service }) => service === names[0])?.how, 'throttle');
  const told = (await fleet.audit.read({ node: id })).filter(({ action }) => action === 'unusual-traffic');
  t.is(told.length, 9);
});
