/** Rollouts in a fleet that goes by what was decided: what people do goes through, whatever server does it. */
import test from 'ava';
import { confirm } from '../../../../orchestrator/operations/audit/acts.ts';
import { disagreement } from '../../../../orchestrator/rollout/run/decided.ts';
import { operate } from '../../../../orchestrator/rollout/run/operate.ts';
import { type Bench, benchFor, hasEnded } from './support.ts';

const MANUAL = {
  waves: [{ name: 'canary', take: 1, gates: [{ kind: 'pcr11' }, { kind: 'manual' }] }, { take: 'rest' }],
};
const gated = (bench: Bench, id: string) => bench.until(id, ({ waves }) => waves[0]?.state === 'gated');

test('through, with a late joiner, and back, by servers that take turns', async (t) => {
  const bench = await benchFor(t, { count: 4, decides: 'all' });
  const first = bench.orchestrator();
  const id = await bench.start(MANUAL);
  await gated(bench, id);
  const [late] = await bench.more(1);
  await bench.until(id, ({ nodes }) => nodes.has(late!.id));
  await first.stop();
  bench.orchestrator();
  await operate(bench.redis, id, { type: 'approve', by: 'operator:ann', wave: 0 });
  const end = await bench.until(id, hasEnded);
  t.is(end.rollout.state, 'done', end.rollout.why);
  t.is(late!.running, '2.0');
  t.like(bench.fleet.decisions.rollouts.of(id), { state: 'ended', on: ['2.0'], from: ['1.0'] });

  const next = await bench.start({ ...MANUAL, image: '3.0' });
  const canary = await gated(bench, next);
  t.is(canary.waves[0]?.counts.done, 1);
  await operate(bench.redis, next, { type: 'rollback', by: 'operator:ann', why: 'it smells' });
  const back = await bench.until(next, hasEnded);
  t.is(back.waves[0]?.counts['taken-back'], 1, back.rollout.why);
  t.deepEqual([...new Set([...bench.nodes, late!].map(({ running }) => running))], ['2.0']);
  t.deepEqual(bench.fleet.decisions.rollouts.live, []);
});

test('what the signer signs no more pauses it, with its reason', async (t) => {
  const bench = await benchFor(t, { count: 3, decides: 'all' });
  const { decisions } = bench.fleet;
  bench.orchestrator();
  await bench.until(await bench.start({ waves: [{}] }), hasEnded);
  const id = await bench.start({ ...MANUAL, image: '3.0' });
  await gated(bench, id);
  const by = { actor: 'operator:ann', at: 5 };
  const ended = { ...decisions.rollouts.of(id)!, state: 'ended' } as const;
  await decisions.commit({ records: [] }, [decisions.rollout(id, ended, by, 'ended elsewhere')]);
  await operate(bench.redis, id, { type: 'approve', by: by.actor, wave: 0 });
  const held = await bench.until(id, ({ rollout }) => rollout.state === 'paused');
  t.regex(held.rollout.why, /SIGNER_IMAGE_UNDECIDED/);
  t.is(bench.nodes.filter(({ running }) => running === '3.0').length, 1, 'the canary, from before');
});

test('a rollout of the version before goes on, before and after a person has confirmed it', async (t) => {
  const bench = await benchFor(t, { count: 3, decides: 'older' });
  const { redis, fleet } = bench;
  bench.orchestrator();
  const older = redis.duplicate();
  t.teardown(() => older.disconnect());
  const id = await bench.start(MANUAL, older);
  await gated(bench, id);
  t.is(fleet.decisions.rollouts.of(id), undefined);
  t.is(await disagreement(redis, id), null);
  const acting = { fleet, by: { actor: 'operator:ann', at: 5 } } as never;
  t.like(await confirm({}, acting), { rollouts: 1, fresh: true });
  t.like(await confirm({}, acting), { rollouts: 0, fresh: false }, 'once');
  t.true(fleet.decisions.rollouts.gave('1.0'), 'what nodes ran counts as decided');
  t.is(await disagreement(redis, id), null);
  await operate(redis, id, { type: 'approve', by: 'operator:ann', wave: 0 });
  const end = await bench.until(id, hasEnded);
  t.is(end.rollout.state, 'done', end.rollout.why);
  t.is(fleet.decisions.rollouts.of(id)?.state, 'ended');
  const unheard = await bench.start({ image: '3.0' }, older);
  t.regex((await disagreement(redis, unheard))?.why ?? '', /nobody has started it/, 'from then on');
});
