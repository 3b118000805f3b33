/** What a member is held against: bound once, and it only becomes stricter. */
import test from 'ava';
import fc from 'fast-check';
import { type HeldAs, heldAs, sameAs } from '../../../../orchestrator/fleet/decisions/held-as.ts';

const shown = (change: Partial<HeldAs> = {}): HeldAs => ({
  ...{ model: 'B', uefi: true, secureBoot: false },
  ...change,
});
const IN = {};

test('the model is that of the approval, whatever is shown later; a node that was put out begins anew', (t) => {
  const first = heldAs(undefined, 'A', undefined)!;
  t.deepEqual(first, { model: 'A', uefi: false, secureBoot: false });
  const later = heldAs({ place: IN, as: first }, 'C', shown());
  t.deepEqual(later, { model: 'A', uefi: true, secureBoot: false });
  t.deepEqual(heldAs({ place: null, as: later }, 'C', undefined), {
    ...{ model: 'C', uefi: false, secureBoot: false },
  });
});

test('of a member that a version before has let in nothing is bound but by what is shown', (t) => {
  t.is(heldAs({ place: IN }, 'A', undefined), undefined);
  t.deepEqual(heldAs({ place: IN }, 'A', shown()), shown());
});

test('what was true once stays true, in whatever order things are shown', (t) => {
  const proofs = fc.record({ model: fc.string(), uefi: fc.boolean(), secureBoot: fc.boolean() });
  fc.assert(
    fc.property(fc.array(fc.option(proofs, { nil: undefined })), (all) => {
      let as = heldAs(undefined, 'A', undefined);
      for (const one of all) as = heldAs({ place: IN, as }, one?.model ?? 'B', one);
      const was = (field: 'uefi' | 'secureBoot') => all.some((one) => one?.[field] === true);
      t.true(sameAs(as, { model: 'A', uefi: was('uefi'), secureBoot: was('secureBoot') }));
    }),
  );
});
