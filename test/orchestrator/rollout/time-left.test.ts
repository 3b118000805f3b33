/** The estimate against what a rollout then really took. */
import test from 'ava';
import { durationText, timeLeft } from '../../../orchestrator/rollout/time-left.ts';
import { fleetOf } from './fleet.ts';
import { Script } from './script.ts';

/** Every node takes half a minute for its restart, and bakes for one. */
function toTheEnd(s: Script): { at: number; left: number | null; state: string }[] {
  const seen: { at: number; left: number | null; state: string }[] = [];
  for (let i = 0; i < 2000 && s.rollout.endedAt === null; i += 1) {
    const up = [...s.state.nodes.keys()].filter((id) => s.node(id).state !== 'activating');
    s.pass(10, up);
    if (i % 3 === 0) for (const id of [...s.in('staging'), ...s.in('activating')]) s.obey(id);
    seen.push({ at: s.rollout.clock, left: timeLeft(s.state, s.state.waves), state: s.rollout.state });
  }
  return seen;
}

const SPEC = {
  waves: [{ name: 'canary', take: 1 }, { take: '20%' }, { take: 'rest' }],
  bake: { node: '1m', wave: '5m' },
};

for (const [title, nodes, limits, ...own] of [
  ['few at once in the whole', 40, { whole: 4, site: '100%', rack: 10 }],
  ['one of a rack', 40, { whole: 40, site: '100%', rack: 1 }],
  ['all at once', 12, { whole: 40, site: '100%', rack: 40 }],
  ['each wave at its own pace', 120, { whole: 2, site: '100%', rack: 10 }, { whole: 2 }, { whole: 8 }],
] as const)
  test(`from the first wave's end on it is right within a third, or two minutes: ${title}`, (t) => {
    const waves = SPEC.waves.map((wave, i) => ({ ...wave, ...(i > 0 && { limits: own[i - 1] }) }));
    const s = new Script(fleetOf(nodes, 2), { ...SPEC, limits, waves });
    s.start();
    t.is(timeLeft(s.state, s.state.waves), null, 'no node is through');
    const seen = toTheEnd(s);
    t.is(s.rollout.state, 'done', s.rollout.why);
    const end = seen.at(-1)!.at;
    const first = seen.findIndex(({ left }) => left !== null);
    t.true(first > 0 && seen[first]!.at < end / 2);
    for (const { at, left, state } of seen.slice(first)) {
      if (state !== 'running') continue;
      const real = end - at;
      t.true(Math.abs(left! - real) <= Math.max(real / 3, 120_000), `at ${at}: said ${left}, was ${real}`);
    }
  });

test('nothing is said of one that is paused, goes back or has ended', (t) => {
  const s = new Script(fleetOf(8, 2), { ...SPEC, limits: { whole: 1, site: 4, rack: 4 } });
  s.start();
  const canary = s.in('staging');
  s.upgrade(...canary);
  s.pass(80, canary);
  t.not(timeLeft(s.state, s.state.waves), null);
  s.send({ type: 'pause', by: 'ann', why: 'lunch' });
  t.is(timeLeft(s.state, s.state.waves), null);
  s.send({ type: 'rollback', by: 'ann', why: 'bad' });
  t.is(timeLeft(s.state, s.state.waves), null);
});

/** Its first node is through, and baked. */
function afterCanary(): Script {
  const s = new Script(fleetOf(40, 2), { ...SPEC, limits: { whole: 4, site: '100%', rack: 10 } });
  s.start();
  const canary = s.in('staging');
  s.upgrade(...canary);
  s.pass(80, canary);
  return s;
}

test('a pause and a closed window do not make the nodes slower', (t) => {
  const s = afterCanary();
  const before = timeLeft(s.state, s.state.waves)!;
  s.send({ type: 'pause', by: 'ann', why: 'night' });
  s.pass(12 * 3600, [...s.state.nodes.keys()]);
  s.send({ type: 'resume', by: 'ann' });
  const after = timeLeft(s.state, s.state.waves)!;
  t.true(after <= before && after > before / 2, `${before} and ${after}`);
});

test('more at once is faster, and the offline nodes of the tail are not waited for', (t) => {
  const s = afterCanary();
  const before = timeLeft(s.state, s.state.waves)!;
  s.send({ type: 'edit', by: 'ann', changes: { whole: 8 } });
  const after = timeLeft(s.state, s.state.waves)!;
  t.true(after < before * 0.85, `${before} and ${after}`);
  // Nodes that are offline come into the tail.
  const tail = s.state.waves.at(-1)!;
  const waves = s.state.waves.map((wave) =>
    wave === tail ? { ...tail, size: 400, counts: { ...tail.counts, pending: 400 } } : wave,
  );
  t.is(timeLeft(s.state, waves), after);
});

test('what is staged ahead while a window is closed is no progress, and waits like all others', (t) => {
  const waves = [{ take: 1, windows: [] }, {}];
  const windows = [{ zone: 'UTC', from: '22:00', to: '24:00' }];
  const limits = { whole: 4, site: '100%', rack: 10 };
  const s = new Script(fleetOf(40, 2), { ...SPEC, limits, waves, windows, staging: 'ahead' });
  s.start();
  const canary = s.in('staging');
  s.upgrade(...canary);
  s.pass(370, canary);
  t.is(s.in('staging').length, 4);
  const before = timeLeft(s.state, s.state.waves)!;
  const { moving } = s.rollout;
  while (s.in('staging').length > 0) {
    s.pass(30, [...s.state.nodes.keys()]);
    for (const id of s.in('staging')) s.obey(id);
  }
  t.is(s.in('staged').length, 39);
  t.is(s.rollout.moving, moving);
  t.is(timeLeft(s.state, s.state.waves), before);
});

test('a node that came to the version before its wave was open proves no pace', (t) => {
  const s = new Script(fleetOf(8, 2), { ...SPEC, limits: { whole: 4, site: '100%', rack: 10 } });
  s.start();
  const waves = s.state.waves.map((wave) =>
    wave.index === 1
      ? { ...wave, counts: { ...wave.counts, pending: wave.counts.pending - 1, done: 1 } }
      : wave,
  );
  t.is(timeLeft(s.state, waves), null);
  const { moving: _, ...older } = s.rollout;
  t.is(timeLeft({ setup: s.state.setup, rollout: older }, waves), null, 'a record of the version before');
});

test('as people say it', (t) => {
  t.deepEqual([0, 59_400, 60_000, 3_599_000, 3_600_000, 12_000_000, 100 * 3_600_000].map(durationText), [
    '0 s',
    '59 s',
    '1 min',
    '1 h 0 min',
    '1 h 0 min',
    '3 h 20 min',
    '100 h',
  ]);
});
