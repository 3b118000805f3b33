/** The commands as people give them, with an orchestrator beside them. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { dataPaths } from '../../../../base/paths.ts';
import { publishManifests } from '../../../../lab/sim/images.ts';
import { commandsOn } from '../../../cli/in-process.ts';
import { keysIn } from '../../../support/keys.ts';
import { operatorOf } from '../../operators/people.ts';
import { type Bench, benchFor, hasEnded, SPEC } from './support.ts';

/** Ann and bob have certificates; everybody else is who sudo says. */
async function commandLine(t: ExecutionContext, bench: Bench, versions: readonly string[]) {
  const paths = dataPaths(bench.root);
  await publishManifests(paths.images, versions);
  await keysIn(paths.keys);
  const bootwave = commandsOn(t, bench.root);
  const people = new Map<string, string>();
  for (const name of ['ann', 'bob']) people.set(name, (await operatorOf(paths, { name }, Date.now())).file);
  return (who: string, ...args: string[]) => {
    const file = people.get(who);
    return bootwave(who, ...(file === undefined ? [] : ['--as', file]), 'rollout', ...args);
  };
}

test.serial('a rollout is planned, refused, approved by another, paused, resumed and shown', async (t) => {
  const bench = await benchFor(t, { count: 4 });
  const rollout = await commandLine(t, bench, ['1.0', '2.0']);
  const file = join(bench.root, 'spec.json');
  const write = (spec: object) => writeFile(file, JSON.stringify({ ...SPEC, ...spec }));

  await write({ image: '9.9', waves: [{ take: '150%' }] });
  const refused = await rollout('ann', 'start', file, '--json');
  t.is(refused.code, 'ROLLOUT_REFUSED');
  t.regex(refused.what, /waves\[0\]\.take is over 100 %/);

  await write({ waves: [{ name: 'canary', take: 1 }, { take: 'rest' }], approvals: { count: 1 } });
  const plan = await rollout('ann', 'plan', file);
  t.is(plan.code, '', plan.what);
  for (const word of ['image 2.0 to 4 nodes', 'canary: 1 nodes', '1.0 -> 2.0', 'site par'])
    t.true(plan.out.includes(word), word);
  t.deepEqual((await rollout('ann', 'list', '--json')).value, []);

  t.is((await rollout('carl', 'start', file)).code, 'ROLLOUT_CERTIFICATE', 'no eyes that could be counted');
  const started = await rollout('ann', 'start', file, '--json');
  t.like(started, { code: '', value: { state: 'awaiting-approval' } });
  const { id } = started.value;
  t.is((await rollout('ann', 'start', file)).code, 'ROLLOUT_EMPTY', 'its nodes are held');
  t.like(await rollout('ann', 'approve', id), {
    code: 'ROLLOUT_CANNOT',
    what: 'cannot approve: the author cannot approve',
  });
  for (const who of ['ann@host', 'carl'])
    t.regex((await rollout(who, 'approve', id)).what, /known by no certificate/);
  t.like((await rollout('bob', 'approve', id, '--json')).value, { state: 'running', by: 'operator:bob' });
  t.like((await rollout('bob', 'pause', id, '--reason', 'lunch', '--json')).value, {
    state: 'paused',
    why: 'lunch',
  });
  t.is((await rollout('bob', 'pause', id)).code, 'ROLLOUT_CANNOT');

  // Whoever did all this has long gone: the records are enough to carry it out.
  bench.orchestrator();
  t.like((await rollout('bob', 'resume', id, '--json')).value, { state: 'running' });
  const end = await bench.until(id, hasEnded);
  t.is(end.rollout.state, 'done', end.rollout.why);
  t.deepEqual([...new Set(bench.nodes.map((node) => node.running))], ['2.0']);
  const show = await rollout('ann', 'show', id);
  t.regex(show.out, /^done \(engine\): every node is on 2\.0$/m);
  t.is((await rollout('ann', 'show', 'ro-none')).code, 'ROLLOUT_UNKNOWN');
  t.like((await rollout('ann', 'list', '--json')).value, [{ id, state: 'done', version: '2.0' }]);
});
