/** What one node says costs that node, and keeps no rollout waiting. */
import test from 'ava';
import type { EngineEvent } from '../../../orchestrator/rollout/event.ts';
import { fleetOf } from './fleet.ts';
import { Script } from './script.ts';

const LOOSE = { limits: { whole: 100, site: 100, rack: 100, down: 'ignore' } };
const ids = (s: Script) => [...s.state.nodes.keys()];

function refusal(
  s: Script,
  node: string,
  more: Partial<Extract<EngineEvent, { type: 'refused' }>>,
): EngineEvent {
  const { epoch } = s.lastCommand(node);
  return { type: 'refused', node, epoch, code: 'cannot', why: 'ORDER_BELOW_FLOOR', has: epoch, ...more };
}

/** The others do what they are told; the liar answers each of its orders. */
function play(s: Script, liar: string, answer: () => EngineEvent, hours: number): void {
  for (let i = 0; i < hours * 360 && s.rollout.endedAt === null; i += 1) {
    const outstanding = s.node(liar).sent !== null;
    if (outstanding) s.send(answer());
    for (const id of [...s.in('staging'), ...s.in('activating'), ...s.in('rolling-back')])
      if (id !== liar) s.obey(id);
    s.pass(10, ids(s));
  }
}

test('one node that does not obey what is signed waits until last, costs nothing, and holds nobody up', (t) => {
  const s = new Script(fleetOf(6, 2), { ...LOOSE, offline: { wait: '1h' } });
  s.start();
  const [liar] = s.in('staging') as [string];
  s.send(refusal(s, liar, { blame: 'order' }));
  t.is(s.rollout.state, 'running');
  play(s, liar, () => refusal(s, liar, { blame: 'order' }), 4);
  t.is(s.in('done').length, 5);
  t.is(s.node(liar).state, 'skipped', s.node(liar).why);
  t.is(s.rollout.failures, 0);
  t.is(s.rollout.state, 'partial', s.rollout.why);
});

test('many that do not obey hold the rollout, with the reason, and it goes on when they do', (t) => {
  const s = new Script(fleetOf(6, 2), LOOSE);
  s.start();
  s.send(...s.in('staging').map((id) => refusal(s, id, { blame: 'order', why: 'ORDER_KEY_UNKNOWN: of 4f' })));
  t.is(s.rollout.state, 'paused');
  t.is(s.rollout.held?.cause.kind, 'orders');
  t.regex(s.rollout.why, /ORDER_KEY_UNKNOWN/);
  t.is(s.rollout.failures, 0);
  for (const id of ids(s)) s.accept(id);
  s.pass(10, ids(s));
  s.pass(10, ids(s));
  t.is(s.rollout.state, 'running', s.rollout.why);
});

const TRICKS: [string, (s: Script, node: string) => EngineEvent][] = [
  [
    'finds each number used up',
    (s, node) => refusal(s, node, { code: 'stale-epoch', has: s.lastCommand(node).epoch }),
  ],
  [
    'reports a higher number each time',
    (s, node) => s.report(node, { epoch: s.lastCommand(node).epoch + 1 }),
  ],
  [
    'reports a number that the signer never signs',
    (s, node) => refusal(s, node, { blame: 'number', has: 0 }),
  ],
];
for (const [what, trick] of TRICKS) {
  test(`a node that ${what} is given up like one that cannot`, (t) => {
    const s = new Script(fleetOf(6, 2), { ...LOOSE, budget: { wave: 1, whole: 1 }, offline: { wait: '1h' } });
    s.carries = false;
    s.start();
    const [liar] = s.in('staging') as [string];
    play(s, liar, () => trick(s, liar), 3);
    t.not(s.node(liar).state, 'staging', s.node(liar).why);
    t.not(s.rollout.endedAt, null, s.rollout.why);
    t.true(s.commands.filter(({ node }) => node === liar).length < 60);
    t.is(s.in('done').length, 5);
  });

  test(`nor does it keep the way back open: ${what}`, (t) => {
    const s = new Script(fleetOf(6, 2), { ...LOOSE, bake: { node: '2h', wave: '1h' } });
    s.carries = false;
    s.start();
    for (const id of s.in('staging')) s.upgrade(id);
    const [liar] = s.in('baking') as [string];
    s.send({ type: 'rollback', by: 'ann', why: 'enough' });
    play(s, liar, () => trick(s, liar), 3);
    t.is(s.node(liar).state, 'needs-recovery', s.node(liar).why);
    t.not(s.rollout.endedAt, null, s.rollout.why);
    t.is(s.in('taken-back').length + s.in('rolled-back').length, 5);
    t.true(s.commands.filter(({ node }) => node === liar).length < 60);
  });
}

test('the number that two failovers left behind is found in as many orders, and costs no try', (t) => {
  const s = new Script(fleetOf(1, 1), LOOSE);
  s.start();
  const [one] = s.in('staging') as [string];
  for (let i = 0; i < 2; i += 1)
    s.send(refusal(s, one, { code: 'stale-epoch', has: s.lastCommand(one).epoch + 3 }));
  t.is(s.node(one).attempts, 1);
  s.upgrade(one);
  t.is(s.node(one).state, 'baking');
});
