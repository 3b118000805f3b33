/** Services as a person rolls them out, from the first word to what is shown of them. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { release, running } from '../../orchestrator/rollout/run/service-bench.ts';
import { benchFor, hasEnded, SPEC } from '../../orchestrator/rollout/run/support.ts';
import { commandsOn } from '../in-process.ts';

test.serial(
  'planned, started and shown in plain words; what comes after it may be services, too',
  async (t) => {
    const bench = await benchFor(t, { count: 3, decides: 'all' });
    await release(bench, 'fleet/chrony:4.3', 'fleet/unbound:1.17');
    const bootwave = commandsOn(t, bench.root);
    const rollout = (...args: string[]) => bootwave('ann', 'rollout', ...args);
    const { image: _, gates: __, ...spec }: Record<string, unknown> = { ...SPEC, waves: [{}] };
    const file = join(bench.root, 'spec.json');
    await writeFile(file, JSON.stringify({ ...spec, then: [{ services: ['unbound:none'] }] }));
    const both = ['--service', 'unbound:1.17', '--service', 'chrony:4.3'];

    const plan = await rollout('plan', file, ...both);
    t.is(plan.code, '', plan.what);
    t.regex(plan.out, /^services chrony:4\.3, unbound:1\.17 to 3 nodes/);
    t.regex(plan.out, / chrony:none, unbound:none -> chrony:4\.3, unbound:1\.17 /);
    t.regex(plan.out, /then service unbound:none: planned when this is done/);
    const unknown = await rollout('plan', file, '--service', 'chrony:5');
    t.is(unknown.code, 'ROLLOUT_REFUSED');
    t.regex(unknown.what, /^services\[0\] chrony:5 is not released/);
    t.is((await rollout('plan', file, ...both, '--image', '2.0')).code, 'ROLLOUT_REFUSED');

    bench.orchestrator();
    const started = await rollout('start', file, ...both, '--json');
    t.is(started.code, '', started.what);
    const { id, later } = started.value as { id: string; later: [string] };
    await bench.until(id, hasEnded);
    const end = await bench.until(later[0], hasEnded);
    t.is(end.rollout.state, 'done', end.rollout.why);
    t.deepEqual(running(bench), ['fleet/chrony:4.3 healthy']);
    const shown = (await rollout('show', id)).out;
    t.regex(shown, /: services chrony:4\.3, unbound:1\.17, by operator:ann/);
    t.regex(shown, /done +chrony:4\.3, unbound:1\.17 +on chrony:4\.3, unbound:1\.17/);
    t.regex((await rollout('list')).out, /chrony:4\.3, unbound:1\.17 +done/);
    t.false(shown.includes('fleet/'), shown);
  },
);
