import test from 'ava';
import { planText, showText } from '../../../cli/rollout/text.ts';
import { createRollout } from '../../../orchestrator/rollout/engine.ts';
import { fleetOf, planOf } from '../../orchestrator/rollout/fleet.ts';

test('a plan shows what of each site and rack can be down at once, the worst racks first', (t) => {
  const limits = { whole: 50, site: '100%', rack: 2 };
  const text = planText(planOf(fleetOf(12, 2), { limits }));
  t.regex(text, /^site s0 +6 +4 of 6 /m);
  t.regex(text, /^rack s0\/r0 +4 +2 of 4$/m);
  t.regex(text, /^rack s1\/r1 +2 +2 of 2$/m);
  t.notRegex(text, /racks more/);
  const large = planText(planOf(fleetOf(60, 1), { limits }));
  t.is(large.match(/^rack /gm)?.length, 10);
  t.regex(large, /^and 5 racks more, none of them worse$/m);
});

test('a node that burnt itself on the version is named with the way out', (t) => {
  const burnt = fleetOf(3, 1, (i) => (i === 1 ? { failedVersions: [{ version: '2.0', why: 'panic' }] } : {}));
  const text = planText(planOf(burnt, {}));
  t.regex(text, /^n00001 +s0 +it failed on 2\.0 before: panic$/m);
  t.regex(text, /^to let a node try again: bootwave rollout forgive n00001 2\.0$/m);
  t.notRegex(planText(planOf(fleetOf(3, 1), {})), /forgive/);
});

test('limits and windows that a wave or the way back has of its own are named, and no others', (t) => {
  const night = { zone: 'Europe/Paris', days: ['fri', 'sat'], from: '22:00', to: '05:30', margin: '20m' };
  const plan = planOf(fleetOf(12, 2), {
    waves: [
      { name: 'canary', take: 1, windows: [] },
      { take: 4, limits: { whole: 3, site: '50%' } },
      { windows: [night, { zone: 'UTC', from: '01:00', to: '02:00', sites: ['s1'] }] },
    ],
    rollback: { limits: { rack: 1 } },
  });
  const windows =
    'own windows: fri sat 22:00 to 05:30 Europe/Paris (nothing begins in the last 20 min); 01:00 to 02:00 UTC at s1';
  const lines = planText(plan).split('\n');
  const after = (start: string) => lines[lines.findIndex((line) => line.startsWith(start)) + 1];
  t.regex(lines[1]!, /^when everything goes back: at most \d at once; own limits: rack 1$/);
  t.is(after('1  canary:'), '   own windows: at any time; opens 1970-01-01 00:00 UTC');
  t.is(after('2  wave 2:'), '   own limits: whole 3, site 50%; opens 1970-01-01 00:00 UTC');
  t.is(after('3  wave 3:'), `   ${windows}; opens 1970-01-01 01:00 UTC`);

  const { setup, rollout, waves, nodes } = createRollout(plan, { id: 'ro-1', author: 'ann', at: 0 });
  const shown = (edits: object = {}) =>
    showText({ setup, rollout: { ...rollout, edits }, waves, nodes: [...nodes.values()], undecided: null });
  t.true(shown().includes(`\nwave 3: ${windows}\nwhen everything goes back: own limits: rack 1\n`));
  t.regex(shown({ whole: 2 }), /^wave 2: own limits: whole 2, site 50%$/m);
  const { rollback: _, ...spec } = planOf(fleetOf(12, 2), {}).spec;
  const older = { ...setup, spec } as typeof setup;
  t.notRegex(showText({ setup: older, rollout, waves, nodes: [], undecided: null }), /own|goes back/);
  t.notRegex(planText(planOf(fleetOf(12, 2), {})), /own|goes back/);
});
