/** Staging ahead: files before their turn, restarts within windows and limits. */
import test from 'ava';
import type { PlanNode } from '../../../orchestrator/rollout/node.ts';
import { FACTS, fleetOf } from './fleet.ts';
import { Script } from './script.ts';

const at = (time: string, day = 1) => Date.parse(`1970-01-0${day}T${time}Z`);
const NIGHT = [{ zone: 'UTC', from: '22:00', to: '24:00' }];
const SPEC = {
  ...{ staging: 'ahead', windows: NIGHT, order: 'name', budget: { wave: 0, whole: 0 } },
  limits: { whole: 2, site: 2, rack: 2 },
  waves: [{ name: 'canary', take: 1, windows: [] }, {}],
};

/** At noon: the canary is done, and the second wave is open. */
function noon(spec: object = {}, more: (i: number) => Partial<PlanNode> = () => ({}), facts = FACTS): Script {
  const s = new Script(fleetOf(8, 1, more), { ...SPEC, ...spec }, facts);
  s.at = at('12:00');
  s.start();
  const canary = s.in('staging');
  s.upgrade(...canary);
  s.pass(130, canary);
  if (s.state.waves[1]?.state !== 'open') throw new Error(s.rollout.why);
  return s;
}

/** Every file that is fetched arrives. */
function fetchAll(s: Script): void {
  while (s.in('staging').length > 0) for (const id of s.in('staging')) s.obey(id);
}

const others = (s: Script) =>
  [...s.state.nodes.values()].filter(({ wave }) => wave === 1).map(({ node }) => node);

test('by day all of the open wave get the file, a few at once, and nobody restarts; at night two at once do', (t) => {
  const s = noon();
  t.is(s.in('staging').length, 2, 'as many fetch as may be under way');
  t.is(s.rollout.inFlight.whole, 0, 'and nobody holds a place');
  fetchAll(s);
  t.is(s.in('staged').length, 7);
  s.pass(600, [...s.state.nodes.keys()]);
  t.is(s.in('staged').length, 7);
  t.is(s.send(...others(s).map((id) => s.report(id))).nodes.length, 0, 'that they still wait is no news');
  s.at = at('22:00');
  s.send({ type: 'tick' });
  t.deepEqual(s.in('activating'), others(s).slice(0, 2), 'in the order of the plan');
  t.deepEqual(s.rollout.inFlight.whole, 2);
  const [a, b] = s.in('activating') as [string, string];
  s.obey(a);
  s.pass(
    60,
    [...s.state.nodes.keys()].filter((id) => id !== b),
  );
  t.is(s.node(a).state, 'done');
  t.deepEqual(s.in('activating'), [b, others(s)[2]!].sort(), 'the next one takes its place');
});

test('files come at their turn unless the spec says otherwise', (t) => {
  const s = noon({ staging: 'turn' });
  t.is(s.in('staging').length, 0);
  s.at = at('22:00');
  s.send({ type: 'tick' });
  t.is(s.rollout.inFlight.whole, 2);
});

test('the first wave proves the version: of it nobody has the file before its turn', (t) => {
  const s = new Script(fleetOf(8, 1), { ...SPEC, waves: [{ take: 4 }, {}] });
  s.at = at('12:00');
  s.start();
  t.is(s.in('staging').length, 0);
  s.at = at('22:00');
  s.send({ type: 'tick' });
  t.is(s.in('staging').length, 2);
});

test('a diskless node waits for its turn without anything', (t) => {
  const s = noon({}, (i) => (i === 3 ? { mode: 'netboot' } : {}));
  fetchAll(s);
  t.is(s.in('pending').length, 1);
  s.at = at('22:00');
  s.send({ type: 'tick' });
  t.is(s.rollout.inFlight.whole, 2);
  while (s.in('activating').length > 0) {
    for (const id of s.in('activating')) s.obey(id);
    s.pass(60, [...s.state.nodes.keys()]);
  }
  t.is(s.in('done').length, 8);
});

test('neither before notBefore, nor while it is paused, nor right after a failover', (t) => {
  const s = noon();
  s.send({ type: 'pause', by: 'ann', why: '' });
  const before = s.commands.length;
  for (const id of s.in('staging')) s.obey(id);
  s.pass(60, [...s.state.nodes.keys()]);
  t.is(s.commands.length, before);
  s.send({ type: 'edit', by: 'ben', changes: { notBefore: at('20:00') } }, { type: 'resume', by: 'ann' });
  s.pass(60, [...s.state.nodes.keys()]);
  t.is(s.commands.length, before);
  s.at = at('20:00');
  s.send({ type: 'failover', term: 5 });
  t.is(s.commands.length, before);
  const heard = others(s).slice(0, -1);
  s.pass(200, heard);
  fetchAll(s);
  t.deepEqual(s.in('pending'), [others(s).at(-1)], 'who was not heard since is told nothing');
});

test('a bad version: files are taken off without a place, and hold nobody up who runs it', (t) => {
  const s = noon();
  fetchAll(s);
  const [canary] = s.in('done') as [string];
  s.send({ type: 'rollback', by: 'ann', why: 'bad' });
  t.is(s.in('rolling-back').length, 8);
  t.is(s.rollout.inFlight.whole, 1, 'only the canary restarts');
  t.true(s.node(canary).slot);
  t.deepEqual(s.rollout.disrupted?.site, { s0: 1 }, 'and others see the canary alone as disrupted');
  const rev = s.rollout.rev;
  t.is(s.send({ type: 'tick' }).nodes.length, 0, `nothing is written again after ${rev}`);
  for (const id of s.in('rolling-back')) s.obey(id);
  t.is(s.in('taken-back').length, 8);
  t.is(s.rollout.state, 'aborted');
});

test('the end of a rollout takes the files back', (t) => {
  const s = noon();
  fetchAll(s);
  s.send({ type: 'abort', by: 'ann', why: 'lunch' });
  while (s.in('rolling-back').length > 0) for (const id of s.in('rolling-back')) s.obey(id);
  t.is(s.in('taken-back').length, 7);
  t.like(s.rollout, { state: 'aborted' });
});

test('who has only the file can be left out, alone or with the wave: the file is taken back', (t) => {
  const s = noon();
  fetchAll(s);
  const [a, ...rest] = others(s) as [string, ...string[]];
  t.deepEqual(s.send({ type: 'skip', by: 'ben', why: 'busy', node: a }).refusals, []);
  t.like(s.lastCommand(a), { kind: 'rollback', drop: '2.0' });
  s.obey(a);
  t.like(s.node(a), { state: 'taken-back', failed: false });
  t.deepEqual(s.send({ type: 'skip-wave', by: 'ben', why: 'holiday', wave: 1 }).refusals, []);
  s.send({ type: 'tick' });
  while (s.in('rolling-back').length > 0) for (const id of s.in('rolling-back')) s.obey(id);
  t.deepEqual(s.in('taken-back'), [a, ...rest].sort());
  t.is(s.rollout.failures, 0);
  t.is(s.rollout.state, 'partial', s.rollout.why);
  const again = noon();
  fetchAll(again);
  again.at = at('22:00');
  again.send({ type: 'tick' });
  const [restarts] = again.in('activating') as [string];
  t.is(
    again.send({ type: 'skip', by: 'ben', why: '', node: restarts }).refusals.length,
    1,
    'its turn has come',
  );
});

test('offline by day is nothing; offline at its turn it goes last, and has lost no try', (t) => {
  const s = noon({ attempts: 1 });
  fetchAll(s);
  const [away, next] = others(s) as [string, string];
  s.send({ type: 'unreachable', node: away });
  const present = [...s.state.nodes.keys()].filter((id) => id !== away);
  s.pass(600, present);
  t.like(s.node(away), { state: 'staged', wave: 1 });
  s.at = at('22:00');
  s.send({ type: 'tick' });
  t.like(s.node(away), { state: 'pending', wave: 2, attempts: 0, failed: false });
  t.true(s.in('activating').includes(next));
  s.send(s.report(away));
  while (s.rollout.endedAt === null && s.rollout.clock < 40_000_000) {
    for (const id of [...s.in('staging'), ...s.in('activating')]) s.obey(id);
    s.pass(60, [...s.state.nodes.keys()]);
  }
  t.is(s.rollout.state, 'done', s.rollout.why);
});

test('one question without an answer, just when the window opens, costs a node only its place in the order', (t) => {
  const s = noon();
  fetchAll(s);
  s.pass(60, [...s.state.nodes.keys()]);
  const [a] = others(s) as [string];
  s.at = at('22:00');
  s.send({ type: 'unreachable', node: a }, { type: 'tick' });
  t.like(s.node(a), { state: 'staged', wave: 1, slot: false });
  t.is(s.in('activating').length, 2);
  s.send(s.report(a));
  for (const id of s.in('activating')) s.obey(id);
  s.pass(60, [...s.state.nodes.keys()]);
  t.is(s.node(a).state, 'activating');
});

test('who restarts by itself into the file it has is counted from then on', (t) => {
  const s = noon();
  fetchAll(s);
  const [a] = others(s) as [string];
  s.reboot(a, '2.0');
  s.send(s.report(a, { epoch: s.lastCommand(a).epoch }));
  t.like(s.node(a), { state: 'baking', slot: true });
  t.is(s.rollout.inFlight.whole, 1);
});

test('a configuration is brought by day as well, and applied at night', (t) => {
  const facts = { ...FACTS, configs: ['c0', 'c1'] };
  const s = noon({ image: undefined, config: 'c1' }, () => ({ config: 'c0' }), facts);
  fetchAll(s);
  t.is(s.in('staged').length, 7);
  s.at = at('22:00');
  s.send({ type: 'tick' });
  t.is(s.in('activating').length, 2);
});

test('the tail is staged ahead too: who is away there does not keep it open for ever', (t) => {
  const s = noon({ offline: { wait: '1h' } }, (i) => (i > 5 ? { state: 'unreachable' } : {}));
  const [a, b] = ['n00006', 'n00007'];
  const present = () => [...s.state.nodes.keys()].filter((id) => id !== a && id !== b);
  fetchAll(s);
  s.at = at('22:00');
  for (let i = 0; i < 8; i += 1) {
    for (const id of s.in('activating')) s.obey(id);
    s.pass(60, present());
  }
  t.is(s.state.waves[2]!.state, 'open');
  s.at = at('12:00', 2);
  s.send(s.report(a), { type: 'tick' });
  t.is(s.node(a).state, 'staging');
  s.obey(a);
  s.send({ type: 'unreachable', node: a });
  s.pass(2 * 3600, present());
  t.is(s.node(a).state, 'staged');
  s.at = at('22:00', 2);
  s.pass(120, present());
  t.is(s.rollout.state, 'partial', s.rollout.why);
});

test('who has only the file did not change: done nodes that go silent are compared with it', (t) => {
  const limits = { whole: 100, site: 100, rack: 100, down: 'ignore' };
  const s = new Script(fleetOf(60, 3), { ...SPEC, limits, waves: [{ take: 30, windows: [] }, {}] });
  s.at = at('12:00');
  s.start();
  s.pass(10, [...s.state.nodes.keys()]);
  const first = s.in('staging');
  s.upgrade(...first);
  s.pass(130, [...s.state.nodes.keys()]);
  fetchAll(s);
  t.is(s.in('staged').length, 30);
  const [done, staged] = [s.in('done'), s.in('staged')].map((ids) => ids.filter((_, i) => i % 10 === 5));
  s.send(
    ...done!.map((node) => ({ type: 'seen', node, as: 'silent' }) as const),
    ...staged!.map((node) => ({ type: 'unreachable', node }) as const),
  );
  s.pass(
    400,
    [...s.state.nodes.keys()].filter((id) => !staged!.includes(id) && !done!.includes(id)),
  );
  t.is(s.rollout.state, 'running', s.rollout.why);
  for (const id of done!) t.regex(s.node(id).why, /not counted: all others are well/);
});

/** At night, after hours in which nobody was asked, one of those that wait has restarted into the version and bakes. */
function lateNight(sites = 1) {
  const s = new Script(fleetOf(12, sites), { ...SPEC, limits: { whole: 1, site: 9, rack: 9 } });
  s.at = at('12:00');
  s.start();
  const canary = s.in('staging');
  s.upgrade(...canary);
  s.pass(130, canary);
  fetchAll(s);
  s.pass(4 * 3600);
  s.at = at('22:00');
  s.send({ type: 'tick' });
  const [first] = s.in('activating') as [string];
  s.obey(first);
  return { s, first };
}

test('who waits with its file is not asked: hours without its word are no silence, and who bakes is compared with it', (t) => {
  const { s, first } = lateNight();
  t.is(s.node(first).state, 'baking');
  t.is(s.rollout.state, 'running', s.rollout.why);
  s.pass(1_200);
  t.true(s.node(first).failed, 'all others are there, as far as the fleet knows');
  t.regex(s.node(first).why, /silent/);
});

test('when the heartbeats of those that wait are missing as well, it is the place', (t) => {
  const { s, first } = lateNight();
  s.send(...s.in('staged').map((node) => ({ type: 'unreachable' as const, node })));
  s.pass(1_200);
  t.is(s.rollout.state, 'paused');
  t.false(s.node(first).failed);
  // They were well until now, and are back: their turn comes as ever.
  const all = [...s.state.nodes.keys()];
  s.send(...s.in('staged').map((node) => ({ type: 'reachable' as const, node })));
  s.pass(60, [first]);
  t.is(s.rollout.state, 'running', s.rollout.why);
  s.pass(60, all);
  t.is(s.node(first).state, 'done');
  t.is(s.in('activating').length, 1);
});

test('the fleet says who of them is ill: what they show later proves nothing against the version', (t) => {
  const { s, first } = lateNight();
  const next = others(s)[1]!;
  s.send({ type: 'seen', node: next, as: 'ill' });
  t.is(s.send({ type: 'seen', node: next, as: 'ill' }).nodes.length, 0);
  s.pass(70, [first]);
  t.like(s.node(next), { state: 'activating', ill: true });
  s.send({ type: 'seen', node: others(s)[2]!, as: 'ill' }, { type: 'seen', node: others(s)[2]!, as: 'well' });
  t.is(s.node(others(s)[2]!).sick, null);
});

test('a file that is lost is fetched again before its turn, but not for ever', (t) => {
  const s = noon();
  fetchAll(s);
  const id = others(s).at(-1)!;
  const files = ['1.0'];
  t.is(s.send(s.report(id, { files: ['1.0', '2.0'] })).nodes.length, 0);
  t.is(s.send(s.report(id, { files: [] })).nodes.length, 0, 'it knows not even what runs');
  s.send(s.report(id, { files }));
  t.like(s.node(id), { state: 'staging', slot: false, failed: false });
  t.is(s.lastCommand(id).kind, 'stage');
  s.obey(id);
  t.is(s.send(s.report(id, { files })).nodes.length, 0);
  t.is(s.node(id).state, 'staged');
});

test('everything goes back after hours of waiting: who was not asked is no dead node', (t) => {
  const { s } = lateNight();
  s.send({ type: 'rollback', by: 'ben', why: 'bad' });
  const told = s.in('rolling-back').length;
  t.true(told > 9, `${told}`);
  for (let i = 0; i < 4; i += 1) {
    for (const id of s.in('rolling-back')) s.obey(id);
    s.pass(10);
  }
  t.is(s.rollout.state, 'aborted', s.rollout.why);
  t.is(s.in('needs-recovery').length, 0);
});

test('missing heartbeats are noticed late: nobody is blamed before that time', (t) => {
  const { s, first } = lateNight();
  const { silent } = s.state.setup.spec.timeouts;
  s.pass((silent * 1.5) / 1000);
  t.false(s.node(first).failed);
  s.send(...s.in('staged').map((node) => ({ type: 'unreachable' as const, node })));
  s.pass(1_200);
  t.false(s.node(first).failed);
  t.is(s.rollout.state, 'paused');
});

test('from its turn on its own word counts, and what nobody asked before is not held against it', (t) => {
  const s = noon({ limits: { whole: 1, site: 9, rack: 9 } });
  fetchAll(s);
  s.pass(4 * 3600);
  s.at = at('22:00');
  s.send({ type: 'tick' });
  const [first] = s.in('activating') as [string];
  const { epoch } = s.node(first);
  const refusal = { code: 'cannot', why: 'withdrawn', has: epoch, blame: 'rules' } as const;
  s.send({ type: 'refused', node: first, epoch, ...refusal }, { type: 'tick' });
  t.is(s.rollout.state, 'paused');
  s.send({ type: 'resume', by: 'ann' });
  t.is(s.node(first).state, 'activating', 'it is not left behind as silent');
});
