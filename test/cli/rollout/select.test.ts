/** Racks, roles and labels as people give them reach the waves and the limits of a rollout. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { dataPaths } from '../../../base/paths.ts';
import { publishManifests } from '../../../lab/sim/images.ts';
import { type Bench, benchFor, hasEnded, SPEC } from '../../orchestrator/rollout/run/support.ts';
import { commandsOn } from '../in-process.ts';

/** Six nodes: two in each of two racks of one site, two in a rack of the same name at another. */
async function racks(t: ExecutionContext) {
  const bench = await benchFor(t, { count: 6, sites: ['default', 'par', 'par2'] });
  await publishManifests(dataPaths(bench.root).images, ['1.0', '2.0']);
  const bootwave = commandsOn(t, bench.root);
  const all = await bench.fleet.nodes.getMany(bench.nodes.map(({ id }) => id));
  const names = all.map(({ name }) => name);
  for (const [i, { name, site }] of all.entries()) {
    const said = [
      '--rack',
      site === 'par2' ? 'r1' : site === 'par' ? 'r2' : 'r1',
      '--role',
      i < 2 ? 'edge' : 'db',
    ];
    const done = await bootwave('ann', 'node', 'set', name, ...said);
    t.is(done.code, '', done.what);
  }
  await bootwave('ann', 'node', 'set', names[5]!, '--label', 'ring=zero');
  const spec = async (of: object) => {
    const file = join(bench.root, 'spec.json');
    await writeFile(file, JSON.stringify({ ...SPEC, ...of }));
    return file;
  };
  const plan = async (of: object) => {
    const planned = await bootwave('ann', 'rollout', 'plan', await spec(of), '--json');
    t.is(planned.code, '', planned.what);
    return planned.value;
  };
  return { bench, bootwave, names, spec, plan };
}

const namesOf = (wave: { places: { name: string }[] }) => wave.places.map(({ name }) => name).sort();

test.serial('waves are made by label, role and rack; at most one of a rack is down at once', async (t) => {
  const { plan, names, bootwave, spec } = await racks(t);
  const rings = await plan({
    waves: [
      { name: 'canary', select: { labels: { ring: 'zero' } } },
      { select: { role: 'edge' } },
      { take: 'rest' },
    ],
  });
  t.deepEqual(namesOf(rings.waves[0]), [names[5]]);
  t.deepEqual(namesOf(rings.waves[1]), [names[0]!, names[1]!].sort());
  t.is(rings.waves[2].places.length, 3);

  const one = { waves: [{ take: 'rest' }], limits: { whole: 50, site: '100%', rack: 1 } };
  const limited = await plan(one);
  t.is(limited.disruption.atOnce, 3, 'a rack is named within its site: r1 of two sites is two racks');
  t.is((await plan({ ...one, nodes: { rack: 'r1' } })).disruption.nodes, 4);
  t.is((await plan({ ...one, nodes: { rack: 'r1', site: 'par2' } })).disruption.nodes, 2);
  const text = await bootwave('ann', 'rollout', 'plan', await spec(one));
  t.regex(text.out, /^ +NODE +SITE +RACK/m);
  t.regex(text.out, new RegExp(`${names[1]} +par +r2 `));

  await bootwave('ann', 'node', 'set', names[5]!, '--unlabel', 'ring');
  const nobody = await bootwave(
    'ann',
    'rollout',
    'plan',
    await spec({ nodes: { labels: { ring: 'zero' } } }),
  );
  t.is(nobody.code, 'ROLLOUT_REFUSED');
});

/** For each node, in the order of the stream: when it began and ended to be under way. */
async function mostOfARackAtOnce({ fleet }: Bench, id: string): Promise<{ most: number; began: number }> {
  const racks = new Map<string, Set<string>>();
  let most = 0;
  let began = 0;
  for (const { node, to, detail } of await fleet.audit.read()) {
    if (node === undefined || detail?.rollout !== id) continue;
    const record = (await fleet.nodes.get(node))!;
    const rack = `${record.site}/${record.rack}`;
    const busy = racks.get(rack) ?? new Set();
    racks.set(rack, busy);
    if (to === 'done') busy.delete(node);
    else if (to !== 'pending') busy.add(node);
    if (to === 'staging') began += 1;
    most = Math.max(most, busy.size);
  }
  return { most, began };
}

test.serial('carried out, no two nodes of a rack are ever under way together', async (t) => {
  const { bench, bootwave, spec } = await racks(t);
  bench.orchestrator();
  const file = await spec({ waves: [{ take: 'rest' }], limits: { whole: 50, site: '100%', rack: 1 } });
  const { value, what } = await bootwave('ann', 'rollout', 'start', file, '--json');
  t.truthy(value, what);
  const end = await bench.until(value.id, hasEnded);
  t.is(end.rollout.state, 'done', end.rollout.why);
  t.deepEqual(await mostOfARackAtOnce(bench, value.id), { most: 1, began: 6 });
});
