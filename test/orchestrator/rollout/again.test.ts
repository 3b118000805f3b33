import test from 'ava';
import { specAgain } from '../../../orchestrator/rollout/again.ts';
import type { NodeStep, StepState } from '../../../orchestrator/rollout/node-step.ts';
import { checkSpec } from '../../../orchestrator/rollout/spec.ts';

const target = { target: { of: 'image', version: '2.0' } } as const;
const SOURCE = JSON.stringify({
  ...{ name: 'winter', image: '2.0', nodes: { all: true }, notAfter: '2030-01-31T22:00:00Z' },
  ...{ limits: { whole: 5 }, approvals: { count: 1 } },
});
const step = (name: string, state: StepState, more: Partial<NodeStep> = {}) =>
  ({
    node: `tpm-${name}`,
    name,
    state,
    from: '1.0',
    left: false,
    taken: false,
    touch: 1,
    ...more,
  }) as NodeStep;
const STEPS = [
  step('a', 'done'),
  step('b', 'rolled-back'),
  step('c', 'skipped', { touch: 0 }),
  step('d', 'needs-recovery', { left: true }),
  step('e', 'done', { taken: true }),
  step('f', 'skipped', { taken: true, touch: 0 }),
];

function made(...args: Parameters<typeof specAgain>): Record<string, unknown> {
  const result = specAgain(...args);
  if ('refusal' in result) throw new Error(result.refusal.code);
  const { then: _, ...first } = result.spec;
  const checked = checkSpec(first);
  if (!checked.ok) throw new Error(JSON.stringify(checked.refusals));
  return result.spec;
}
const code = (...args: Parameters<typeof specAgain>) => {
  const result = specAgain(...args);
  return 'refusal' in result ? result.refusal.code : 'made';
};

test('the spec as it was written', (t) => {
  t.deepEqual(made(SOURCE, target, STEPS, 'same'), JSON.parse(SOURCE));
});

test('what comes after it is as it was written, and no part of another try or of the way back', (t) => {
  const source = JSON.stringify({ ...JSON.parse(SOURCE), then: [{ config: '7' }] });
  t.deepEqual(made(source, target, STEPS, 'same').then, [{ config: '7' }]);
  for (const again of ['retry', 'undo'] as const)
    t.false('then' in made(source, target, STEPS, again), again);
});

test('once more for those that are not there: limits and approvals stay, times that are over go', (t) => {
  t.deepEqual(made(SOURCE, target, STEPS, 'retry'), {
    ...{ name: 'winter (retry)', image: '2.0', limits: { whole: 5 }, approvals: { count: 1 } },
    nodes: { names: ['b', 'c'] },
  });
  t.is(code(SOURCE, target, [STEPS[0]!], 'retry'), 'ROLLOUT_NOTHING_LEFT');
});

test('waves that select are not kept: the nodes of the canary may be through', (t) => {
  const of = (waves: object[]) =>
    made(JSON.stringify({ ...JSON.parse(SOURCE), waves }), target, STEPS, 'retry').waves;
  const rest = { take: 'rest' };
  t.is(of([{ select: { site: 'munich' } }, rest]), undefined);
  t.deepEqual(of([{ take: 1 }, rest]), [{ take: 1 }, rest]);
  const night = { windows: [{ zone: 'UTC', from: '22:00', to: '05:00' }], limits: { whole: 2 } };
  const again = of([
    { select: { site: 'munich' }, windows: [] },
    { ...rest, ...night },
  ]) as object[];
  t.is(again.length, 3);
  for (const wave of again) t.like(wave, night, 'whoever was to go at night does not go by day');
});

test('the way back is for nodes that it changed and nothing has changed since', (t) => {
  t.like(made(SOURCE, target, STEPS, 'undo'), {
    ...{ name: 'winter (undo)', image: '1.0', downgrade: true, approvals: { count: 1 } },
    nodes: { names: ['a'] },
  });
  t.is(code(SOURCE, target, [STEPS[1]!], 'undo'), 'ROLLOUT_NOTHING_LEFT');
  t.is(code(SOURCE, target, [step('a', 'done', { from: null })], 'undo'), 'ROLLOUT_NOTHING_LEFT');
});

test('where they come from several versions, one has to be named', (t) => {
  const steps = [step('a', 'done'), step('b', 'done', { from: '1.5' })];
  t.is(code(SOURCE, target, steps, 'undo'), 'ROLLOUT_UNDO_WHERE');
  t.is(code(SOURCE, target, steps, 'undo', '1.7'), 'ROLLOUT_UNDO_WHERE');
  t.like(made(SOURCE, target, steps, 'undo', '1.5'), { image: '1.5', nodes: { names: ['b'] } });
});

test('of a configuration as of an image', (t) => {
  const source = JSON.stringify({ config: '2.0', nodes: { all: true } });
  t.like(made(source, { target: { of: 'config', version: '2.0' } }, STEPS, 'undo'), {
    ...{ config: '1.0', name: 'rollout (undo)' },
  });
});

test('of services: each as a person writes it, and the end of what was not there before', (t) => {
  const of = { target: { of: 'service', version: 'fleet/a:2,web/b:1' } } as const;
  const source = JSON.stringify({ name: 'winter', services: ['a:2', 'web/b:1'], nodes: { all: true } });
  const steps = [step('a', 'done', { from: 'fleet/a:1,web/b:none' })];
  t.deepEqual(made(source, of, steps, 'undo'), {
    ...{ name: 'winter (undo)', services: ['a:1', 'web/b:none'], downgrade: true },
    nodes: { names: ['a'] },
  });
  const two = [...steps, step('b', 'done', { from: 'fleet/a:none,web/b:none' })];
  t.is(code(source, of, two, 'undo'), 'ROLLOUT_UNDO_WHERE');
  t.like(made(source, of, two, 'undo', 'web/b:none, a:none'), { nodes: { names: ['b'] } });
  t.like(made(source, of, two, 'undo', 'fleet/a:1,web/b:none'), { nodes: { names: ['a'] } });
});
