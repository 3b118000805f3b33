/** Several rollouts one after the other, in the place of another and before another, on the real wire. */
import test from 'ava';
import { dataPaths } from '../../../../base/paths.ts';
import { publishConfig } from '../../../../orchestrator/config/store.ts';
import type { Acting } from '../../../../orchestrator/operations/operation.ts';
import { start } from '../../../../orchestrator/operations/rollout/start.ts';
import { kill, orchestratorProcess } from './process.ts';
import { type Bench, benchFor, hasEnded, SPEC, twice } from './support.ts';

const ANN = { actor: 'operator:ann', at: 1 };
/** No node fails here, however little of the processor it gets. */
const timeouts = { ...SPEC.timeouts, activate: '120s', rollback: '120s', unhealthy: '60s', silent: '120s' };

async function begin(
  { fleet, root }: Bench,
  spec: object,
  how: { supersede?: string; preempt?: string } = {},
) {
  const acting = { fleet, paths: dataPaths(root), by: { ...ANN, at: Date.now() }, identity: ANN };
  const { id, later } = await start(
    { spec: JSON.stringify({ ...SPEC, timeouts, ...spec }), ...how },
    acting as unknown as Acting,
  );
  return [id, ...later] as [string, ...string[]];
}

test('first the image, then the configuration, and every orchestrator is killed in between', async (t) => {
  const bench = await benchFor(t, { count: 6 });
  await bench.signer.knows(
    await publishConfig(bench.redis, JSON.stringify({ labels: { pool: 'a' } }), '1', ANN),
  );
  const first = [await orchestratorProcess(t, bench), await orchestratorProcess(t, bench)];
  const waves = [{ name: 'canary', take: 2 }, { take: 'rest' }];
  const [image, config] = await begin(bench, { waves, then: [{ config: '1' }] });
  await bench.until(image, hasEnded);
  await Promise.all(first.map(kill));
  t.true(bench.nodes.every(({ running, configVersion }) => running === '2.0' && configVersion !== '1'));
  const boots = bench.nodes.map(({ bootId }) => bootId);
  await Promise.all([orchestratorProcess(t, bench), orchestratorProcess(t, bench)]);
  const end = await bench.until(config!, hasEnded);
  t.is(end.rollout.state, 'done', end.rollout.why);
  t.deepEqual(
    end.waves.map(({ counts }) => counts.done),
    [2, 4, 0],
    'its own waves, as the document says',
  );
  t.deepEqual([...new Set(bench.nodes.map(({ configVersion }) => configVersion))], ['1']);
  t.deepEqual(
    bench.nodes.map(({ bootId }) => bootId),
    boots,
  );
  t.deepEqual([...twice(bench.nodes, 'wrote', '2.0'), ...twice(bench.nodes, 'booted', '2.0')], []);
  const started = (await bench.fleet.audit.read()).filter(
    ({ detail, to, node }) => node === undefined && detail?.rollout === config && to === 'running',
  );
  t.is(started.length, 1);
});

test('superseded at 40 %: the newer version goes to all, in its own waves, and nobody boots twice', async (t) => {
  const bench = await benchFor(t, { count: 10, sim: { stage: 2_000 } });
  const first = await orchestratorProcess(t, bench);
  const waves = [{ name: 'canary', take: 4 }, { take: 'rest' }];
  const [old] = await begin(bench, { waves });
  await bench.until(old, ({ waves }) => (waves[1]?.counts.staging ?? 0) > 0);
  const [next] = await begin(
    bench,
    { image: '3.0', waves: [{ name: 'canary', take: 1 }, {}] },
    { supersede: old },
  );
  await kill(first);
  bench.orchestrator();
  bench.orchestrator();
  const gone = await bench.until(old, hasEnded);
  t.like(gone.rollout, { state: 'aborted', why: `superseded by ${next}` });
  t.is(gone.waves[0]?.counts.done, 4);
  t.is(gone.waves[1]?.counts.done, 0);
  const end = await bench.until(next, hasEnded);
  t.is(end.rollout.state, 'done', end.rollout.why);
  t.deepEqual(
    end.waves.map(({ counts }) => counts.done),
    [1, 9, 0],
  );
  t.deepEqual([...new Set(bench.nodes.map(({ running }) => running))], ['3.0']);
  const on = bench.nodes.filter(({ deeds }) =>
    deeds.some((deed) => deed.what === 'booted' && deed.version === '2.0'),
  );
  t.is(on.length, 4, 'what was only staged never started');
  t.deepEqual([...twice(bench.nodes, 'wrote', '3.0'), ...twice(bench.nodes, 'booted', '3.0')], []);
});

test('an urgent one goes first at 40 %, with orchestrators killed, and the older one brings the others to their end', async (t) => {
  const bench = await benchFor(t, { count: 10, sim: { stage: 2_000 } });
  const first = await orchestratorProcess(t, bench);
  const [old] = await begin(bench, { waves: [{ name: 'canary', take: 4 }, { take: 'rest' }] });
  const { nodes } = await bench.until(old, ({ waves }) => (waves[1]?.counts.staging ?? 0) > 0);
  const of = (wave: number) => [...nodes.values()].filter((step) => step.wave === wave);
  const names = [...of(0).slice(0, 2), ...of(1).slice(0, 3)].map(({ node }) => node);
  const [urgent] = await begin(bench, { image: '3.0', nodes: { names }, waves: [{}] }, { preempt: old });
  await kill(first);
  const second = await orchestratorProcess(t, bench);
  const end = await bench.until(urgent, hasEnded);
  t.is(end.rollout.state, 'done', end.rollout.why);
  await kill(second);
  bench.orchestrator();
  const last = await bench.until(old, hasEnded);
  t.is(last.rollout.state, 'done', last.rollout.why);
  t.regex(last.rollout.why, /but for 3 that another rollout has taken/);
  t.is(last.rollout.failures, 0);
  const on = (version: string) => bench.nodes.filter(({ running }) => running === version);
  t.deepEqual(
    on('3.0')
      .map(({ id }) => id)
      .sort(),
    [...names].sort(),
  );
  t.is(on('2.0').length, 5);
  t.deepEqual([...twice(bench.nodes, 'booted', '2.0'), ...twice(bench.nodes, 'booted', '3.0')], []);
});
