/** What an operator does while a rollout runs: simulated nodes, a real Redis, an orchestrator beside the commands. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { dataPaths } from '../../../base/paths.ts';
import { watchRollout } from '../../../cli/rollout/watch.ts';
import type { Faults } from '../../../lab/sim/fault.ts';
import { publishManifests } from '../../../lab/sim/images.ts';
import { type Bench, benchFor, hasEnded, SPEC } from '../../orchestrator/rollout/run/support.ts';
import { commandsOn } from '../in-process.ts';
import { lookAt } from './look.ts';

async function operatorOf(t: ExecutionContext, options: { count: number; faults?: Faults }) {
  const bench = await benchFor(t, options);
  await publishManifests(dataPaths(bench.root).images, ['1.0', '2.0']);
  const bootwave = commandsOn(t, bench.root);
  const rollout = (...args: string[]) => bootwave('ann', 'rollout', ...args);
  const start = async (spec: object): Promise<string> => {
    const file = join(bench.root, 'spec.json');
    await writeFile(file, JSON.stringify({ ...SPEC, ...spec }));
    const started = await rollout('start', file, '--json');
    t.is(started.code, '', started.what);
    return started.value.id;
  };
  return { bench, rollout, start, name: (n: number) => nameOf(bench, n) };
}

async function nameOf({ fleet, nodes }: Bench, n: number): Promise<string> {
  return (await fleet.nodes.get(nodes[n]!.id))!.name;
}

function watched(bench: Bench, id: string, json: boolean, signal = new AbortController().signal) {
  let text = '';
  const write = (more: string) => {
    text += more;
  };
  const exit = watchRollout(lookAt(bench, id), id, { json, signal, every: 100, screen: null, write });
  return exit.then((code) => ({ code, lines: text.trimEnd().split('\n') }));
}

test('watched, all that happens is told, and told again by the history; a node is skipped', async (t) => {
  const { bench, rollout, start, name } = await operatorOf(t, { count: 6 });
  const id = await start({
    waves: [{ name: 'canary', take: 1 }, { take: 3 }, { take: 'rest' }],
    order: 'name',
  });
  const steps = [...(await bench.state(id)).nodes.values()];
  const first = steps.find(({ wave }) => wave === 0)!;
  t.is((await rollout('skip', id)).code, 'ROLLOUT_SKIP_WHAT');
  const last = steps.find(({ wave }) => wave === 2)!;
  t.is((await rollout('skip', id, last.name, '--reason', 'in use')).code, '');
  t.regex((await rollout('list')).out, /NOBODY LISTENS at site default so far/);
  const waits = watched(bench, id, true);
  bench.orchestrator();
  const { code, lines } = await waits;
  t.is(code, 1, 'one node is not on the version');
  const events = lines.map((line) => JSON.parse(line));
  t.is(events[0].type, 'state');
  t.like(events.at(-1), { type: 'state', state: 'partial' });
  t.like(
    events.findLast(({ type }) => type === 'event'),
    { what: 'rollout', to: 'partial', by: 'rollout' },
  );
  t.is(events.filter(({ state }) => state === 'partial').length, 1, 'the end is told once, and last');
  const done = events.filter(({ what, to }) => what === 'node' && to === 'done').map((event) => event.name);
  t.is(new Set(done).size, 5);
  t.false(done.includes(last.name));

  t.notRegex((await rollout('list')).out, /NOBODY LISTENS/, 'nothing waits for these nodes');
  t.is((await rollout('list', '--json')).value[0].id, id);

  const history = await rollout('history', id);
  t.regex(history.out, /^\S+ \S+ {2}rollout planned -> running: started \(operator:ann\)$/m);
  t.regex(history.out, /wave canary waiting -> open: its turn$/m);
  t.regex(history.out, new RegExp(`${last.name} pending -> skipped: operator:ann: in use`));
  t.notRegex(history.out, /staging -> staged/, 'what went well is left out');
  t.regex((await rollout('history', id, '--all')).out, /staging -> staged/);
  const ofNode = await rollout('history', first.name, '--json');
  t.deepEqual(
    ofNode.value.map(({ to }: { to: string }) => to),
    ['staging', 'staged', 'activating', 'booted', 'attested', 'baking', 'done'],
  );
  t.is(await rollout('history', await name(0)).then(({ out }) => out.split('\n')[0]), id);
});

test('a wave is skipped, the rest goes on; ended otherwise than done exits 1, a signal 130', async (t) => {
  const { bench, rollout, start } = await operatorOf(t, { count: 6 });
  const id = await start({ waves: [{ name: 'canary', take: 1 }, { take: 2 }, { take: 'rest' }] });
  const stop = new AbortController();
  stop.abort();
  t.is((await watched(bench, id, false, stop.signal)).code, 130);
  t.is((await rollout('skip', id, '--wave', '2', '--reason', 'holiday')).code, '');
  t.is((await rollout('skip', id, '--wave', '9')).code, 'ROLLOUT_WAVE_UNKNOWN');
  t.is((await rollout('skip', id, '--wave', 'wave 2', '--undo')).code, '');
  t.is((await rollout('skip', id, '--wave', 'wave 2')).code, '');
  bench.orchestrator();
  const end = await bench.until(id, hasEnded);
  t.is(end.rollout.state, 'partial');
  t.deepEqual(
    end.waves.map(({ counts }) => counts.done),
    [1, 0, 3, 0],
  );
  const { code, lines } = await watched(bench, id, false);
  t.is(code, 1);
  t.regex(lines.at(-2)!, new RegExp(`^${id} is partial \\(engine\\): 2 of 6 nodes`));
  t.is(lines.at(-1), '4 of 6 nodes are on 2.0, 0 failed');
  t.is((await rollout('skip', id, '--wave', '2')).code, 'ROLLOUT_CANNOT', 'it has ended');
});

test('what a rollout has done is undone, and what it has left is done, by specs that it makes', async (t) => {
  const { bench, rollout, start } = await operatorOf(t, { count: 4 });
  bench.orchestrator();
  const first = await start({ waves: [{ take: 2, gates: [{ kind: 'manual' }] }, { take: 'rest' }] });
  await bench.until(first, ({ waves }) => waves[0]?.state === 'gated');
  t.is((await rollout('spec', first, '--undo')).code, 'ROLLOUT_NOT_ENDED');
  await rollout('abort', first);
  await bench.until(first, hasEnded);
  const again = async (...how: string[]) => {
    const made = await rollout('spec', first, ...how);
    t.is(made.code, '', made.what);
    return JSON.parse(made.out) as object;
  };
  t.like(await again(), { image: '2.0', nodes: SPEC.nodes });
  const undone = await start({ waves: undefined, ...(await again('--undo')) });
  await bench.until(undone, ({ waves }) => waves[0]?.state === 'gated');
  await rollout('abort', undone);
  await bench.until(undone, hasEnded);
  t.is(bench.nodes.filter(({ running }) => running === '2.0').length, 0);
  const retried = await start({ waves: undefined, ...(await again('--retry')), gates: [] });
  await bench.until(retried, ({ waves }) => waves[0]?.state === 'gated');
  t.is(bench.nodes.filter(({ running }) => running === '2.0').length, 2);
  await rollout('abort', retried);
  await bench.until(retried, hasEnded);
});

test('aborted, what runs the new version keeps it; rolled back, nothing does', async (t) => {
  const { bench, rollout, start } = await operatorOf(t, { count: 5 });
  bench.orchestrator();
  const spec = { waves: [{ name: 'canary', take: 2, gates: [{ kind: 'manual' }] }, { take: 'rest' }] };
  const first = await start(spec);
  const gated = await bench.until(first, ({ waves }) => waves[0]?.state === 'gated');
  t.is(gated.rollout.state, 'running');
  t.is((await rollout('approve', first, '--wave', '2')).code, 'ROLLOUT_CANNOT', 'not that one');
  const aborted = await rollout('abort', first, '--reason', 'not today', '--json');
  t.regex(aborted.value.state, /^abort/);
  const end = await bench.until(first, hasEnded);
  t.like(end.rollout, { state: 'aborted', why: 'not today' });
  t.is(bench.nodes.filter(({ running }) => running === '2.0').length, 2);

  const second = await start(spec);
  const taken = await bench.until(second, ({ waves }) => waves[0]?.state === 'gated');
  t.deepEqual(
    taken.waves.map(({ counts }) => counts.done),
    [2, 0, 0],
  );
  t.is((await rollout('rollback', second, '--reason', 'slow', '--json')).value.state, 'rolling-back');
  const back = await bench.until(second, hasEnded);
  t.is(back.rollout.state, 'aborted');
  t.regex(back.rollout.why, /rolled back: slow/);
  // Those of the first rollout had the new version before the second one came.
  t.is(bench.nodes.filter(({ running }) => running === '2.0').length, 2);
  t.is([...back.nodes.values()].filter(({ state }) => state === 'taken-back').length, 2);
});

test('two rollouts want one node: the plan of the second leaves it out and names the first', async (t) => {
  const { bench, rollout, start } = await operatorOf(t, { count: 3 });
  const names = await Promise.all([0, 1, 2].map((n) => nameOf(bench, n)));
  const first = await start({ nodes: { names: [names[0], names[1]] } });
  const file = join(bench.root, 'spec.json');
  await writeFile(file, JSON.stringify({ ...SPEC, nodes: { all: true } }));
  const plan = await rollout('plan', file, '--json');
  t.deepEqual(
    plan.value.skipped.map(({ name, code, why }: Record<string, string>) => [name, code, why]).sort(),
    [names[0], names[1]].sort().map((name) => [name, 'in-another-rollout', `rollout ${first} has it`]),
  );
  await writeFile(file, JSON.stringify({ ...SPEC, nodes: { names: [names[1]] } }));
  t.is((await rollout('start', file)).code, 'ROLLOUT_EMPTY');
});

test('a node that is retired in the middle of its wave is let go, and the others are not held up', async (t) => {
  const faults: Faults = (n, version) => (n === 1 && version === '2.0' ? 'hang' : null);
  const { bench, rollout, start, name } = await operatorOf(t, { count: 3, faults });
  bench.orchestrator();
  const id = await start({ waves: [{}] });
  const { id: hung } = bench.nodes[1]!;
  await bench.until(id, (state) => state.nodes.get(hung)?.state === 'activating');
  const leaver = await name(1);
  await bench.fleet.retire(hung, 'sold', { actor: 'operator:ann', at: Date.now() });
  const end = await bench.until(id, hasEnded);
  t.like(end.rollout, { state: 'done', gone: 1, failures: 0 });
  t.like(end.nodes.get(hung), { state: 'skipped', why: 'it is retired', slot: false });
  t.deepEqual(
    [0, 2].map((n) => bench.nodes[n]!.running),
    ['2.0', '2.0'],
  );
  const history = await rollout('history', id);
  t.regex(history.out, new RegExp(`${leaver} \\S+ -> skipped: it is retired$`, 'm'));
});
