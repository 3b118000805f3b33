import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { manifestFile } from '../../../../image/build/manifest.ts';
import { publishManifests } from '../../../../lab/sim/images.ts';
import { Fleet } from '../../../../orchestrator/fleet/fleet.ts';
import { makePlan } from '../../../../orchestrator/rollout/plan.ts';
import { publishedFor, publishedImages } from '../../../../orchestrator/rollout/run/facts.ts';
import { redisFor } from '../../fleet/support.ts';
import { fleetOf, specOf } from '../fleet.ts';

test('what an image revokes is known to plans, and that nothing may go to what was revoked', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-facts-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await publishManifests(folder, ['1.0', '2.0', '3.0']);
  const file = manifestFile(folder, '3.0');
  const manifest = JSON.parse(await readFile(file, 'utf8'));
  await writeFile(
    file,
    JSON.stringify({ ...manifest, secureBootLists: { generation: 1, revokes: ['1.0'] } }),
  );
  const { versions } = (await publishedImages(folder)).facts.graph;
  const facts = Object.fromEntries(
    versions.map(({ version, revokes, deadEnd }) => [version, { revokes, deadEnd }]),
  );
  t.deepEqual(facts, {
    '1.0': { revokes: undefined, deadEnd: '3.0 revokes it at the firmware' },
    '2.0': { revokes: undefined, deadEnd: undefined },
    '3.0': { revokes: ['1.0'], deadEnd: undefined },
  });
});

test('an image that is a barrier, or wants an image before it, is no image that a plan jumps to', async (t) => {
  const { fleet, paths } = await fleetAt(t);
  const folder = join(paths.root, 'images');
  await publishManifests(folder, ['1.0', '2.0', '3.0', '4.0']);
  const says = async (version: string, more: object) => {
    const file = manifestFile(folder, version);
    await writeFile(file, JSON.stringify({ ...JSON.parse(await readFile(file, 'utf8')), ...more }));
  };
  const plan = async (more: object = {}) => {
    const { facts } = await publishedFor(fleet, folder, {});
    return makePlan(fleetOf(4, 2), specOf({ image: '4.0', ...more }), 0, facts);
  };
  const straight = await plan();
  t.deepEqual(straight.ok && straight.plan.waves[0]!.places[0]!.hops, ['4.0']);
  await says('2.0', { barrier: true });
  await says('4.0', { minSource: '3.0' });
  const refused = await plan();
  t.like(refused, { ok: false });
  t.true(!refused.ok && refused.refusals.some(({ field }) => field === 'barriers'));
  const passed = await plan({ barriers: 'pass' });
  t.deepEqual(passed.ok && passed.plan.waves[0]!.places[0]!.hops, ['2.0', '3.0', '4.0']);
});

test('a withdrawn image is refused by the plan, not by every node, and is no step on the way', async (t) => {
  const { fleet, paths } = await fleetAt(t);
  const folder = join(paths.root, 'images');
  await publishManifests(folder, ['1.0', '2.0', '3.0']);
  const plan = async (image: string, withdrawn: string[]) => {
    const said = { withdrawn: new Set(withdrawn), people: ['operator:ann'] };
    const { facts } = await publishedFor(fleet, folder, {}, said);
    t.deepEqual(facts.people, said.people);
    const result = makePlan(fleetOf(4, 2), specOf({ image }), 0, facts);
    return result.ok ? [] : result.refusals;
  };
  const [refusal] = await plan('2.0', ['2.0']);
  t.like(refusal, { field: 'image' });
  t.regex(refusal!.reason, /2.0 is a dead end: it is withdrawn .*image reinstate/);
  t.deepEqual(await plan('3.0', ['2.0']), []);
});

async function fleetAt(t: ExecutionContext) {
  const { redis, paths } = await redisFor(t);
  return { fleet: new Fleet(redis), paths };
}
