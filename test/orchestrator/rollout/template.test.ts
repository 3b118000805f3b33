import test from 'ava';
import fc from 'fast-check';
import { parseDocument } from '../../../orchestrator/rollout/document.ts';
import { checkSpec } from '../../../orchestrator/rollout/spec.ts';
import { checkTemplate, fillIn, MAX_TEMPLATE_TEXT } from '../../../orchestrator/rollout/template.ts';

const TEMPLATE = { name: 'weekly', nodes: { all: true }, waves: [{ take: 1 }, { take: 'rest' }] };
const text = (spec: object) => JSON.stringify(spec, null, 2);
const fieldsOf = (spec: object) => checkTemplate(text(spec)).map(({ field }) => field);

test('a version is filled in where the spec leaves it open, and nothing else changes', (t) => {
  for (const version of [{ image: '1.5.0' }, { config: 'c1' }, { services: ['a:1', 'b:none'] }]) {
    const filled = fillIn(text(TEMPLATE), version);
    if (!filled.ok) return t.fail();
    t.deepEqual(JSON.parse(filled.text), { ...TEMPLATE, ...version });
    const checked = checkSpec({ ...TEMPLATE, ...version });
    t.true(checked.ok);
    t.like(parseDocument(filled.text), { ok: true, parts: [{ spec: checked.ok && checked.spec }] });
  }
});

test('a text that already says it stays as it is, byte for byte without an option', (t) => {
  const whole = text({ ...TEMPLATE, image: '1.4.0' });
  t.deepEqual(fillIn(whole, {}), { ok: true, text: whole });
  const same = fillIn(whole, { image: '1.4.0' });
  t.deepEqual(same.ok && JSON.parse(same.text), { ...TEMPLATE, image: '1.4.0' });
});

test('another version than the spec names is refused, and so is one of the other kind', (t) => {
  const whole = text({ ...TEMPLATE, image: '1.4.0' });
  const other = fillIn(whole, { image: '1.5.0' });
  t.like(other, { ok: false, refusals: [{ field: 'image' }] });
  t.regex(other.ok ? '' : other.refusals[0]!.reason, /"1\.4\.0" in the spec, and 1\.5\.0 was asked for/);
  for (const [spec, version] of [
    [whole, { config: 'c1' }],
    [text(TEMPLATE), { image: '1.5.0', config: 'c1' }],
  ] as const) {
    const both = fillIn(spec, version);
    t.like(both.ok && parseDocument(both.text), { ok: false, refusals: [{ field: 'config' }] });
  }
  const services = fillIn(text({ ...TEMPLATE, services: ['a:1'] }), { config: 'c1' });
  t.like(services.ok && parseDocument(services.text), { ok: false, refusals: [{ field: 'services' }] });
  t.false(fillIn(text({ ...TEMPLATE, services: ['a:1'] }), { services: ['a:2'] }).ok);
  t.false(fillIn(text({ ...TEMPLATE, image: null }), { image: '1.5.0' }).ok, 'whatever it says');
});

test('a text that is no spec is not made one', (t) => {
  for (const bad of ['', '{', '[]', 'null', '"x"', '7']) {
    t.deepEqual(fillIn(bad, { image: '1.5.0' }), { ok: true, text: bad });
    t.true(checkTemplate(bad).length > 0, bad);
  }
});

test('every field of a template is checked as that of a spec is, but the version, which it must not name', (t) => {
  t.deepEqual(fieldsOf(TEMPLATE), []);
  t.deepEqual(fieldsOf({ ...TEMPLATE, image: '1.4.0' }), ['image']);
  t.deepEqual(fieldsOf({ ...TEMPLATE, services: ['a:1'] }), ['services']);
  t.deepEqual(fieldsOf({ ...TEMPLATE, config: 'c1', image: 'c d' }), ['image', 'config']);
  t.deepEqual(fieldsOf({ ...TEMPLATE, limits: { rack: 0 }, color: 'red' }).sort(), [
    '(whole spec)',
    'limits.rack',
  ]);
  t.deepEqual(fieldsOf({ waves: [{ take: 'rest' }, { take: 1 }] }), ['nodes']);
  t.deepEqual(fieldsOf({ ...TEMPLATE, waves: [{ take: 'rest' }, { take: 1 }] }), ['waves[1]']);
  t.deepEqual(fieldsOf({ ...TEMPLATE, then: [{ config: 'c1' }] }), []);
  t.deepEqual(fieldsOf({ ...TEMPLATE, then: [{ attempts: 9, config: 'c1' }] }), ['then[0].attempts']);
  const large = { ...TEMPLATE, nodes: { names: ['x'.repeat(MAX_TEMPLATE_TEXT)] } };
  t.regex(checkTemplate(text(large))[0]!.reason, /larger than 64 KiB/);
});

test('what a template is refused for, the spec made of it would be refused for; and the other way round', (t) => {
  fc.assert(
    fc.property(
      fc.record(
        {
          nodes: fc.constantFrom({ all: true }, {}, 'x'),
          attempts: fc.constantFrom(1, 9, 'x'),
          waves: fc.constantFrom([{}], [], [{ take: '101%' }]),
          order: fc.constantFrom('site', 'odd'),
          downgrade: fc.constantFrom(true, 1),
        },
        { requiredKeys: ['nodes'] },
      ),
      (template) => {
        const filled = fillIn(text(template), { image: '1.5.0' });
        t.is(checkTemplate(text(template)).length === 0, filled.ok && parseDocument(filled.text).ok);
      },
    ),
  );
});
