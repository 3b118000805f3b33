import test from 'ava';
import fc from 'fast-check';
import { checkSpec, parseSpec } from '../../../orchestrator/rollout/spec.ts';

const good = { image: '2.0', nodes: { all: true } };

test('the shortest spec gets a canary, limits and a budget', (t) => {
  const checked = checkSpec(good);
  t.true(checked.ok);
  if (!checked.ok) return;
  t.is(checked.spec.waves[0]?.name, 'canary');
  t.deepEqual(checked.spec.waves[0]?.take, { count: 1 });
  t.is(checked.spec.bake.node, 120_000);
  t.is(checked.spec.onSpent, 'rollback');
});

const cases: [string, unknown, string, RegExp][] = [
  ['nothing to roll out', { nodes: { all: true } }, 'image', /missing/],
  ['two things at once', { ...good, config: 'c1' }, 'config', /beside image/],
  ['an empty selector', { ...good, nodes: {} }, 'nodes', /selects by nothing/],
  ['an empty selector in disguise', { ...good, nodes: { labels: {} } }, 'nodes', /selects by nothing/],
  ['an empty wave selector', { ...good, waves: [{ select: {} }] }, 'waves[0].select', /selects by nothing/],
  ['a share over 100 %', { ...good, waves: [{ take: '120%' }] }, 'waves[0].take', /over 100 %/],
  [
    'waves over 100 % together',
    { ...good, waves: [{ take: '60%' }, { take: '50%' }] },
    'waves[1].take',
    /110 %/,
  ],
  ['a wave of nobody', { ...good, waves: [{ take: 0 }] }, 'waves[0].take', /more than nobody/],
  ['a wave after the rest', { ...good, waves: [{}, { take: 1 }] }, 'waves[1]', /takes all that are left/],
  ['a negative budget', { ...good, budget: { wave: -1 } }, 'budget.wave', /negative/],
  ['a limit of nobody', { ...good, limits: { site: 0 } }, 'limits.site', /more than nobody/],
  [
    'a zone that is none',
    { ...good, windows: [{ zone: 'Mars/Base', from: '22:00', to: '23:00' }] },
    'windows[0].zone',
    /IANA/,
  ],
  [
    'a window that never opens',
    { ...good, windows: [{ zone: 'UTC', from: '22:00', to: '22:00' }] },
    'windows[0].to',
    /never opens/,
  ],
  [
    'a window on no day',
    { ...good, windows: [{ zone: 'UTC', days: [], from: '22:00', to: '23:00' }] },
    'windows[0].days',
    /never opens/,
  ],
  [
    'an hour that no clock shows',
    { ...good, windows: [{ zone: 'UTC', from: '25:00', to: '23:00' }] },
    'windows[0].from',
    /time of day/,
  ],
  [
    'an end before the beginning',
    { ...good, notBefore: '2030-01-02T00:00:00Z', notAfter: '2030-01-01T00:00:00Z' },
    'notAfter',
    /never opens/,
  ],
  ['a duration without unit', { ...good, bake: { node: '10' } }, 'bake.node', /no duration/],
  ['a timeout of nothing', { ...good, timeouts: { stage: '0s' } }, 'timeouts.stage', /more than nothing/],
  ['a gate of no kind', { ...good, gates: [{ kind: 'luck' }] }, 'gates[0].kind', /./],
  ['a field that does not exist', { ...good, canary: 5 }, '(whole spec)', /canary/],
  ['a version with a slash', { ...good, image: '../x' }, 'image', /not a version/],
];
for (const [title, spec, field, reason] of cases) {
  test(`refused with field and reason: ${title}`, (t) => {
    const checked = checkSpec(spec);
    t.false(checked.ok);
    if (checked.ok) return;
    const refusal = checked.refusals.find((candidate) => candidate.field === field);
    t.truthy(refusal, JSON.stringify(checked.refusals));
    t.regex(refusal!.reason, reason);
  });
}

test('text that is no spec is refused, never thrown', (t) => {
  t.like(parseSpec('{'), { ok: false });
  t.like(parseSpec(`"${'x'.repeat(1024 * 1024)}"`), { ok: false });
  fc.assert(fc.property(fc.string(), (text) => parseSpec(text).ok === false));
  fc.assert(fc.property(fc.json(), (text) => !parseSpec(text).ok));
  const fields = Object.keys((checkSpec(good) as { spec: object }).spec);
  fc.assert(
    fc.property(fc.constantFrom(...fields), fc.jsonValue(), (field, value) => {
      const checked = checkSpec({ ...good, [field]: value });
      if (checked.ok) return;
      for (const refusal of checked.refusals) t.true(refusal.field.length > 0 && refusal.reason.length > 0);
    }),
    { numRuns: 500 },
  );
  t.pass();
});
