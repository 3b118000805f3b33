import test from 'ava';
import fc from 'fast-check';
import { limitOf, takeOf } from '../../../orchestrator/rollout/amount.ts';
import { parseDocument } from '../../../orchestrator/rollout/document.ts';
import { checkSpec } from '../../../orchestrator/rollout/spec.ts';

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
  ['down nodes that half count', { ...good, limits: { down: 'half' } }, 'limits.down', /"count" or "ignore"/],
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
  ['the 30th of February', { ...good, notBefore: '2030-02-30T00:00:00Z' }, 'notBefore', /RFC 3339/],
  [
    'the 31st of April with an offset',
    { ...good, notAfter: '2030-04-31T01:00:00+02:00' },
    'notAfter',
    /RFC 3339/,
  ],
  [
    'two waves of one name',
    { ...good, waves: [{ name: 'a', take: 1 }, { name: 'A', take: 1 }, {}] },
    'waves[1].name',
    /waves\[0\] as well/,
  ],
  [
    'the number of another wave as a name',
    { ...good, waves: [{ name: 'wave 2', take: 1 }, {}] },
    'waves[0].name',
    /another wave/,
  ],
  [
    'the name of the rest for a wave of one',
    { ...good, waves: [{ name: 'Rest', take: 1 }, {}] },
    'waves[0].name',
    /another wave/,
  ],
  [
    'three approvals of one person',
    { ...good, approvals: { count: 3, from: ['ben'] } },
    'approvals.count',
    /names 1/,
  ],
  [
    'one person named twice',
    { ...good, approvals: { count: 1, from: ['ben', 'ben'] } },
    'approvals.from',
    /twice/,
  ],
  [
    'a margin as long as its window',
    { ...good, windows: [{ zone: 'UTC', from: '23:00', to: '01:00', margin: '2h' }] },
    'windows[0].margin',
    /as long as the window/,
  ],
  [
    'a window of a wave that never opens',
    { ...good, waves: [{ windows: [{ zone: 'UTC', from: '22:00', to: '22:00' }] }] },
    'waves[0].windows[0].to',
    /never opens/,
  ],
  [
    'a limit of nobody in a wave',
    { ...good, waves: [{ limits: { rack: 0 } }] },
    'waves[0].limits.rack',
    /more than nobody/,
  ],
  [
    'a limit of nobody on the way back',
    { ...good, rollback: { limits: { site: '0%' } } },
    'rollback.limits.site',
    /more than nobody/,
  ],
  ['windows for the way back', { ...good, rollback: { windows: [] } }, 'rollback', /has no field 'windows'/],
  [
    'staging ahead of nothing that proves it',
    { ...good, waves: [{}], staging: 'ahead' },
    'staging',
    /there is one wave/,
  ],
  ['a number for a text', { ...good, image: 5 }, 'image', /^must be a text$/],
  ['a text for a list', { ...good, gates: 'x' }, 'gates', /^must be a list$/],
  ['a word of its own', { ...good, onSpent: 'cry' }, 'onSpent', /^must be "pause" or "rollback"$/],
  ['too many tries', { ...good, attempts: 9 }, 'attempts', /^must be at most 5$/],
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
  t.like(parseDocument('{'), { ok: false });
  t.like(parseDocument(`"${'x'.repeat(1024 * 1024)}"`), { ok: false });
  fc.assert(fc.property(fc.string(), (text) => parseDocument(text).ok === false));
  fc.assert(fc.property(fc.json(), (text) => !parseDocument(text).ok));
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

test('no refusal shows the words of a schema', (t) => {
  const raw = /Invalid|expected|received|Unrecognized|Too (?:small|big)|undefined/;
  const fields = Object.keys((checkSpec(good) as { spec: object }).spec);
  fc.assert(
    fc.property(fc.constantFrom(...fields, 'other'), fc.jsonValue(), (field, value) => {
      const checked = checkSpec({ ...good, [field]: value });
      const shown = checked.ok ? [] : checked.refusals.map(({ reason }) => reason);
      const own = JSON.stringify(value);
      return shown.every((reason) => !raw.test(reason) || raw.test(own));
    }),
    { numRuns: 1000 },
  );
  t.pass();
});

test('shares are exact', (t) => {
  t.is(takeOf({ percent: 17.6 }, 375), 66);
  t.is(limitOf({ percent: 29 }, 100), 29);
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 100_000 }),
      fc.integer({ min: 1, max: 10_000 }),
      (thousandths, size) => {
        const percent = Number((thousandths / 1000).toFixed(3));
        const exact = BigInt(thousandths) * BigInt(size);
        const up = Number((exact + 99_999n) / 100_000n);
        return takeOf({ percent }, size) === Math.min(size, up);
      },
    ),
  );
});

test('the last wave may be called what it takes', (t) => {
  t.true(checkSpec({ ...good, waves: [{ take: 1 }, { name: 'rest', take: 'rest' }] }).ok);
  t.true(checkSpec({ ...good, waves: [{ name: 'wave 1', take: 1 }, {}] }).ok);
});
