/** What is down already: whom a rollout leaves alone because of it, how that is said, and how it ends. */
import test from 'ava';
import { GONE } from '../../../orchestrator/rollout/down.ts';
import { advance, loadRollout } from '../../../orchestrator/rollout/engine.ts';
import type { NodeStep } from '../../../orchestrator/rollout/node-step.ts';
import { seen } from './around.ts';
import { fleetOf, node, planOf, specOf } from './fleet.ts';
import { Script } from './script.ts';

const WIDE = { whole: 100, site: '100%', rack: 100 };
/** Nodes of one site, two to a rack unless said otherwise. */
const racks = (count: number, per = 2) =>
  Array.from({ length: count }, (_, i) => node(`n${i}`, { rack: `r${Math.floor(i / per)}` }));
/** As `racks`, with some of them offline. */
const partly = (dead: readonly string[], ...shape: Parameters<typeof racks>) =>
  racks(...shape).map((one) => (dead.includes(one.id) ? { ...one, state: 'unreachable' as const } : one));
const why = (s: Script) => Object.values(s.rollout.waits ?? {}).map((one) => one.why);
/** Each does what it is told, until it bakes. */
const obey = (s: Script) => {
  for (const id of s.in('staging')) s.obey(id);
  for (const id of s.in('activating')) s.obey(id);
};
const ids = (s: Script) => [...s.state.nodes.keys()];
/** Until it ends or a while has passed. */
function go(s: Script, minutes = 60) {
  for (let i = 0; i < minutes && s.rollout.endedAt === null; i += 1) {
    obey(s);
    s.pass(60, ids(s));
  }
}

test('a share of a site is one of all its nodes, and those that are down are part of it', (t) => {
  const s = new Script(partly(['n8', 'n9'], 10, 1), { limits: { ...WIDE, site: '30%' }, order: 'name' });
  s.send(seen(['n8', 'n9']));
  s.start();
  t.is(s.rollout.inFlight.whole, 1, 'two of three are taken');
  t.deepEqual(why(s), [], 'the others only wait for the third');
  s.send(seen([]));
  t.is(s.rollout.inFlight.whole, 3);
  t.is(s.rollout.waits, undefined);
});

test('a site that moves, though one is down there, keeps its nodes: they wait for each other, and none goes last', (t) => {
  const fleet = partly(['n39'], 40, 1);
  const live = fleet.map(({ id }) => id).slice(0, -1);
  const s = new Script(fleet, { limits: { ...WIDE, site: 2 }, order: 'name', waves: [{ take: 1 }, {}] });
  s.send(seen(['n39'], { fence: 1 }));
  s.start();
  for (let i = 0; i < 90 && s.rollout.endedAt === null; i += 1) {
    obey(s);
    s.pass(30, live);
    if (s.rollout.wave > 1) break;
    t.deepEqual(why(s), []);
  }
  t.is(s.in('done').length, 39);
});

test('it is a share of the site, not of the nodes that are rolled out', (t) => {
  const fleet = racks(20, 1);
  const names = ['n0', 'n1', 'n2', 'n3'];
  const s = new Script(fleet, { nodes: { names }, limits: { ...WIDE, site: '25%' } });
  s.send(seen([], { others: { site: { par: 4 } } }));
  s.start();
  t.is(s.rollout.inFlight.whole, 1, 'four of five are down');
  s.send(seen([], { others: { site: { par: 5 } } }));
  s.upgrade(...s.in('staging'));
  s.pass(200, names);
  t.is(s.in('done').length, 0);
  t.deepEqual(why(s), ['5 of 20 nodes of site par are down already (limit 25 %)']);
});

test('a site with more dead nodes than it may lose starts nothing, and says so', (t) => {
  const s = new Script(partly(['n0', 'n1', 'n2'], 10, 1), { limits: { ...WIDE, site: '25%' } });
  s.send(seen(['n0', 'n1', 'n2']));
  const step = s.start();
  t.is(s.rollout.inFlight.whole, 0);
  t.deepEqual(why(s), ['3 of 10 nodes of site par are down already (limit 25 %)']);
  t.true(
    step.notes.some((note) => note.why === 'waits: 3 of 10 nodes of site par are down already (limit 25 %)'),
  );
  t.false(
    s.pass(60, ids(s)).some(({ notes }) => notes.length > 0),
    'once, not at every look',
  );
});

test('a wait goes on while nothing more could start: it is said once, and lasts from its first moment', (t) => {
  const limits = { ...WIDE, whole: 2, rack: 1 };
  const s = new Script(racks(12, 2), { limits, order: 'name', waves: [{ take: 1 }, {}] });
  const full = s.state.order[1]!.map((id) => s.node(id).rack).find((rack, i, all) => all.indexOf(rack) < i);
  s.send(seen([], { others: { rack: { [`par/${full}`]: 1 } } }));
  const notes = [...s.start().notes];
  s.upgrade(...s.in('staging'));
  let since: number | undefined;
  for (let i = 0; i < 40; i += 1) {
    obey(s);
    for (const step of s.pass(20, ids(s))) notes.push(...step.notes);
    const waits = s.rollout.waits?.[`rack par/${full}`];
    if (waits === undefined) continue;
    since ??= waits.since;
    t.is(waits.since, since);
    if (s.rollout.clock - since < 5 * 60_000) continue;
    break;
  }
  t.is(notes.filter(({ why }) => why.startsWith('waits:')).length, 1);
  s.send(seen([]));
  t.is(s.rollout.waits, undefined, 'until it is full no more');
});

test('the whole is a pace: 60 dead nodes do not stop a rollout that has 50 under way at once', (t) => {
  const dead = Array.from({ length: 60 }, (_, i) => `n${String(i * 16).padStart(5, '0')}`);
  const s = new Script(
    fleetOf(1000, 50).map((one) => ({ ...one, rack: null })),
    {},
  );
  s.send(seen(dead, { others: {} }));
  s.start();
  t.is(s.rollout.inFlight.whole, 50);
});

test('a rack with one down is full for a limit of one, and the others go on', (t) => {
  const s = new Script(racks(8, 4), { limits: { ...WIDE, rack: 1 } });
  s.send(seen([], { others: { rack: { 'par/r0': 1 } } }));
  s.start();
  t.deepEqual(Object.keys(s.rollout.inFlight.rack), ['par/r1']);
  t.deepEqual(why(s), ['1 of 4 nodes of rack par/r0 is down already (limit 1)']);
});

test('the last live node of a rack is left alone, whatever the limit', (t) => {
  const s = new Script(partly(['n0'], 2), { limits: WIDE });
  s.send(seen(['n0']));
  s.start();
  t.is(s.node('n1').state, 'pending');
  t.deepEqual(why(s), ['1 of 2 nodes of rack par/r0 is down already (the last live one stays)']);
  s.send(seen([]));
  t.is(s.node('n1').state, 'staging');
});

test('its own nodes are no exception: all are staged, and one waits until the others are through', (t) => {
  const s = new Script(racks(3, 3), { limits: WIDE });
  s.start();
  t.is(s.in('staging').length, 3);
  obey(s);
  t.is(s.in('baking').length, 2);
  t.is(s.in('staged').length, 1);
  t.deepEqual(why(s), [], 'it is its turn that it waits for');
  s.pass(70, ids(s));
  t.is(s.in('done').length, 2);
  t.is(s.in('activating').length, 1);
});

test('a rack of one node moves as ever', (t) => {
  const s = new Script([node('a', { rack: 'r0' }), node('b', { rack: 'r1' })], { limits: WIDE });
  s.start();
  obey(s);
  t.is(s.in('baking').length, 2);
});

test('the last live node of a service is left alone', (t) => {
  const s = new Script(
    [
      node('a', { services: ['db', 'web'] }),
      node('b', { services: ['db'] }),
      node('c', { services: ['one'] }),
    ],
    { limits: WIDE },
  );
  s.send(seen([], { others: { service: { db: 1 } }, of: { service: { db: 2, web: 1, one: 1 } } }));
  s.start();
  t.deepEqual(s.in('staging'), ['c']);
  t.deepEqual(why(s), ['1 of 2 nodes of service db is down already (the last live one stays)']);
  s.send(seen([], { of: { service: { db: 2 } } }));
  obey(s);
  t.is(s.in('baking').length, 2, 'one of the two at a time');
});

test('a node that is ill itself may be restarted: that makes nothing worse', (t) => {
  const s = new Script(racks(2), { limits: { ...WIDE, rack: 1 } });
  s.send(seen(['n0']));
  s.start();
  t.deepEqual(s.in('staging'), ['n0'], 'the ill one, and not the live one');
  s.upgrade('n0');
  t.is(s.node('n0').state, 'baking');
});

test('what dies while a node is being staged holds it back; its slot goes to others', (t) => {
  const s = new Script(racks(4, 2), { limits: { ...WIDE, whole: 1, rack: 1 }, order: 'name' });
  s.start();
  const [first] = s.in('staging') as [string];
  const rack = s.node(first).rack;
  s.send(seen([], { others: { rack: { [`par/${rack}`]: 1 } } }));
  s.obey(first);
  t.is(s.node(first).state, 'staged', 'staged, and not restarted');
  s.pass(10, ids(s));
  t.is(s.in('staging').length, 1);
  t.not(s.node(s.in('staging')[0]!).rack, rack);
  s.send(seen([]));
  go(s);
  t.is(s.rollout.state, 'done', s.rollout.why);
});

test('nothing is taken down before somebody has looked; staging may begin', (t) => {
  const s = new Script(racks(4, 4), { limits: WIDE });
  s.looks = false;
  s.start();
  obey(s);
  t.is(s.in('staged').length, 4);
  t.deepEqual(why(s), ['nobody has looked at the fleet yet']);
  s.send(seen([]));
  t.is(s.in('activating').length, 3);
  // Whoever takes over has to look for themselves, and so has one who slept.
  s.send({ type: 'takeover' });
  obey(s);
  s.pass(70, ids(s));
  t.is(s.in('done').length, 3);
  t.is(s.in('staged').length, 1);
  s.send(seen([]));
  t.is(s.in('activating').length, 1);
  const again = loadRollout(s.state.setup, s.rollout, s.state.waves, s.state.nodes.values());
  t.is(again.rollout.around.fence, null);
});

test('a node that did not come back counts from that moment on, before the fleet knows', (t) => {
  const s = new Script(racks(3, 3), {
    ...{ limits: { ...WIDE, whole: 1, rack: 1 }, budget: { wave: 2, whole: 2 }, attempts: 1, order: 'name' },
  });
  s.start();
  const [first, ...rest] = ['n0', 'n1', 'n2'] as const;
  s.obey(first);
  s.accept(first);
  s.pass(15 * 60 + 20, rest);
  s.pass(20 * 60 + 20, rest);
  t.is(s.node(first).state, 'needs-recovery');
  s.pass(10, rest);
  t.is(s.rollout.inFlight.whole, 0);
  t.deepEqual(why(s), ['1 of 3 nodes of rack par/r0 is down already (limit 1)']);
  s.send(seen([]));
  t.is(s.rollout.inFlight.whole, 0, 'a look that does not know it yet changes nothing');
  s.pass(200, rest);
  s.send(seen([]));
  t.is(s.rollout.inFlight.whole, 1, 'later the fleet knows better');
});

test('in a wave that has proved the version one place does not keep the others waiting: it goes last', (t) => {
  const fleet = racks(8, 2);
  const s = new Script(fleet, { limits: { ...WIDE, rack: 1 }, waves: [{ take: 6 }, {}], order: 'name' });
  const [held] = s.state.setup.waves.length > 0 ? [s.state.order[0]![0]!] : [''];
  const rack = `par/${s.node(held).rack}`;
  s.send(seen([], { others: { rack: { [rack]: 1 } } }));
  s.start();
  go(s, 40);
  t.is(s.rollout.wave, 2, 'the tail is open');
  t.is(s.in('done').length, 6);
  t.is(s.in('pending').length, 2);
  t.regex(s.node(held).why, /1 of 2 nodes of rack/);
  s.send(seen([]));
  go(s, 60);
  t.is(s.rollout.state, 'done', s.rollout.why);
});

test('a wave that has proved nothing waits: nobody else becomes the canary', (t) => {
  const s = new Script(racks(8, 2), { limits: { ...WIDE, rack: 1 }, waves: [{ take: 1 }, {}] });
  const canary = s.node(s.state.order[0]![0]!);
  s.send(seen([], { others: { rack: { [`par/${canary.rack}`]: 1 } } }));
  s.start();
  go(s, 60);
  t.is(s.rollout.wave, 0);
  t.is(canary.state, 'pending');
  t.is(why(s).length, 1);
});

test('the tail waits for those as long as for the ones that are offline, and then leaves them', (t) => {
  const fleet = racks(4, 2).map((one, i) => (i < 2 ? { ...one, state: 'degraded' as const } : one));
  const s = new Script(fleet, { limits: WIDE, offline: { wait: '1h' } });
  s.send(seen([]));
  s.start();
  go(s, 10);
  t.is(s.rollout.state, 'done', 'they are well again');

  const held = new Script(fleet, { limits: WIDE, offline: { wait: '1h' } });
  held.send(seen([], { others: { rack: { 'par/r0': 1 } } }));
  held.start();
  go(held, 50);
  t.is(held.rollout.wave, 1);
  t.is(held.rollout.state, 'running');
  t.is(why(held).length, 1);
  go(held, 30);
  t.is(held.rollout.state, 'partial', held.rollout.why);
  t.is(held.in('pending').length, 2);
});

test('the tail waits for a place from the moment that it is full, however long the tail has been open', (t) => {
  for (const staging of ['turn', 'ahead']) {
    const fleet = partly(['n5'], 6, 2);
    const s = new Script(fleet, {
      ...{ limits: WIDE, offline: { wait: '1h' }, staging, order: 'name' },
      ...{ waves: [{ take: 1 }, {}], windows: [{ zone: 'UTC', from: '00:00', to: '02:00' }] },
    });
    const present = ids(s).filter((id) => id !== 'n5');
    s.send(seen([]), { type: 'unreachable', node: 'n5' });
    s.start();
    const pass = (minutes: number) => {
      for (let i = 0; i < minutes; i += 1) {
        obey(s);
        s.pass(60, s.node('n5').reachable ? ids(s) : present);
      }
    };
    pass(59);
    t.is(s.rollout.wave, 2);
    t.is(s.in('done').length, 5);
    // It comes back when the window is closed, and then its rack is down.
    s.at = 3 * 3600_000;
    s.send(s.report('n5'));
    pass(30);
    s.send(seen([], { others: { rack: { 'par/r2': 1 } } }));
    s.at = 24 * 3600_000;
    pass(50);
    t.is(s.rollout.state, 'running', s.rollout.why);
    t.is(s.node('n5').state, staging === 'turn' ? 'pending' : 'staged');
    pass(20);
    for (const id of s.in('rolling-back')) s.obey(id);
    t.is(s.rollout.state, 'partial', `${staging}: ${s.rollout.why} ${s.node('n5').state}`);
  }
});

test('more full places than there is room to write down do not keep the tail open for ever', (t) => {
  const s = new Script(racks(442, 2), {
    ...{ limits: { ...WIDE, rack: 1 }, offline: { wait: '1h' }, waves: [{ take: 1 }, {}] },
  });
  const canary = s.node(s.state.order[0]![0]!);
  const full = Array.from({ length: 221 }, (_, i) => [`par/r${i}`, 1] as const);
  const others = Object.fromEntries(full.filter(([rack]) => rack !== `par/${canary.rack}`));
  s.send(seen([], { others: { rack: others } }));
  s.start();
  go(s, 60);
  t.is(s.rollout.wave, 2);
  t.is(why(s).length, 200);
  go(s, 60);
  t.is(s.rollout.state, 'partial', s.rollout.why);
});

test('a person goes on all the same: in the spec, or while it runs', (t) => {
  const s = new Script(racks(2), { limits: { ...WIDE, down: 'ignore' } });
  s.send(seen(['n0']), { type: 'unreachable', node: 'n0' });
  s.start();
  t.is(s.node('n1').state, 'staging');
  const other = new Script(racks(2), { limits: WIDE });
  other.send(seen(['n0']), { type: 'unreachable', node: 'n0' });
  other.start();
  t.is(other.node('n1').state, 'pending');
  other.send({ type: 'edit', by: 'ben', changes: { down: 'ignore' } });
  t.is(other.node('n1').state, 'staging');
  t.is(other.rollout.waits, undefined);
  other.upgrade('n1');
  t.is(other.node('n1').state, 'baking');
});

test('the way back waits for nobody who is down', (t) => {
  const s = new Script(racks(2), { limits: { ...WIDE, rack: 1 } });
  s.start();
  const [first] = s.in('staging') as [string];
  s.upgrade(first);
  s.send(seen([first === 'n0' ? 'n1' : 'n0'], { others: { site: { par: 2 }, rack: { 'par/r0': 1 } } }));
  s.send({ type: 'rollback', by: 'ben', why: 'bad' });
  t.is(s.node(first).state, 'rolling-back');
});

test('of two that take nodes down at once one does: a step says on what look it rests', (t) => {
  const s = new Script(racks(4, 4), { limits: WIDE });
  s.send(seen([], { fence: 7 }));
  s.start();
  const [a, b, c] = s.in('staging') as [string, string, string];
  const step = (id: string) => s.obey(id);
  t.is(step(a).fence, 7);
  t.is(step(b).fence, 8, 'its own step is no news to it');
  s.send(seen([], { fence: 7 }));
  t.is(step(c).fence, 9, 'nor to a look that began before');
  const before = s.send(s.report(a));
  t.is(before.fence, null, 'that takes nobody down');
});

test('when somebody joins in a place that nobody has looked at, nobody restarts before a look', (t) => {
  const s = new Script(racks(4, 4), { limits: WIDE });
  s.start();
  s.looks = false;
  const join = (id: string, rack: string, hops: string[] = ['2.0']) => {
    const place = { node: id, name: id, site: 'par', rack, how: 'disk', from: '1.0', hops } as const;
    const more = { why: 'late', epoch: 1, bootId: `${id}-boot-0`, reachable: true, ill: false };
    s.send({ type: 'joined', place: { ...place, ...more, hops } });
  };
  join('known', 'r0');
  s.obey(s.in('staging')[0]!);
  t.is(s.in('activating').length, 1);
  join('new', 'r9');
  obey(s);
  t.deepEqual(why(s), ['nobody has looked at the fleet yet']);
  t.is(s.in('activating').length, 0, 'the one that did is through');
  s.send(seen([], { of: { rack: { 'par/r9': 2 } } }));
  t.true(s.in('activating').length > 0);
  obey(s);
  join('another', 'r9');
  t.not(s.rollout.around.fence, null, 'now it is known');
});

test('records of before are loaded, and count too once somebody has looked', (t) => {
  const s = new Script(racks(2), { limits: WIDE });
  s.start();
  const { sizes: _, spec, ...setup } = s.state.setup;
  const { down: __, ...limits } = spec.limits;
  const { around: ___, disrupted: ____, ...rollout } = s.rollout;
  const nodes = [...s.state.nodes.values()].map(({ down: _____, ...one }) => one as NodeStep);
  const older = { ...setup, spec: { ...spec, limits: limits as typeof spec.limits } };
  s.state = loadRollout(older, rollout as typeof s.rollout, s.state.waves, nodes);
  s.looks = false;
  obey(s);
  t.is(s.in('staged').length, 2);
  s.send(seen([], { of: { site: { par: 2 }, rack: { 'par/r0': 2 } } }));
  t.is(s.in('activating').length, 1);
  const step = advance(s.state, { at: 0, elapsed: 1000, events: [{ type: 'tick' }] });
  t.deepEqual(step.rollout.disrupted, { site: { par: 1 }, rack: { 'par/r0': 1 }, service: {} });
});

test('a plan says who cannot start now', (t) => {
  const fleet = [
    ...racks(4, 2).map((one, i) => (i === 0 ? { ...one, state: 'unreachable' as const } : one)),
    ...['quarantined', 'installing', 'recovering'].map((state) =>
      node(state, { state: state as 'recovering' }),
    ),
    ...['retired', 'pending', 'discovered'].map((state) => node(state, { state: state as 'retired' })),
    node('late', { site: 'muc', state: 'degraded' }),
  ];
  const warnings = (limits: object) =>
    planOf(fleet, { limits }).warnings.filter((text) => text.includes('cannot start now'));
  t.deepEqual(warnings({ ...WIDE, site: '50%' }), [
    '3 nodes of site par cannot start now: 4 of 7 nodes of site par are down already (limit 50 %)',
  ]);
  t.deepEqual(warnings(WIDE), [
    '1 nodes of rack par/r0 cannot start now: 1 of 2 nodes of rack par/r0 is down already (the last live one stays)',
  ]);
  t.deepEqual(warnings({ ...WIDE, site: '50%', down: 'ignore' }), []);
  // Silent for longer than a day: its rack has one node, and the site six, of which three are down.
  fleet[0] = { ...fleet[0]!, lastSeen: -GONE - 1 };
  t.deepEqual(warnings({ ...WIDE, site: '55%' }), [
    '3 nodes of site par cannot start now: 3 of 6 nodes of site par are down already (limit 55 %)',
  ]);
  t.deepEqual(warnings(WIDE), []);
  t.is(specOf({}).limits.down, 'count');
});

test('a node that is down and gets another try counts at once, without another look', (t) => {
  const s = new Script(racks(2), { limits: WIDE, attempts: 3 });
  s.start();
  // Whoever was staged first is asked first whether it may go.
  const [waiting, ill] = [...s.state.active] as [string, string];
  s.obey(ill);
  s.obey(waiting);
  s.accept(ill);
  s.send(seen([ill]));
  t.is(s.node(waiting).state, 'staged');
  for (let i = 0; i < 120 && s.node(ill).attempts < 2; i += 1) s.pass(10, [waiting, ill]);
  t.is(s.node(ill).attempts, 2, 'it did not restart, and is told again');
  t.is(s.node(ill).state, 'activating', 'to restart it makes nothing worse');
  t.is(s.node(waiting).state, 'staged');
});
