/** What a plan says of limits and windows that waves and the way back have of their own. */
import test from 'ava';
import { makePlan } from '../../../orchestrator/rollout/plan.ts';
import { planHash } from '../../../orchestrator/rollout/plan-hash.ts';
import { FACTS, fleetOf, planOf, specOf } from './fleet.ts';

const MONDAY = Date.parse('2030-06-03T12:00:00Z');
const NIGHT = { zone: 'UTC', from: '22:00', to: '24:00' };
const LOOSE = { whole: 16, site: '100%', rack: 4 };
const refusalsOf = (spec: Record<string, unknown>) => {
  const result = makePlan(fleetOf(16, 2), specOf(spec), MONDAY, FACTS);
  return result.ok ? [] : result.refusals;
};
const planAt = (spec: Record<string, unknown>, now = MONDAY) => {
  const result = makePlan(fleetOf(16, 2), specOf(spec), now, FACTS);
  if (!result.ok) throw new Error(JSON.stringify(result.refusals));
  return result.plan;
};

test('how many of a wave are down at once follows from its own limits, the worst of all from any of them', (t) => {
  const plan = planOf(fleetOf(16, 2), {
    limits: { whole: 2, site: 2, rack: 1 },
    waves: [{ take: 4 }, { limits: { whole: 6, site: 3, rack: 2 } }],
  });
  t.deepEqual(
    plan.waves.map(({ disruption }) => disruption.atOnce),
    [2, 6, 0],
  );
  t.is(plan.disruption.atOnce, 6);
  t.is(plan.disruption.nodes, 16);
  t.deepEqual(
    plan.disruption.sites.map(({ name, nodes, atOnce, of }) => [name, nodes, atOnce, of]),
    [
      ['s0', 8, 3, 8],
      ['s1', 8, 3, 8],
    ],
  );
  t.true(plan.disruption.racks.every(({ atOnce }) => atOnce === 2));
  t.is(plan.back, undefined);
});

test('the way back is named where it differs, and counts for the worst', (t) => {
  const waves = [{ limits: { whole: 2 } }];
  const plan = planOf(fleetOf(16, 2), { limits: LOOSE, waves, rollback: { limits: { site: 1 } } });
  t.is(plan.waves[0]!.disruption.atOnce, 2);
  t.like(plan.back, { disruption: { atOnce: 2 }, limits: { whole: 16, site: { s0: 1, s1: 1 } } });
  const fast = planOf(fleetOf(16, 2), { limits: { whole: 1 }, waves, rollback: { limits: LOOSE } });
  t.is(fast.disruption.atOnce, 16);
  t.not(planHash(plan), planHash(planOf(fleetOf(16, 2), { limits: LOOSE, waves })));
});

test('each wave opens by its own windows, and a site when the first of its waves does', (t) => {
  const plan = planAt({
    windows: [NIGHT],
    waves: [
      { select: { site: 's0' }, take: 1, windows: [] },
      { take: 4, windows: [{ zone: 'UTC', days: ['sat'], from: '10:00', to: '12:00' }] },
      {},
    ],
  });
  const night = Date.parse('2030-06-03T22:00:00Z');
  const saturday = Date.parse('2030-06-08T10:00:00Z');
  t.deepEqual(
    plan.waves.map(({ opens }) => opens),
    [{ s0: MONDAY }, { s0: saturday, s1: saturday }, { s0: night, s1: night }, {}],
  );
  t.deepEqual(plan.opens, { s0: MONDAY, s1: night });
});

test('a plan within the margin of a window begins with the next one', (t) => {
  const windows = [{ ...NIGHT, margin: '30m' }];
  const { opens } = planAt({ windows }, Date.parse('2030-06-03T23:30:00Z'));
  t.is(opens.s0, Date.parse('2030-06-04T22:00:00Z'));
});

test('refused: windows of a wave that never open for one of its sites, or not in time', (t) => {
  const elsewhere = [{ ...NIGHT, sites: ['s0'] }];
  t.deepEqual(refusalsOf({ waves: [{ select: { site: 's0' }, windows: elsewhere }, {}] }), []);
  t.deepEqual(refusalsOf({ waves: [{ take: 4, windows: elsewhere }, {}] }), [
    { field: 'waves[0].windows', reason: 'never opens for site s1' },
  ]);
  const [late] = refusalsOf({ waves: [{ take: 1 }, { windows: [NIGHT] }], notAfter: '2030-06-03T20:00:00Z' });
  t.is(late?.field, 'waves[1].windows');
  t.regex(late!.reason, /before notAfter; first at 2030-06-03T22:00/);
  // Whoever is late goes by the windows of the rollout, and would wait for ever.
  const [tail] = refusalsOf({ windows: elsewhere, waves: [{ take: 4, windows: [] }, { windows: [] }] });
  t.deepEqual(tail, { field: 'windows', reason: 'never opens for site s1' });
});
