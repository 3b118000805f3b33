/** What holds beyond one rollout: the release floor, and the versions that a node refuses. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { dataPaths } from '../../../base/paths.ts';
import type { Faults } from '../../../lab/sim/fault.ts';
import { publishManifests } from '../../../lab/sim/images.ts';
import { ROLLOUT_KEYS } from '../../../orchestrator/rollout/run/keys.ts';
import { beatOfBoot, certificateFor, enrolment, fleetFor } from '../../orchestrator/fleet/support.ts';
import { benchFor, hasEnded, SPEC } from '../../orchestrator/rollout/run/support.ts';
import { commandsOn } from '../in-process.ts';

const VERSIONS = ['1.0', '2.0', '3.0'];

function specOn(root: string) {
  return async (spec: object): Promise<string> => {
    const file = join(root, 'spec.json');
    await writeFile(file, JSON.stringify({ ...SPEC, ...spec }));
    return file;
  };
}

/** web1 at the default site and web2 at munich, both running `image`. */
async function twoSites(t: ExecutionContext, image: string) {
  const { fleet, at, by, paths } = await fleetFor(t);
  await publishManifests(paths.images, VERSIONS);
  await fleet.sites.add('munich', {}, by());
  for (const [i, site] of ['default', 'munich'].entries()) {
    const n = i + 1;
    const e = enrolment(n, 1, { running: { version: image, kernel: '6.1.0', bootId: `boot-${n}` } });
    await at(site).enrol(e);
    await fleet.approve(e.id, e.words, by(), `web${n}`);
    await at(site).recordCertificate(e.id, certificateFor(e));
    await at(site).heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e));
  }
  return { fleet, bootwave: commandsOn(t, paths.root), spec: specOn(paths.root) };
}

test.serial('no plan leads below the release floor, not even one that goes back on purpose', async (t) => {
  const { bootwave, spec, fleet } = await twoSites(t, '3.0');
  const back = await spec({ image: '1.0', downgrade: true });
  t.is((await bootwave('ann', 'rollout', 'plan', back)).code, '');
  t.is((await bootwave('ann', 'rollout', 'floor')).out, 'no release floor');
  t.is((await bootwave('ann', 'rollout', 'floor', '9.9')).code, 'FLOOR_UNKNOWN');
  t.deepEqual((await bootwave('ann', 'rollout', 'floor', '2.0', '--json')).value, {
    fleet: '2.0',
    sites: {},
  });
  t.like((await fleet.audit.read({ last: 1 }))[0], {
    actor: 'operator:ann',
    action: 'floor',
    reason: 'release floor 2.0, was none',
  });
  const refused = await bootwave('ann', 'rollout', 'plan', back);
  t.is(refused.code, 'ROLLOUT_REFUSED');
  t.is(refused.what, 'image version 1.0 is below the release floor 2.0');
  t.is((await bootwave('ann', 'rollout', 'start', back)).code, 'ROLLOUT_REFUSED');
  t.is((await bootwave('ann', 'rollout', 'plan', await spec({ image: '2.0', downgrade: true }))).code, '');

  t.is((await bootwave('ann', 'rollout', 'floor', '1.0')).code, 'FLOOR_LOWER');
  t.is((await bootwave('ann', 'rollout', 'floor', '--none')).code, 'FLOOR_LOWER');
  t.is((await bootwave('ann', 'rollout', 'floor', '3.0')).code, '', 'it may always rise');
  t.like((await bootwave('ann', 'rollout', 'floor', '--none', '--lower', '--json')).value, { fleet: null });
  t.is((await bootwave('ann', 'rollout', 'plan', back)).code, '');
});

test.serial('a site may have a floor of its own, which holds for its nodes', async (t) => {
  const { bootwave, spec } = await twoSites(t, '3.0');
  t.is((await bootwave('ann', 'site', 'set', 'munich', '--floor', '2.0')).code, '');
  t.is((await bootwave('ann', 'rollout', 'floor')).out, 'no release floor\nsite munich: not below 2.0');
  const back = await spec({ image: '1.0', downgrade: true });
  const plan = (await bootwave('ann', 'rollout', 'plan', back, '--json')).value;
  t.like(plan.skipped, [{ name: 'web2', code: 'below-floor' }]);
  const only = await spec({ image: '1.0', downgrade: true, nodes: { site: 'munich' } });
  const refused = await bootwave('ann', 'rollout', 'plan', only);
  t.is(refused.what, 'image web2: version 1.0 is below 2.0, the floor of the node or its site');
  t.is((await bootwave('ann', 'site', 'set', 'munich', '--floor', '')).code, '');
  t.is((await bootwave('ann', 'rollout', 'plan', only)).code, '');
});

test.serial(
  'a node that failed on a version is left out until it is forgiven, then tries it again',
  async (t) => {
    let broken = true;
    const faults: Faults = (n, version) => (broken && n === 0 && version === '2.0' ? 'panic' : null);
    const bench = await benchFor(t, { count: 2, faults });
    await publishManifests(dataPaths(bench.root).images, VERSIONS);
    const bootwave = commandsOn(t, bench.root);
    const spec = specOn(bench.root);
    bench.orchestrator();
    const start = async () => {
      const file = await spec({ waves: [{}], budget: { wave: 1, whole: 1 }, attempts: 1 });
      const started = await bootwave('ann', 'rollout', 'start', file, '--json');
      return started.code === '' ? bench.until(started.value.id, hasEnded) : started.code;
    };
    t.like(await start(), { rollout: { state: 'partial' } });
    const [bad] = bench.nodes;
    const { name } = (await bench.fleet.nodes.get(bad!.id))!;
    t.is(bad!.running, '1.0');
    t.is((await bootwave('ann', 'rollout', 'forgive', name, '3.0')).code, 'ROLLOUT_NOT_REFUSED');
    const file = await spec({});
    const plan = await bootwave('ann', 'rollout', 'plan', file);
    t.regex(plan.out, /it failed on 2\.0 before: panicked/);
    t.true(plan.out.includes(`to let a node try again: bootwave rollout forgive ${name} 2.0`));
    t.is(await start(), 'ROLLOUT_EMPTY');

    broken = false;
    const forgiven = await bootwave('ann', 'rollout', 'forgive', name, '2.0');
    t.regex(forgiven.out, new RegExp(`^${name} may try 2\\.0 again; it had failed: panicked`));
    t.is((await bootwave('ann', 'rollout', 'forgive', name, '2.0')).code, '', 'said twice it is the same');
    const end = await start();
    t.like(end, { rollout: { state: 'done' } });
    t.is(bad!.running, '2.0');
    t.deepEqual(bad!.status().refused, []);
    t.is(
      await bench.redis.exists(ROLLOUT_KEYS.pardons, ROLLOUT_KEYS.refusers('2.0')),
      0,
      'nothing is left to forgive',
    );
    const history = await bootwave('ann', 'rollout', 'history', name);
    t.regex(history.out, /: 2\.0 may be tried again; it had failed: .* \(operator:ann\)$/m);
    t.regex(history.out, /: the node was told that 2\.0 may be tried again$/m);
  },
);

test.serial('a running rollout is edited, and a node is held back from it and let go again', async (t) => {
  const { bootwave, spec } = await twoSites(t, '1.0');
  const started = await bootwave(
    'ann',
    'rollout',
    'start',
    await spec({ image: '2.0', waves: [{ take: 1 }, {}] }),
    '--json',
  );
  const id = started.value.id as string;
  t.is((await bootwave('ann', 'rollout', 'edit', id)).code, 'ROLLOUT_EDIT_WHAT');
  const edited = await bootwave(
    'ann',
    'rollout',
    'edit',
    id,
    '--not-after',
    '6h',
    '--budget',
    '25%',
    '--at-once',
    '2',
    '--down',
    'ignore',
    '--json',
  );
  t.is(edited.code, '', edited.what);
  t.like(edited.value.edits, { budget: { whole: { percent: 25 } }, whole: 2, down: 'ignore' });
  t.true(edited.value.edits.notAfter > Date.now() + 5 * 3600_000);
  const open = await bootwave('ann', 'rollout', 'edit', id, '--not-after', 'none', '--json');
  t.is(open.code, '', open.message);
  t.is(open.value.edits.notAfter, null);
  t.is((await bootwave('ann', 'rollout', 'edit', id, '--budget', '200%')).code, 'INPUT_INVALID');

  const { nodes } = (await bootwave('ann', 'rollout', 'show', id, '--json')).value;
  const waits = nodes.find(({ state }: { state: string }) => state === 'pending').name as string;
  const held = await bootwave('ann', 'node', 'hold', waits, '--reason', 'disk on order', '--until', '2d');
  t.regex(held.out, /is held/);
  t.regex((await bootwave('ann', 'node', 'list')).out, new RegExp(`healthy, held +${waits}`));
  t.regex(
    (await bootwave('ann', 'node', 'show', waits)).out,
    /held +operator:ann.* holds it until .*: disk on order/,
  );
  t.regex((await bootwave('ann', 'rollout', 'plan', await spec({ image: '3.0' }))).out, /disk on order/);
  t.is((await bootwave('ann', 'node', 'unhold', waits)).code, '');
  t.is((await bootwave('ann', 'rollout', 'suspects')).out, 'no node is in trouble');
  t.deepEqual((await bootwave('ann', 'rollout', 'suspects', '--since', '2h', '--json')).value, {
    suspects: [],
    troubled: 0,
  });
});
