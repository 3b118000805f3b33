/** What counts against a version and what does not, rule by rule; each was a rollback of a healthy fleet. */
import test from 'ava';
import type { EngineEvent } from '../../../orchestrator/rollout/event.ts';
import { fleetOf, node } from './fleet.ts';
import { Script } from './script.ts';

const LOOSE = { limits: { whole: 100, site: 100, rack: 100, down: 'ignore' } };
const ids = (s: Script) => [...s.state.nodes.keys()];
/** Everybody that has its turn goes to baking. */
const upgrade = (s: Script) => s.upgrade(...s.in('staging'));
/** All of these are done, and their wave is still open or bakes. */
function bakeAll(s: Script, reporting = ids(s)) {
  upgrade(s);
  s.pass(70, reporting);
}

test('the documented share of the whole can be reached: one bad node of 100 does not take the fleet back', (t) => {
  const fleet = fleetOf(100, 4);
  const s = new Script(fleet, { ...LOOSE, waves: [{ take: 1 }, { take: 'rest' }] });
  s.start();
  bakeAll(s);
  s.pass(70, ids(s));
  t.is(s.rollout.wave, 1);
  const [bad, ...good] = s.in('staging') as [string, ...string[]];
  s.upgrade(...good);
  s.obey(bad);
  s.obey(bad);
  s.reboot(bad, '1.0');
  s.send(s.report(bad, { failed: ['2.0'] }));
  t.is(s.node(bad).state, 'rolling-back');
  t.is(s.rollout.failures, 1);
  t.is(s.rollout.state, 'running');
  const two = good.slice(0, 2);
  for (const id of two) {
    s.reboot(id, '1.0');
    s.send(s.report(id, { failed: ['2.0'] }));
  }
  t.is(s.rollout.state, 'rolling-back', 'more than 2 % are more');
});

test('a failure in the first wave stops at once, whatever the whole would bear', (t) => {
  const s = new Script(fleetOf(200, 4), { ...LOOSE, waves: [{ take: 2 }, { take: 'rest' }] });
  s.start();
  const [bad] = s.in('staging') as [string];
  s.obey(bad);
  s.obey(bad);
  s.reboot(bad, '1.0');
  s.send(s.report(bad, { failed: ['2.0'] }));
  t.is(s.rollout.state, 'rolling-back');
});

test('a node in the tail is spent from the whole only; one that was ill before from nothing', (t) => {
  const fleet = fleetOf(60, 3).map((one, i) => (i < 2 ? { ...one, state: 'degraded' as const } : one));
  const s = new Script(fleet, LOOSE);
  s.start();
  bakeAll(s);
  s.pass(70, ids(s));
  const [first, second] = s.in('staging') as [string, string];
  t.is(s.node(first).wave, 1, 'they are the tail');
  s.upgrade(first, second);
  const sick = { healthy: false, reason: 'as before' };
  for (let i = 0; i < 25; i += 1) {
    s.pass(10, ids(s).slice(2));
    s.send(s.report(first, sick), s.report(second, sick));
  }
  t.is(s.rollout.failures, 0);
  t.is(s.rollout.excused, 2);
  t.regex(s.node(first).why, /not counted: it was ill before/);
  t.is(s.rollout.state, 'running');
});

/** It restarts and runs the old version again, which it then refuses. */
function fallsBack(s: Script, id: string) {
  s.obey(id);
  s.obey(id);
  s.reboot(id, '1.0');
  s.send(s.report(id, { failed: ['2.0'] }));
}

/** A machine that was approved after the plan was made. */
function joins(s: Script, id: string) {
  const place = { name: id, site: 's9', rack: null, how: 'disk' as const, from: '1.0', hops: ['2.0'] };
  const more = { why: 'late', epoch: 0, bootId: `${id}-boot-0`, reachable: true, ill: false };
  s.send({ type: 'joined', place: { node: id, ...place, ...more } });
}

for (const count of [2, 5, 9])
  test(`a late joiner that fails does not take back ${count} nodes that are well; a second one that fails does`, (t) => {
    const s = new Script(fleetOf(count, 1), LOOSE);
    const well = ids(s);
    s.start();
    joins(s, 'late');
    joins(s, 'later');
    bakeAll(s, well);
    s.pass(70, well);
    t.is(s.in('done').length, count);
    t.deepEqual(s.in('staging'), ['late']);
    fallsBack(s, 'late');
    t.is(s.rollout.failures, 1);
    t.is(s.rollout.state, 'running', s.rollout.why);
    t.is(s.in('done').length, count, 'nobody goes back but itself');
    t.is(s.node('late').state, 'rolling-back');
    s.obey('late');
    s.pass(10, well);
    t.is(s.node('later').state, 'staging');
    fallsBack(s, 'later');
    t.is(s.rollout.state, 'rolling-back');
  });

test('a late returner that fails does not take the others back; one node that is well proves nothing', (t) => {
  const back = (others: string[]) => {
    const all = [...others.map((id) => node(id)), node('b', { state: 'unreachable' })];
    const s = new Script(all, LOOSE);
    s.start();
    s.upgrade(...others);
    s.pass(130, others);
    t.is(s.in('done').length, others.length);
    s.send(s.report('b'));
    t.is(s.node('b').state, 'staging');
    fallsBack(s, 'b');
    return s.rollout.state;
  };
  t.is(back(['a', 'c', 'd']), 'running');
  t.is(back(['a']), 'rolling-back');
});

test('a failure in the first waves is not forgiven because late ones were', (t) => {
  const s = new Script(fleetOf(5, 1), LOOSE);
  const well = ids(s);
  s.start();
  joins(s, 'late');
  bakeAll(s, well);
  s.pass(70, well);
  fallsBack(s, 'late');
  t.is(s.rollout.state, 'running');
  const [bad] = well as [string];
  s.reboot(bad, '1.0');
  s.send(s.report(bad, { failed: ['2.0'] }));
  t.is(s.rollout.state, 'rolling-back', s.rollout.why);
});

test('in a fleet of less than ten a failure in a later wave is as little forgiven as before', (t) => {
  const s = new Script(fleetOf(9, 1), { ...LOOSE, waves: [{ take: 4 }, { take: 'rest' }] });
  s.start();
  bakeAll(s);
  s.pass(70, ids(s));
  t.is(s.in('done').length, 4);
  const [bad] = s.in('staging') as [string];
  fallsBack(s, bad);
  t.is(s.rollout.state, 'rolling-back');
});

test('the tail has all of the whole, though a wave is given nothing', (t) => {
  const s = new Script(fleetOf(6, 1), { ...LOOSE, budget: { wave: 0, whole: 2 } });
  const well = ids(s);
  s.start();
  joins(s, 'late');
  bakeAll(s, well);
  s.pass(70, well);
  fallsBack(s, 'late');
  t.is(s.rollout.state, 'running', s.rollout.why);
});

test('a node that is retired after it was done is nobody’s failure, and is not taken back', (t) => {
  const s = new Script(fleetOf(6, 2), LOOSE);
  s.start();
  bakeAll(s);
  const [gone, ...rest] = s.in('done') as [string, ...string[]];
  s.send({ type: 'removed', node: gone, why: 'it is retired' });
  t.is(s.node(gone).state, 'skipped');
  s.pass(400, rest);
  t.is(s.rollout.failures, 0);
  t.is(s.rollout.state, 'done', s.rollout.why);
});

test('one that is switched off after it was done is not held against the version; several are', (t) => {
  const s = new Script(fleetOf(30, 3), { ...LOOSE, bake: { node: '1m', wave: '1h' } });
  s.start();
  bakeAll(s);
  const [off, ...rest] = s.in('done') as [string, ...string[]];
  s.pass(400, rest);
  t.is(s.rollout.failures, 0);
  t.is(s.rollout.state, 'running');
  t.regex(s.node(off).why, /went silent on 2.0; not counted/);
  s.send(s.report(off));
  t.is(s.node(off).lost, null);
  // Five of 30, one after the other and in all places, are no accident.
  for (let i = 1; i <= 5; i += 1) s.pass(100, rest.slice(i));
  s.pass(300, rest.slice(5));
  t.is(s.rollout.state, 'rolling-back', s.rollout.why);
});

test('a lone canary that goes silent after it was done stops the rollout, and going on is a matter of a word', (t) => {
  const s = new Script(fleetOf(20, 2), {
    ...LOOSE,
    waves: [{ take: 1 }, { take: 'rest' }],
    bake: { node: '1m', wave: '1h' },
  });
  s.start();
  const [canary] = s.in('staging') as [string];
  const others = ids(s).filter((id) => id !== canary);
  s.pass(10, ids(s));
  bakeAll(s);
  t.is(s.node(canary).state, 'done');
  s.pass(400, others);
  t.is(s.rollout.state, 'paused');
  t.is(s.rollout.held?.cause.kind, 'gone-alone');
  t.is(s.rollout.failures, 0);
  s.send(s.report(canary));
  s.pass(20, ids(s));
  t.is(s.rollout.state, 'running', 'it is back');
});

test('the orchestrator reaches nobody: it pauses, says so, and goes on by itself; nobody is taken back', (t) => {
  const s = new Script(fleetOf(40, 4), { ...LOOSE, waves: [{ take: 10 }, { take: 'rest' }] });
  s.start();
  s.pass(10, ids(s));
  upgrade(s);
  s.pass(20, ids(s));
  t.is(s.in('baking').length, 10);
  s.pass(3600);
  t.is(s.rollout.state, 'paused');
  t.regex(s.rollout.why, /no node is heard any more/);
  t.is(s.rollout.failures + s.rollout.excused, 0);
  // They come back one after the other, as connections do.
  for (let n = 1; n <= 40; n += 3) s.pass(10, ids(s).slice(0, n));
  s.pass(300, ids(s));
  t.is(s.rollout.failures + s.rollout.excused, 0);
  t.is(s.rollout.state, 'running', s.rollout.why);
  t.is(s.in('rolling-back').length + s.in('rolled-back').length, 0);
});

for (const [place, of] of [
  ['a rack', (id: string, s: Script) => s.node(id).site === 's0' && s.node(id).rack === 'r0'],
  ['a site', (id: string, s: Script) => s.node(id).site === 's0'],
] as const) {
  test(`${place} goes silent in the middle of a wave: a pause that names it, and it goes on by itself`, (t) => {
    const s = new Script(fleetOf(48, 4), { ...LOOSE, waves: [{ take: '50%' }, { take: 'rest' }] });
    s.start();
    s.pass(10, ids(s));
    upgrade(s);
    const alive = ids(s).filter((id) => !of(id, s));
    t.true(s.in('baking').some((id) => of(id, s)));
    s.pass(1200, alive);
    t.is(s.rollout.state, 'paused');
    t.regex(s.rollout.why, place === 'a rack' ? /rack r0 of s0 went silent/ : /site s0 went silent/);
    t.is(s.rollout.failures + s.rollout.excused, 0);
    s.pass(60, ids(s));
    t.is(s.rollout.state, 'running');
    s.pass(300, ids(s));
    t.is(s.in('done').length, 24);
    t.is(s.rollout.failures + s.rollout.excused, 0);
  });
}

test('a bad version is stopped in the middle of an outage of another site as well', (t) => {
  const s = new Script(fleetOf(48, 4), { ...LOOSE, waves: [{ take: '50%' }, { take: 'rest' }] });
  s.start();
  s.pass(10, ids(s));
  upgrade(s);
  const alive = ids(s).filter((id) => s.node(id).site !== 's0');
  s.pass(60, alive);
  const [bad] = s.in('done').filter((id) => alive.includes(id)) as [string];
  s.reboot(bad, '1.0');
  s.send(s.report(bad, { failed: ['2.0'] }));
  t.is(s.rollout.state, 'rolling-back');
});

test('resumed in an outage, it goes on without those that are silent, and takes them in when they are heard', (t) => {
  const s = new Script(fleetOf(16, 4), LOOSE);
  s.start();
  s.pass(10, ids(s));
  upgrade(s);
  const alive = ids(s).filter((id) => s.node(id).site !== 's0');
  s.pass(900, alive);
  t.is(s.rollout.state, 'paused');
  s.send({ type: 'resume', by: 'ben' });
  t.is(s.rollout.state, 'running');
  t.is(s.in('needs-recovery').length, 4);
  t.is(s.rollout.failures, 0);
  const [late] = s.in('needs-recovery') as [string];
  s.send(s.report(late));
  t.is(s.node(late).state, 'baking');
  s.pass(600, [...alive, late]);
  t.is(s.rollout.state, 'partial', s.rollout.why);
  t.is(s.in('done').length, 13);
});

test('a person who pauses what waits by itself has to resume it', (t) => {
  const s = new Script(fleetOf(16, 4), LOOSE);
  s.start();
  s.pass(10, ids(s));
  upgrade(s);
  s.pass(900);
  t.not(s.rollout.held, null);
  s.send({ type: 'pause', by: 'ben', why: 'lunch' });
  s.pass(300, ids(s));
  t.is(s.rollout.state, 'paused');
});

test('a budget that is spent while it waits by itself stops it until a person resumes', (t) => {
  const s = new Script(fleetOf(20, 2), {
    ...LOOSE,
    waves: [{ take: 2 }, { take: 'rest' }],
    bake: { node: '1m', wave: '1h' },
    onSpent: 'pause',
  });
  s.start();
  s.pass(10, ids(s));
  const [gone, bad] = s.in('staging') as [string, string];
  const others = ids(s).filter((id) => id !== gone);
  s.upgrade(gone, bad);
  s.pass(70, ids(s));
  s.pass(400, others);
  t.is(s.rollout.held?.cause.kind, 'gone-alone');
  s.reboot(bad, '1.0');
  s.send(s.report(bad, { failed: ['2.0'] }));
  t.is(s.rollout.state, 'paused');
  t.is(s.rollout.held, null);
  t.regex(s.rollout.why, /1 failed in wave 1, 0 tolerated/);
  s.send(s.report(gone));
  s.pass(60, ids(s));
  t.is(s.rollout.state, 'paused', 'what it waited for is over; the failure is not');
});

for (const way of ['rollback', 'abort'] as const) {
  test(`a place that is dead for good does not keep a rollout from its end: ${way}`, (t) => {
    const s = new Script(fleetOf(12, 3), {
      ...LOOSE,
      bake: { node: '2h', wave: '1h' },
      offline: { wait: '3h' },
      waves: [{ take: 6 }, { take: 'rest' }],
    });
    s.start();
    s.pass(10, ids(s));
    s.upgrade(...s.in('staging'));
    s.pass(20, ids(s));
    const site = [...s.state.nodes.values()].filter((one) => one.site === 's1').map((one) => one.node);
    const others = ids(s).filter((id) => !site.includes(id));
    const touched = (some: string[]) => some.filter((id) => s.node(id).touch > 0).sort();
    // Half of the site has not changed, so it is known to be the site.
    s.pass(400, others);
    t.is(s.rollout.held?.cause.kind, 'site');
    s.send({ type: 'rollback', by: 'ann', why: 'enough' });
    for (const id of s.in('rolling-back')) s.obey(id);
    s.pass(3600, others);
    t.is(s.rollout.state, 'rolling-back', 'a site is waited for');
    if (way === 'abort') s.send({ type: 'abort', by: 'ann', why: 'it burnt down' });
    s.pass(way === 'abort' ? 60 : 7300, others);
    t.is(s.rollout.state, 'aborted', s.rollout.why);
    t.deepEqual(s.in('needs-recovery'), touched(site));
    t.deepEqual(s.in('taken-back'), touched(others));
  });
}

test('ill like the nodes that did not change: it waits, and nobody is to blame', (t) => {
  const s = new Script(fleetOf(20, 2), { ...LOOSE, waves: [{ take: 4 }, { take: 'rest' }] });
  s.start();
  s.pass(10, ids(s));
  upgrade(s);
  const sick = ids(s).filter((id) => s.node(id).site === 's1');
  for (let i = 0; i < 60; i += 1) {
    s.pass(
      10,
      ids(s).filter((id) => !sick.includes(id)),
    );
    s.send(...sick.map((id) => s.report(id, { healthy: false, reason: 'no time server' })));
  }
  t.is(s.rollout.state, 'paused');
  t.regex(s.rollout.why, /nodes of s1 that did not change are ill as well/);
  s.pass(300, ids(s));
  t.is(s.rollout.failures + s.rollout.excused, 0);
  t.is(s.rollout.state, 'running');
});

const future = (id: string, epoch: number): EngineEvent => ({
  type: 'refused',
  ...{ node: id, epoch, has: epoch },
  code: 'cannot',
  why: 'ORDER_FROM_FUTURE: too new',
  blame: 'clock',
});

test('the orchestrator’s clock is ahead: nobody fails, and all are ordered anew when it is right', (t) => {
  const s = new Script(fleetOf(6, 2), LOOSE);
  s.start();
  const nodes = s.in('staging');
  for (let i = 0; i < 240; i += 1) {
    s.pass(10, nodes);
    s.send(...nodes.map((id) => future(id, s.lastCommand(id).epoch)));
  }
  t.is(s.rollout.state, 'paused');
  t.regex(s.rollout.why, /orchestrator's clock/);
  t.is(s.rollout.failures + s.rollout.excused, 0);
  t.is(s.in('staging').length, 6);
  const epochs = nodes.map((id) => s.lastCommand(id).epoch);
  t.true(
    epochs.every((epoch) => epoch > 12),
    'with the time of now, so under a new number',
  );
  for (const id of nodes) s.obey(id);
  s.pass(20, nodes);
  t.is(s.rollout.state, 'running');
});

test('one node with a wrong clock waits in the tail and is nobody’s failure', (t) => {
  const s = new Script(fleetOf(6, 2), LOOSE);
  s.start();
  const [wrong, ...rest] = s.in('staging') as [string, ...string[]];
  s.upgrade(...rest);
  for (let i = 0; i < 240; i += 1) {
    s.pass(10, ids(s));
    if (s.node(wrong).state === 'staging') s.send(future(wrong, s.lastCommand(wrong).epoch));
  }
  t.is(s.rollout.failures, 0);
  t.is(s.node(wrong).wave, 1);
});

test('an order that was refused for its time is forgotten when the node is where it was to go', (t) => {
  const s = new Script([node('a')], { ...LOOSE, bake: { node: '1m', wave: '2h' } });
  s.start();
  s.obey('a');
  const { epoch } = s.lastCommand('a');
  const why = 'ORDER_FROM_FUTURE: the order is from the future';
  s.send({ type: 'refused', node: 'a', epoch, code: 'cannot', why, has: 0, blame: 'clock' });
  t.is(s.node('a').blocked?.by, 'clock');
  s.reboot('a', '2.0');
  s.send(s.report('a', { epoch: 0 }));
  t.is(s.node('a').blocked, null);
  s.pass(3600, ['a']);
  t.is(s.node('a').state, 'done', s.node('a').why);
});

test('what the signer does not sign for anybody costs no node anything', (t) => {
  const s = new Script(fleetOf(6, 2), LOOSE);
  s.start();
  const [one] = s.in('staging') as [string];
  const { epoch } = s.lastCommand(one);
  const why = 'SIGNER_IMAGE_WITHDRAWN: image 2.0 is withdrawn';
  s.send({ type: 'refused', node: one, epoch, code: 'cannot', why, has: epoch, blame: 'rules' });
  t.is(s.rollout.state, 'paused');
  t.regex(s.rollout.why, /SIGNER_IMAGE_WITHDRAWN/);
  t.is(s.rollout.failures, 0);
});

for (const way of ['rollback', 'abort'] as const) {
  test(`an end that the signer does not sign is an end all the same, and says why: ${way}`, (t) => {
    const bake = { node: '2h', wave: '1h' };
    const s = new Script(fleetOf(4, 2), { ...LOOSE, bake, offline: { wait: '1h' } });
    s.start();
    s.pass(10, ids(s));
    upgrade(s);
    // It fell back: that one goes back in any case, while others keep what they have when it is aborted.
    const [one] = s.in('baking') as [string];
    s.reboot(one, '1.0');
    if (way === 'abort') s.send({ type: 'abort', by: 'ann', why: 'enough' });
    else s.send({ type: 'rollback', by: 'ann', why: 'enough' });
    s.send(s.report(one, { failed: ['2.0'], epoch: 0 }));
    const refused = () =>
      s.in('rolling-back').map((node): EngineEvent => {
        const { epoch } = s.lastCommand(node);
        const why = 'SIGNER_FLOOR: below the floor';
        return { type: 'refused', node, epoch, code: 'cannot', why, has: 0, blame: 'rules' };
      });
    for (let i = 0; i < 800 && s.rollout.endedAt === null; i += 1) {
      s.send(...refused());
      s.pass(10, ids(s));
    }
    t.is(s.rollout.state, 'aborted', s.rollout.why);
    t.regex(s.node(one).why, /its order is refused: SIGNER_FLOOR/);
    t.is(s.node(one).state, 'needs-recovery');
  });
}

test('a number that the signer holds for impossible goes back to what was signed', (t) => {
  const s = new Script([node('a', { epoch: 1_700_000_000_000 })], LOOSE);
  s.start();
  const { epoch } = s.lastCommand('a');
  s.send({ type: 'refused', node: 'a', epoch, code: 'cannot', why: 'far above', has: 3, blame: 'number' });
  t.is(s.lastCommand('a').epoch, 4);
  t.is(s.node('a').state, 'staging');
});

test('waiting in our own queue is not the node’s time', (t) => {
  const s = new Script(fleetOf(3, 1), { ...LOOSE, attempts: 1 });
  s.carries = false;
  s.start();
  s.pass(2 * 3600, ids(s));
  t.is(s.in('staging').length, 3);
  const [a] = s.in('staging') as [string];
  s.send({ type: 'begun', node: a, epoch: s.lastCommand(a).epoch });
  s.pass(29 * 60, ids(s));
  t.is(s.node(a).state, 'staging', 'its time began when somebody began');
  s.pass(2 * 60, ids(s));
  t.is(s.rollout.failures, 1);
});

test('a node that cannot store what others have stored has trouble of its own', (t) => {
  const s = new Script(fleetOf(6, 2), { ...LOOSE, attempts: 1 });
  s.start();
  const [bad, ...rest] = s.in('staging') as [string, ...string[]];
  s.upgrade(...rest);
  const { epoch } = s.lastCommand(bad);
  const why = 'STAGE_NO_SPACE: full';
  s.send({ type: 'refused', node: bad, epoch, code: 'cannot', why, has: epoch, blame: 'hardware' });
  t.is(s.rollout.failures, 0);
  t.is(s.rollout.state, 'running');
  t.regex(s.node(bad).why, /not counted: its own hardware/);
});

test('taking back: dead nodes hold no slot, and what became of them is said', (t) => {
  const s = new Script(fleetOf(8, 1), {
    limits: { whole: 2, site: 2, rack: 8 },
    bake: { node: '1m', wave: '1h' },
  });
  s.start();
  while (s.in('done').length < 8) bakeAll(s);
  const dead = s.in('done').slice(0, 2);
  for (const id of dead) s.send({ type: 'unreachable', node: id });
  s.send({ type: 'rollback', by: 'ben', why: 'bad' });
  const live = ids(s).filter((id) => !dead.includes(id));
  for (let i = 0; i < 4; i += 1) {
    for (const id of s.in('rolling-back')) s.obey(id);
    s.pass(10, live);
  }
  t.is(s.in('taken-back').length, 6, 'nobody waited for the dead');
  s.pass(1500, live);
  t.is(s.rollout.state, 'aborted');
  t.deepEqual(s.in('needs-recovery'), dead);
  t.regex(s.rollout.why, /6 were taken back, 2 need recovery \(/);
});

test('what turns bad after its wave counts, by its heartbeats', (t) => {
  const s = new Script(fleetOf(40, 2), { ...LOOSE, waves: [{ take: 20 }, { take: 'rest' }] });
  s.start();
  bakeAll(s);
  s.pass(70, ids(s));
  t.is(s.rollout.wave, 1);
  const early = s.in('done');
  for (const id of early.slice(0, 3)) s.send({ type: 'seen', node: id, as: 'ill' });
  s.pass(
    240,
    ids(s).filter((id) => !early.includes(id)),
  );
  t.is(s.rollout.state, 'rolling-back');
});

test('a node that another change took is that one’s: it is no failure and not taken back', (t) => {
  const s = new Script(fleetOf(4, 2), { ...LOOSE, bake: { node: '1m', wave: '1h' } });
  s.start();
  bakeAll(s);
  const [other, ...rest] = s.in('done') as [string, ...string[]];
  s.reboot(other, '3.0');
  s.send(s.report(other, { epoch: s.node(other).epoch + 5 }));
  t.true(s.node(other).taken);
  t.is(s.rollout.failures, 0);
  s.send({ type: 'rollback', by: 'ben', why: 'bad' });
  t.deepEqual(s.in('rolling-back'), rest);
});

const GATE = { kind: 'check', name: 'ok', tries: 2, every: '10s', timeout: '10s' };

/** Its first wave waits at a gate. */
function gated(spec: Record<string, unknown> = {}): Script {
  const s = new Script(fleetOf(4, 2), { ...LOOSE, waves: [{ take: 2, gates: [GATE] }, {}], ...spec });
  s.start();
  bakeAll(s);
  s.pass(70, ids(s));
  t0(s);
  return s;
}
const t0 = (s: Script) => {
  if (s.state.waves[0]!.state !== 'gated') throw new Error(s.state.waves[0]!.state);
};

test('a gate whose server is away is no word against the version, and a person can pass it', (t) => {
  const s = gated();
  for (let i = 0; i < 5; i += 1) {
    const { run } = s.state.waves[0]!;
    s.send({ type: 'gate', wave: 0, gate: 0, run, ok: false, away: true, why: 'refused' });
    s.pass(30, ids(s));
  }
  t.is(s.rollout.state, 'running');
  t.regex(s.rollout.why, /nobody answers \(refused\)/);
  t.is(
    s.send({ type: 'skip-wave', by: 'ben', why: 'x', wave: 0 }).refusals.length,
    1,
    'nothing is left to skip',
  );
  t.is(s.send({ type: 'promote', by: 'ben', why: 'seen by eye', wave: 1 }).refusals.length, 1);
  s.send({ type: 'promote', by: 'ben', why: 'seen by eye', wave: 0 });
  t.is(s.rollout.wave, 1);
});

test('with four eyes the author promotes nothing', (t) => {
  const s = new Script(fleetOf(4, 2), {
    ...LOOSE,
    approvals: { count: 1 },
    waves: [{ take: 2, gates: [GATE] }, {}],
  });
  s.start();
  s.send({ type: 'approve', by: 'ben', person: ['ben'] });
  bakeAll(s);
  s.pass(70, ids(s));
  const promotion = { type: 'promote', why: 'x', wave: 0 } as const;
  for (const event of [
    { ...promotion, by: 'ann', person: ['ann'] },
    { ...promotion, by: 'bea', person: ['bea', 'ann'] },
    { ...promotion, by: 'ben' },
  ])
    t.is(s.send(event).refusals.length, 1, event.by);
  t.is(s.send({ ...promotion, by: 'ben', person: ['ben'] }).refusals.length, 0);
});

test('the gates of a wave are asked beside those of the whole', (t) => {
  const manual = [{ kind: 'manual' }];
  const s = new Script(fleetOf(4, 2), { ...LOOSE, gates: manual, waves: [{ take: 2, gates: [GATE] }, {}] });
  s.start();
  bakeAll(s);
  s.pass(70, ids(s));
  s.send({ type: 'approve', by: 'ben', wave: 0 });
  t.is(s.state.waves[0]!.state, 'gated', 'its own gate as well');
  const { run } = s.state.waves[0]!;
  s.send({ type: 'gate', wave: 0, gate: 1, run, ok: true, why: '' });
  t.is(s.rollout.wave, 1);
});

test('what was skipped by mistake is taken in again, while its time has not passed', (t) => {
  const s = new Script(fleetOf(6, 2), { ...LOOSE, waves: [{ take: 2 }, {}] });
  s.start();
  const [late] = s.in('pending') as [string];
  s.send({ type: 'skip-wave', by: 'ben', why: 'x', wave: 1 }, { type: 'include-wave', by: 'ben', wave: 1 });
  s.send({ type: 'skip', by: 'ben', why: 'x', node: late }, { type: 'include', by: 'ben', node: late });
  bakeAll(s);
  s.pass(70, ids(s));
  t.is(s.in('staging').length, 4);
  t.is(s.send({ type: 'include', by: 'ben', node: late }).refusals.length, 1);
});

test('a running rollout is edited: its end, its budget, its pace', (t) => {
  const s = new Script(fleetOf(9, 3), {
    ...LOOSE,
    limits: { whole: 1, site: 9, rack: 9 },
    notAfter: '2030-01-01T00:00:00Z',
  });
  s.start();
  t.is(s.in('staging').length, 1);
  s.send({ type: 'edit', by: 'ben', changes: { whole: 3 } });
  t.is(s.in('staging').length, 3);
  s.at = Date.parse('2030-01-02T00:00:00Z');
  s.pass(10);
  t.is(s.rollout.state, 'paused');
  const [refusal] = s.send({ type: 'resume', by: 'ben' }).refusals;
  t.regex(refusal!.what, /notAfter \(2030-01-01T00:00:00.000Z\) has come/);
  t.is(s.send({ type: 'edit', by: 'ben', changes: { notAfter: 1 } }).refusals.length, 1, 'past');
  s.send({ type: 'edit', by: 'ben', changes: { notAfter: null, budget: { whole: { count: 4 } } } });
  t.is(s.send({ type: 'resume', by: 'ben' }).refusals.length, 0);
  t.is(s.rollout.state, 'running');
  t.deepEqual(s.rollout.edits, { whole: 3, notAfter: null, budget: { whole: { count: 4 } } });
});

test('what took approvals is not edited by its author alone', (t) => {
  const s = new Script(fleetOf(3, 1), { ...LOOSE, approvals: { count: 1 } });
  s.start();
  s.send({ type: 'approve', by: 'operator:ben', person: ['ben'] });
  t.is(s.rollout.state, 'running');
  const changes = { budget: { whole: { count: 3 } } };
  for (const event of [
    { type: 'edit', by: 'ann', changes },
    { type: 'edit', by: 'ann', person: ['ann'], changes },
    { type: 'edit', by: 'operator:x', person: ['x', 'ann'], changes },
  ] as const)
    t.is(s.send(event).refusals.length, 1);
  t.deepEqual(s.rollout.edits, {});
  t.is(s.send({ type: 'edit', by: 'operator:ben', person: ['ben'], changes }).refusals.length, 0);
  t.deepEqual(s.rollout.edits, changes);
});
