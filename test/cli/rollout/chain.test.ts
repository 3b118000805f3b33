/** One document of two parts, and a rollout in the place of another, as people give them. Nobody carries them out. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { publishManifests } from '../../../lab/sim/images.ts';
import { publishConfig } from '../../../orchestrator/config/store.ts';
import { membersFor } from '../../orchestrator/rollout/run/members.ts';
import { commandsOn } from '../in-process.ts';

async function world(t: ExecutionContext) {
  const { redis, paths, member } = await membersFor(t);
  await publishManifests(paths.images, ['1.0', '2.0', '3.0']);
  await publishConfig(redis, JSON.stringify({ labels: { pool: 'a' } }), '7', {
    actor: 'operator:ann',
    at: 1,
  });
  await member(1);
  const bootwave = commandsOn(t, paths.root);
  const rollout = (...args: string[]) => bootwave('ann', 'rollout', ...args);
  const spec = async (value: object) => {
    const file = join(paths.root, 'spec.json');
    await writeFile(file, JSON.stringify({ nodes: { all: true }, ...value }));
    return file;
  };
  return { rollout, spec };
}

test.serial('a document: planned, refused, started, shown, and dropped as a whole', async (t) => {
  const { rollout, spec } = await world(t);
  const bad = await rollout('start', await spec({ image: '2.0', then: [{ config: '8' }] }));
  t.is(bad.code, 'ROLLOUT_REFUSED');
  t.regex(bad.what, /then\[0\]\.config configuration 8 is not published/);
  t.is(
    (await rollout('plan', await spec({ image: '2.0', then: [{ config: '8' }] }))).code,
    'ROLLOUT_REFUSED',
  );
  t.deepEqual((await rollout('list', '--json')).value, []);

  const file = await spec({ image: '2.0', then: [{ config: '7' }] });
  t.regex((await rollout('plan', file)).out, /^then config 7: planned when this is done$/m);
  const started = await rollout('start', file, '--json');
  t.is(started.code, '', started.message);
  const { id, later } = started.value;
  t.is(later.length, 1);
  t.regex((await rollout('list')).out, new RegExp(`${later[0]} .* waiting .* waits until ${id} is done`));
  t.regex(
    (await rollout('show', id)).out,
    new RegExp(`^then ${later[0]} \\(config 7\\): waiting: waits`, 'm'),
  );
  t.regex((await rollout('show', later[0])).out, new RegExp(`^after ${id} \\(image 2.0\\): running`, 'm'));
  t.like(JSON.parse((await rollout('spec', id)).out), { image: '2.0', then: [{ config: '7' }] });
  t.deepEqual(JSON.parse((await rollout('spec', later[0])).out), { nodes: { all: true }, config: '7' });
  t.is((await rollout('pause', later[0])).code, 'ROLLOUT_CANNOT');
  t.like((await rollout('abort', later[0], '--json')).value, { state: 'aborted' });
});

test.serial('in the place of another, and after another', async (t) => {
  const { rollout, spec } = await world(t);
  const old = (await rollout('start', await spec({ image: '2.0' }), '--json')).value.id;
  t.is(
    (await rollout('start', await spec({ image: '3.0' }), '--supersede', 'ro-none')).code,
    'ROLLOUT_UNKNOWN',
  );
  t.is((await rollout('plan', await spec({ image: '3.0' }), '--json')).value.disruption.nodes, 0);
  const plan = await rollout('plan', await spec({ image: '3.0' }), '--supersede', old, '--json');
  t.is(plan.value.disruption.nodes, 1, 'as if the old one had ended');
  const both = await rollout('start', await spec({ image: '3.0' }), '--supersede', old, '--after', old);
  t.is(both.code, 'ROLLOUT_AFTER');

  const after = await rollout('start', await spec({ config: '7' }), '--after', old);
  t.regex(after.out, new RegExp(`^ro-\\S+ is waiting \\(waits until ${old} is done\\); watch it`));
  const next = await rollout('start', await spec({ image: '3.0' }), '--supersede', old, '--json');
  t.is(next.code, '', next.message);
  t.regex((await rollout('show', old)).out, new RegExp(`^abort.*: superseded by ${next.value.id}$`, 'm'));
  t.regex(
    (await rollout('show', old)).out,
    new RegExp(`^superseded by ${next.value.id} \\(image 3.0\\)`, 'm'),
  );
  t.regex((await rollout('show', next.value.id)).out, new RegExp(`^in place of ${old} \\(image 2.0\\)`, 'm'));
});
