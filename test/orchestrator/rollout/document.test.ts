import test from 'ava';
import fc from 'fast-check';
import { parseDocument } from '../../../orchestrator/rollout/document.ts';
import { foresee } from '../../../orchestrator/rollout/plan.ts';
import { planHash } from '../../../orchestrator/rollout/plan-hash.ts';
import { FACTS, fleetOf, node, planOf, specOf } from './fleet.ts';

const FIRST = { image: '2.0', nodes: { site: 's0' }, limits: { whole: 7 }, notAfter: '2040-01-01T00:00:00Z' };
const parse = (value: object) => parseDocument(JSON.stringify(value));

test('a part has what it does not say from the first; each is a spec of its own', (t) => {
  const document = parse({
    ...FIRST,
    then: [{ config: 'c1' }, { image: '3.0', limits: { whole: 2 }, nodes: { all: true } }],
  });
  if (!document.ok) return t.fail(JSON.stringify(document.refusals));
  const [first, config, image] = document.parts;
  t.is(first.spec.image, '2.0');
  t.like(config?.spec, { config: 'c1', nodes: { site: ['s0'] }, limits: { whole: { count: 7 } } });
  t.is(config?.spec.image, undefined);
  t.is(config?.spec.notAfter, first.spec.notAfter);
  t.like(image?.spec, { image: '3.0', nodes: { all: true }, limits: { whole: { count: 2 } } });
  for (const part of [config, image]) {
    const alone = parseDocument(part?.source ?? '');
    t.true(alone.ok && alone.parts.length === 1);
    t.deepEqual(alone.ok && alone.parts[0].spec, part?.spec);
  }
});

test('services may stand in any part, and are not taken over', (t) => {
  const document = parse({ ...FIRST, then: [{ services: ['a:1', 'b:none'] }, { config: 'c1' }] });
  t.like(document.ok && document.parts[1]?.spec, { services: ['a:1', 'b:none'], nodes: { site: ['s0'] } });
  const before = parse({ ...FIRST, image: undefined, services: ['a:1'], then: [{ config: 'c1' }] });
  if (!before.ok) return t.fail(JSON.stringify(before.refusals));
  t.is(before.parts[1]?.spec.services, undefined);
});

test('a spec without more is a document of one part', (t) => {
  const document = parse(FIRST);
  t.true(document.ok && document.parts.length === 1 && document.parts[0].source === JSON.stringify(FIRST));
});

const cases: [string, object, string, RegExp][] = [
  ['no list', { ...FIRST, then: { config: 'c1' } }, 'then', /list/],
  ['nothing to come', { ...FIRST, then: [] }, 'then', /list of 1/],
  ['too much', { ...FIRST, then: Array(11).fill({ config: 'c1' }) }, 'then', /10/],
  ['a part that is none', { ...FIRST, then: ['c1'] }, 'then', /list/],
  ['a part that moves nothing', { ...FIRST, then: [{ name: 'x' }] }, 'then[0].image', /missing/],
  [
    'a part that moves two things',
    { ...FIRST, then: [{ config: 'c', image: '2.0' }] },
    'then[0].config',
    /beside/,
  ],
  ['a field that is none', { ...FIRST, then: [{ config: 'c', wave: 1 }] }, 'then[0]', /no field 'wave'/],
  ['parts of a part', { ...FIRST, then: [{ config: 'c', then: [] }] }, 'then[0]', /no field 'then'/],
  [
    'a bad later part',
    { ...FIRST, then: [{ config: 'c' }, { config: 'd', seed: 1 }] },
    'then[1].seed',
    /text/,
  ],
  [
    'approvals of a part',
    { ...FIRST, approvals: { count: 1 }, then: [{ config: 'c', approvals: { count: 0 } }] },
    'then[0].approvals',
    /approves all/,
  ],
  [
    'who runs what the image before has changed',
    { ...FIRST, nodes: { running: '1.0' }, then: [{ config: 'c' }] },
    'then[0].nodes',
    /say it here/,
  ],
  [
    'a wave of those',
    { ...FIRST, waves: [{ select: { running: '1.0' } }, {}], then: [{ config: 'c' }] },
    'then[0].waves',
    /say it here/,
  ],
];
for (const [what, value, field, reason] of cases) {
  test(`refused: ${what}`, (t) => {
    const document = parse(value);
    if (document.ok) return t.fail('accepted');
    const [refusal] = document.refusals;
    t.is(refusal?.field, field, JSON.stringify(document.refusals));
    t.regex(refusal?.reason ?? '', reason);
  });
}

test('what is wrong with the first part is said once', (t) => {
  const document = parse({ ...FIRST, seed: 1, then: [{ config: 'c' }, { config: 'd' }] });
  t.deepEqual(!document.ok && document.refusals.map(({ field }) => field), ['seed']);
});

test('who runs something is no question after a configuration', (t) => {
  const { image: _, ...first } = FIRST;
  t.true(parse({ ...first, config: 'c1', nodes: { running: '1.0' }, then: [{ config: 'c2' }] }).ok);
});

test('a part that says whom it is for has nothing taken over', (t) => {
  const waves = [{ select: { running: '1.0' } }, {}];
  const own = { config: 'c', nodes: { all: true }, waves: [{}] };
  t.true(parse({ ...FIRST, nodes: { running: '1.0' }, waves, then: [own] }).ok);
});

test('whatever it is, it is read or refused', (t) => {
  fc.assert(fc.property(fc.json(), (text) => !parseDocument(text).ok));
  fc.assert(
    fc.property(fc.json(), (json) => {
      const { ok } = parseDocument(`{"image":"2.0","nodes":{"all":true},"then":${json}}`);
      return ok === false;
    }),
  );
  t.pass();
});

test('foreseen is what no rollout before it changes', (t) => {
  const fleet = [node('a', { running: '1.0' }), node('b', { site: 'muc' })];
  const refused = (spec: Record<string, unknown>) =>
    foresee(fleet, specOf(spec), 0, FACTS).map(({ field }) => field);
  t.deepEqual(refused({ nodes: { running: '2.0' } }), []);
  t.deepEqual(
    refused({ nodes: { labels: { ring: 'zero' } }, waves: [{ select: { running: '2.0' } }, {}] }),
    [],
  );
  t.deepEqual(refused({ nodes: { site: 'par', names: 'b', running: '2.0' } }), ['nodes']);
  t.deepEqual(refused({ image: '9.9', nodes: { site: 'rome' } }), ['image', 'nodes.site', 'nodes']);
  t.deepEqual(refused({ image: undefined, config: 'c9' }), ['config']);
});

test('a reviewed plan names what comes after it', (t) => {
  const plan = planOf(fleetOf(2, 1), {});
  const later = [specOf({ image: undefined, config: 'c1' })];
  t.not(planHash({ ...plan, later }), planHash(plan));
  t.not(
    planHash({ ...plan, later }),
    planHash({ ...plan, later: [specOf({ image: undefined, config: 'c2' })] }),
  );
});
