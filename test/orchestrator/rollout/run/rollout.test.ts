import test from 'ava';
import { benchFor, hasEnded, twice } from './support.ts';

test('a good version reaches every node, wave by wave, once', async (t) => {
  const bench = await benchFor(t, { count: 24 });
  bench.orchestrator();
  bench.orchestrator();
  const id = await bench.start({ gates: [{ kind: 'pcr11' }, { kind: 'attested' }] });
  const end = await bench.until(id, hasEnded);
  t.is(end.rollout.state, 'done', end.rollout.why);
  t.deepEqual([...new Set(bench.nodes.map((node) => node.running))], ['2.0']);
  t.deepEqual([...twice(bench.nodes, 'wrote', '2.0'), ...twice(bench.nodes, 'booted', '2.0')], []);
  t.deepEqual(
    end.waves.map((wave) => wave.counts.done),
    [2, 8, 14, 0],
  );

  const audit = (await bench.fleet.audit.read()).filter((entry) => entry.detail?.rollout === id);
  const waves = audit.filter((entry) => entry.detail?.wave !== undefined && entry.to === 'done');
  t.deepEqual(
    waves.map((entry) => entry.detail?.wave),
    ['canary', 'wave 2', 'wave 3', 'tail'],
  );
  // Nobody of a later wave is touched before the wave ahead of it is done.
  const canaryDone = audit.findIndex((entry) => entry.detail?.wave === 'canary' && entry.to === 'done');
  const staged = audit.slice(0, canaryDone).filter((entry) => entry.to === 'staging');
  t.is(staged.length, 2);
});

test('a node that is back is asked at once, and again when its bake ends: nobody waits for the next round', async (t) => {
  const bench = await benchFor(t, { count: 6 });
  const hour = 3600_000;
  bench.orchestrator({ watch: { active: hour, fleet: hour } });
  const id = await bench.start({ waves: [{ take: 2 }, { take: 'rest' }] });
  const end = await bench.until(id, hasEnded);
  t.is(end.rollout.state, 'done', end.rollout.why);
  t.deepEqual([...new Set(bench.nodes.map((node) => node.running))], ['2.0']);
});
