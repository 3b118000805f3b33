import test from 'ava';
import { planText } from '../../../cli/rollout/text.ts';
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
