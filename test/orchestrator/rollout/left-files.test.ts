/** Who goes last with the file on its disk: it goes when it may, and otherwise the file does not stay. */
import test from 'ava';
import { seen } from './around.ts';
import { node } from './fleet.ts';
import { Script } from './script.ts';

const HOUR = 3600;

/** Eight nodes of four racks, the first one the canary, staged ahead of the window that is open from 22:00. */
function staged(spec: object = {}): Script {
  const fleet = Array.from({ length: 8 }, (_, i) => node(`n${i}`, { rack: `r${Math.floor(i / 2)}` }));
  const s = new Script(fleet, {
    ...{ staging: 'ahead', order: 'name', limits: { whole: 8, site: '100%', rack: 2 }, attempts: 1 },
    ...{ offline: { wait: '1h' }, windows: [{ zone: 'UTC', from: '22:00', to: '24:00' }] },
    ...{ waves: [{ take: 1, windows: [] }, {}], ...spec },
  });
  s.at = 12 * HOUR * 1000;
  s.start();
  const canary = s.in('staging');
  s.upgrade(...canary);
  s.pass(130, canary);
  for (const id of s.in('staging')) s.obey(id);
  s.at = 22 * HOUR * 1000;
  return s;
}

/** One of the last rack is down, and the other one has the file and waits. */
const full = () => seen(['n6'], { others: { rack: { 'par/r3': 1 } } });
const ids = (s: Script) => [...s.state.nodes.keys()];

function go(s: Script, minutes: number) {
  for (let i = 0; i < minutes && s.rollout.endedAt === null; i += 1) {
    for (const state of ['staging', 'activating', 'rolling-back'] as const)
      for (const id of s.in(state)) s.obey(id);
    s.pass(60, ids(s));
  }
}

test('who has the file and goes last, because its place is full, keeps it and loses no try', (t) => {
  const s = staged();
  s.send(full());
  go(s, 20);
  t.is(s.rollout.wave, 2, 'the others are through');
  t.like(s.node('n7'), { wave: 2, state: 'staged', attempts: 1 });
  const before = s.commands.length;
  s.send(seen([]));
  t.like(s.node('n7'), { state: 'activating' });
  t.is(s.commands.length, before + 1, 'it is not told to fetch it again');
  go(s, 10);
  t.is(s.rollout.state, 'done', s.rollout.why);
});

test('until the tail is open it waits for that', (t) => {
  const s = staged({ attempts: 3 });
  s.send(full());
  const [slow] = s.in('activating') as [string];
  for (const id of s.in('activating')) if (id !== slow) s.obey(id);
  s.pass(20 * 60, ids(s));
  t.like(s.node('n7'), { wave: 2, state: 'staged' });
  s.send(seen([]), { type: 'tick' });
  t.like(s.state.waves[s.rollout.wave], { index: 1, state: 'open' });
  t.is(s.node('n7').state, 'staged');
});

test('a diskless node that goes last so has lost no try either', (t) => {
  const s = staged();
  s.state.nodes.get('n7')!.how = 'network';
  s.send(full());
  go(s, 20);
  t.like(s.node('n7'), { wave: 2, state: 'pending', attempts: 0 });
  s.send(seen([]));
  go(s, 10);
  t.is(s.rollout.state, 'done', s.rollout.why);
});

test('when the tail has waited long enough, the file is taken off', (t) => {
  const s = staged();
  s.send(full());
  go(s, 100);
  t.is(s.node('n7').state, 'taken-back');
  t.like(s.lastCommand('n7'), { kind: 'rollback', drop: '2.0' });
  t.is(s.rollout.state, 'partial', s.rollout.why);
  t.is(s.rollout.failures, 0);
});

/** It was away at its turn, and is back in the tail, where its place is full. */
function back(): Script {
  const s = staged({ staging: 'turn' });
  s.send({ type: 'tick' });
  s.send(full());
  for (const id of s.in('staging')) s.obey(id);
  s.send({ type: 'unreachable', node: 'n7' });
  const present = ids(s).filter((id) => id !== 'n7');
  s.pass(200, present);
  for (const id of s.in('activating')) s.obey(id);
  s.send(s.report('n7'), full());
  return s;
}

test('who was away at its turn has the file, too: it does not stay when the rollout ends', (t) => {
  const s = back();
  t.like(s.node('n7'), { wave: 2, state: 'pending' });
  go(s, 100);
  t.is(s.node('n7').state, 'taken-back', s.rollout.why);
  t.like(s.lastCommand('n7'), { kind: 'rollback', drop: '2.0' });
  t.is(s.rollout.state, 'partial', s.rollout.why);
});

test('nor when a person ends it, or leaves the node out', (t) => {
  for (const event of [
    { type: 'abort', by: 'ann', why: 'lunch' },
    { type: 'skip', by: 'ann', why: 'busy', node: 'n7' },
  ] as const) {
    const s = back();
    t.is(s.node('n7').state, 'pending');
    t.deepEqual(s.send(event).refusals, []);
    go(s, 2);
    t.is(s.node('n7').state, 'taken-back', event.type);
    t.like(s.lastCommand('n7'), { kind: 'rollback', drop: '2.0' });
  }
});
