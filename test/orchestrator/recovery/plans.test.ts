import test from 'ava';
import fc from 'fast-check';
import type { Incident, IncidentStep } from '../../../orchestrator/fleet/decisions/incidents.ts';
import { expected, paceOf } from '../../../orchestrator/recovery/pace.ts';
import { endOf, fateOf, markOf, type Plan, turnOf } from '../../../orchestrator/recovery/plans.ts';
import type { Report } from '../../../orchestrator/recovery/report.ts';

const incident = (node: string, more: Partial<Incident> = {}): Incident => ({
  ...{
    node,
    name: node,
    site: 'par',
    number: 1,
    epoch: 1,
    road: 'compromised',
    step: 'fenced',
    signal: 'plan',
  },
  ...{ evidence: [markOf('p')], reason: '', tries: {}, wipe: null, by: 'x', openedAt: 1, at: 1 },
  ...more,
});
const planOf = (racks: readonly (string | null)[], more: Partial<Plan> = {}) => ({
  name: 'p',
  value: {
    ...{ kind: 'plan' as const, site: 'par', atOnce: 2, startedAt: 1, ended: null },
    nodes: racks.map((rack, i) => ({ id: `n${i}`, name: `n${i}`, rack, number: 0 })),
    ...more,
  },
});
type Free = Parameters<typeof turnOf>[2];
const FREE: Free = { stopped: () => null, needed: () => null, isMember: () => true };
const turn = (
  plan: ReturnType<typeof planOf>,
  all: readonly Incident[] = [],
  guard: Partial<Free> = {},
  busy?: Set<string>,
) => turnOf(plan, { of: (node) => all.find((one) => one.node === node) }, { ...FREE, ...guard }, busy);

test('a few at once, one rack after the other', (t) => {
  const plan = planOf(['a', 'a', 'a', 'b']);
  t.like(turn(plan), { begin: ['n0', 'n1'], why: '2 are under way' });
  t.deepEqual(turn(plan, [incident('n0', { step: 'ended' }), incident('n1')]).begin, ['n2']);
  const last = [
    incident('n0', { step: 'ended' }),
    incident('n1', { step: 'ended' }),
    incident('n2', { step: 'wiping' }),
  ];
  t.like(turn(plan, last), { begin: [], why: 'one rack after the other' });
  t.deepEqual(turn(plan, last.with(2, incident('n2', { step: 'ended' }))).begin, ['n3']);
});

test('nobody begins whom the breaker, a service or a rollout keeps; the next one of the rack does', (t) => {
  const plan = planOf(['a', 'a', 'b']);
  for (const guard of [
    { stopped: (node: string, act: string) => (node === 'n0' && act === 'wipe' ? 'no' : null) },
    { needed: (node: string) => (node === 'n0' ? 'no' : null) },
  ])
    t.like(turn(plan, [], guard), { begin: ['n1'], why: 'no' });
  t.like(turn(plan, [], {}, new Set(['n0', 'n1', 'n2'])), { begin: [], why: 'a rollout has n0' });
  const away: string[][] = [];
  const needed = (_: string, gone: ReadonlySet<string> = new Set()) => {
    away.push([...gone]);
    return null;
  };
  turn(plan, [incident('n1')], { needed });
  t.deepEqual(away, [['n1']], 'who is under way is missing already');
});

test('two that need a person end it for the time being', (t) => {
  const plan = planOf([null, null, null, null]);
  const failed = (count: number) =>
    Array.from({ length: count }, (_, i) => incident(`n${i}`, { step: 'person' }));
  t.deepEqual(turn(plan, failed(1)).begin, ['n1', 'n2']);
  t.like(turn(plan, failed(2)), { begin: [], why: 'n0, n1 need a person first' });
});

test('what became of a node is read from its incident, and what nobody can tell is not begun again', (t) => {
  const node = { id: 'n0', name: 'n0', rack: null, number: 3 };
  const fate = (more: Partial<Incident>) => fateOf('p', node, incident('n0', more));
  t.is(fateOf('p', node, undefined), 'waits');
  t.is(fate({ number: 3, step: 'ended', evidence: [] }), 'waits', 'from before');
  t.is(fate({ number: 3, step: 'ended' }), 'waits', 'whatever stands in an older one');
  t.is(fate({ number: 4, step: 'wiped' }), 'under way');
  t.is(fate({ number: 4, step: 'ended' }), 'done');
  t.is(fate({ number: 4, step: 'person' }), 'person');
  t.is(fate({ number: 4, evidence: [] }), 'under way', 'a signal has fenced it');
  t.is(fate({ number: 4, evidence: [], road: 'broken', step: 'open' }), 'waits', 'it was restarted, no more');
  t.is(fate({ number: 4, evidence: [], road: 'broken', step: 'ended' }), 'waits');
  t.is(fate({ number: 5, evidence: [], road: 'broken', step: 'ended' }), 'unclear');
  t.is(fate({ number: 5, evidence: [markOf('q')], step: 'ended' }), 'unclear', 'of another plan');
});

test('it is over when nobody waits and nobody is under way', (t) => {
  const plan = planOf([null, null, null]);
  const all = [incident('n0', { step: 'ended' }), incident('n1', { step: 'person' })];
  t.is(endOf(turn(plan, all)), null);
  t.is(endOf(turn(plan, all, { isMember: (id) => id !== 'n2' })), 'done 1, person 1, gone 1');
});

const STEPS: readonly IncidentStep[] = ['fenced', 'wiping', 'wiped', 'returning', 'ended', 'person'];

test('whatever happens to the nodes: never too many, never two racks, never one twice, and it comes to an end', (t) => {
  const world = fc.record({
    racks: fc.array(fc.constantFrom('a', 'b', null), { minLength: 1, maxLength: 12 }),
    atOnce: fc.integer({ min: 1, max: 4 }),
    moves: fc.array(fc.nat(), { maxLength: 200 }),
  });
  fc.assert(
    fc.property(world, ({ racks, atOnce, moves }) => {
      const plan = planOf(racks.toSorted(), { atOnce });
      const incidents = new Map<string, Incident>();
      const begun: string[] = [];
      const isOn = ({ step }: Incident) => step !== 'ended' && step !== 'person';
      for (const move of [...moves, ...Array.from({ length: 200 }, () => 0)]) {
        const { begin } = turnOf(plan, { of: (node) => incidents.get(node) }, FREE);
        for (const id of begin) {
          begun.push(id);
          incidents.set(id, incident(id));
        }
        const on = [...incidents.values()].filter(isOn);
        t.true(on.length <= atOnce);
        t.true(new Set(on.map(({ node }) => plan.value.nodes.find(({ id }) => id === node)!.rack)).size <= 1);
        const next = on[move % Math.max(1, on.length)];
        if (next === undefined) continue;
        const failed = [...incidents.values()].filter(({ step }) => step === 'person').length;
        const to = move % 17 === 16 && failed === 0 ? 'person' : STEPS[STEPS.indexOf(next.step) + 1]!;
        incidents.set(next.node, { ...next, step: to });
      }
      t.is(new Set(begun).size, begun.length);
      t.not(endOf(turnOf(plan, { of: (node) => incidents.get(node) }, FREE)), null);
    }),
    { numRuns: 100 },
  );
});

test('where starts from the network do not come through fewer begin, and never more than people allowed', (t) => {
  const plan = planOf(Array(12).fill('a'), { atOnce: 8 });
  const away = (tries: readonly number[]) =>
    tries.map((network, i) => incident(`n${i}`, { step: 'wiping', tries: { network } }));
  t.is(turn(plan, away([1, 1, 1])).begin.length, 5);
  t.like(turn(plan, away([2, 1, 1])), {
    begin: ['n3'],
    why: '4 at a time in place of 8: n0 did not come through a start from the network',
  });
  t.deepEqual(turn(plan, away([2, 3, 1])).begin, []);
  const over = away([2, 3, 4]).map((one) => ({ ...one, step: 'ended' as const }));
  t.is(turn(plan, over).begin.length, 8, 'those that are back say nothing any more');
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 16 }), fc.array(fc.nat(4), { maxLength: 20 }), (most, tries) => {
      const { atOnce } = paceOf(most, away(tries));
      t.true(atOnce >= 1 && atOnce <= most);
    }),
  );
});

test('how long it takes is what drills of this site took, by turns and racks; without one nobody knows', (t) => {
  const drill = (minutes: number, more: Partial<Report> = {}): Report => ({
    ...{ kind: 'recovery', site: 'par', of: 'n1', startedAt: 0, endedAt: minutes, steps: [], fault: null },
    ...{ facts: [], ...more },
  });
  const racks = ['a', 'a', 'a', 'b', null];
  t.is(expected(racks, 2, 'par', []), null);
  const other = [drill(1, { site: 'ams' }), drill(1, { kind: 'rollback' }), drill(1, { fault: 'it hangs' })];
  t.is(expected(racks, 2, 'par', other), null);
  t.deepEqual(expected(racks, 2, 'par', [...other, drill(30), drill(90), drill(40)]), {
    ...{ all: 4 * 40, each: 40, drills: 3 },
  });
  const old = Array.from({ length: 5 }, (_, i) => drill(20, { startedAt: 10 + i, endedAt: 30 + i }));
  t.like(expected(racks, 8, 'par', [drill(1), ...old]), { all: 3 * 20, drills: 5 });
});
