import test from 'ava';
import fc from 'fast-check';
import { authorityStates } from '../../../orchestrator/authorities/states.ts';
import { AUTHORITY_STEPS } from '../../../orchestrator/fleet/decisions/entry.ts';

const on = (...ids: string[]) => ids.map((id) => ({ id }));
const step = (step: (typeof AUTHORITY_STEPS)[number], authority: string) => ({
  ca: 'nodes' as const,
  step,
  authority,
});
const look = (generations: { id: string }[], steps: ReturnType<typeof step>[]) => {
  const { states, ...rest } = authorityStates('nodes', generations, steps);
  return { ...rest, states: Object.fromEntries(states) };
};

test('from the first CA to the second, step by step', (t) => {
  const steps = [step('prepare', 'b'), step('activate', 'b'), step('taint', 'a'), step('revoke', 'a')];
  const after = (n: number) => look(on('a', 'b'), steps.slice(0, n)).states;
  t.deepEqual(look(on('a'), []).states, { a: 'active' });
  t.deepEqual(after(1), { a: 'active', b: 'prepared' });
  t.deepEqual(after(2), { a: 'old', b: 'active' });
  t.deepEqual(after(3), { a: 'tainted', b: 'active' });
  t.deepEqual(after(4), { a: 'revoked', b: 'active' });
});

test('where files are lost the fleet goes on with what it has, and never with what was taken from it', (t) => {
  const begun = [step('prepare', 'b'), step('activate', 'b')];
  t.like(look(on('a'), begun), { active: 'a', missing: ['b'] });
  t.like(look(on('a'), [...begun, step('taint', 'a')]), { active: null, states: { a: 'tainted' } });
  t.like(look(on('a'), [...begun, step('revoke', 'a')]), { active: null, states: { a: 'revoked' } });
  t.like(look([], begun), { active: null, missing: ['b'] });
});

test('whatever the steps: one at most signs, and nothing that was tainted or revoked ever does again', (t) => {
  const ids = ['a', 'b', 'c'];
  const any = fc.record({
    ca: fc.constantFrom('nodes' as const, 'servers' as const),
    step: fc.constantFrom(...AUTHORITY_STEPS),
    authority: fc.constantFrom(...ids),
  });
  fc.assert(
    fc.property(fc.array(any), fc.array(any), (steps, more) => {
      const before = authorityStates('nodes', on(...ids), steps).states;
      const { states, active } = authorityStates('nodes', on(...ids), [...steps, ...more]);
      t.true([...states.values()].filter((state) => state === 'active').length <= 1);
      t.is([...states].find(([, state]) => state === 'active')?.[0] ?? null, active);
      for (const [id, state] of before) {
        if (state === 'revoked') t.is(states.get(id), 'revoked');
        if (state === 'tainted') t.true(['tainted', 'revoked'].includes(states.get(id) ?? ''));
      }
    }),
  );
});
