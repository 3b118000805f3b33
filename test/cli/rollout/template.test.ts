/** A spec without a version: from a file, and from what the fleet keeps for all. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { dataPaths } from '../../../base/paths.ts';
import { publishManifests } from '../../../lab/sim/images.ts';
import { removeTemplate } from '../../../orchestrator/rollout/run/templates.ts';
import { benchFor, SPEC } from '../../orchestrator/rollout/run/support.ts';
import { commandsOn } from '../in-process.ts';

async function teamOf(t: ExecutionContext) {
  const bench = await benchFor(t, { count: 2 });
  await publishManifests(dataPaths(bench.root).images, ['1.0', '2.0', '3.0']);
  const bootwave = commandsOn(t, bench.root);
  const rollout = (...args: string[]) => bootwave('ann', 'rollout', ...args);
  const { image: _, ...template }: Record<string, unknown> = { ...SPEC, waves: [{}] };
  const file = join(bench.root, 'spec.json');
  await writeFile(file, JSON.stringify(template, null, 2));
  return { ...bench, rollout, file, template };
}

test.serial('the version of a spec file may be said beside it, and never against it', async (t) => {
  const { rollout, file, template } = await teamOf(t);
  const open = await rollout('plan', file);
  t.is(open.code, 'ROLLOUT_REFUSED');
  t.regex(open.what, /image is missing: .* --image, --config or --service/);
  const plan = await rollout('plan', file, '--image', '2.0', '--json');
  t.is(plan.code, '', plan.what);
  t.deepEqual(plan.value.target, { of: 'image', version: '2.0' });
  const text = await rollout('plan', file, '--image', '2.0');
  const hash = /plan ([0-9a-f]{12})$/.exec(text.out)?.[1] ?? '';
  t.is((await rollout('plan', file, '--image', '9.0')).code, 'ROLLOUT_REFUSED');
  t.is((await rollout('plan')).code, 'ROLLOUT_SPEC_WHAT');
  t.is((await rollout('plan', file, '--template', 'weekly')).code, 'ROLLOUT_SPEC_WHAT');
  t.is((await rollout('plan', file, '--image', '2.0', '--config', 'c1')).code, 'ROLLOUT_REFUSED');
  t.is((await rollout('plan', file, '--image', '')).code, 'INPUT_INVALID');

  t.is((await rollout('start', file, '--image', '3.0', '--plan', hash)).code, 'ROLLOUT_PLAN_CHANGED');
  const started = await rollout('start', file, '--image', '2.0', '--plan', hash, '--json');
  t.is(started.code, '', started.what);
  const { value } = await rollout('spec', started.value.id, '--json');
  t.deepEqual(value, { ...template, image: '2.0' });
  await writeFile(file, JSON.stringify(value));
  t.is((await rollout('plan', file, '--image', '3.0')).code, 'ROLLOUT_REFUSED');
  t.is((await rollout('plan', file, '--image', '2.0')).code, '');
});

test.serial('a template is set once and used by all; the rollout names it and outlives it', async (t) => {
  const { rollout, file, template, fleet } = await teamOf(t);
  t.regex((await rollout('template', 'list')).out, /no template yet/);
  t.is((await rollout('plan', '--template', 'weekly', '--image', '2.0')).code, 'TEMPLATE_UNKNOWN');
  const set = await rollout('template', 'set', 'weekly', file);
  t.regex(set.out, /rollout plan --template weekly --image VERSION/);
  t.regex((await rollout('template', 'list')).out, /weekly +\S+ \S+ +operator:ann/);
  t.is((await rollout('template', 'show', 'weekly')).out, await readFile(file, 'utf8'), 'byte for byte');

  const other = join(file, '..', 'other.json');
  await writeFile(other, JSON.stringify({ ...template, image: '2.0', attempts: 0 }));
  const bad = await rollout('template', 'set', 'weekly', other);
  t.is(bad.code, 'ROLLOUT_REFUSED');
  t.regex(bad.what, /^image does not belong in a template.*\n +attempts /);
  t.regex(bad.message, /the template was not kept/);
  t.is((await rollout('template', 'set', 'weekly', `${other}x`)).code, 'ROLLOUT_SPEC_FILE');
  t.is((await rollout('template', 'set', 'Weekly', file)).code, 'NAME_INVALID');

  const by = ['--template', 'weekly', '--image', '2.0'];
  const shown = await rollout('plan', ...by);
  t.is(shown.code, '', shown.what);
  const hash = /plan ([0-9a-f]{12})$/.exec(shown.out)?.[1] ?? '';
  t.is((await rollout('plan', file, '--image', '2.0')).out, shown.out, 'as from the file');
  await writeFile(other, JSON.stringify({ ...template, attempts: 1 }));
  await rollout('template', 'set', 'weekly', other);
  t.is((await rollout('start', ...by, '--plan', hash)).code, 'ROLLOUT_PLAN_CHANGED', 'it changed meanwhile');
  const started = await rollout('start', ...by, '--json');
  t.is(started.code, '', started.what);
  const { id } = started.value;
  t.regex((await rollout('show', id)).out, /, from template weekly$/m);
  t.is((await rollout('template', 'remove', 'weekly')).code, '');
  t.is((await rollout('template', 'remove', 'weekly')).code, 'TEMPLATE_UNKNOWN');
  await t.throwsAsync(removeTemplate(fleet, 'weekly', { actor: 'x', at: 1 }), { code: 'TEMPLATE_UNKNOWN' });
  t.deepEqual((await rollout('spec', id, '--json')).value, { ...template, attempts: 1, image: '2.0' });
  t.is((await rollout('start', ...by)).code, 'TEMPLATE_UNKNOWN');
});
