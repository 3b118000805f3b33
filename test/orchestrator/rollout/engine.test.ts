import test from 'ava';
import { outstanding } from '../../../orchestrator/rollout/command.ts';
import { advance, apply, loadRollout } from '../../../orchestrator/rollout/engine.ts';
import { FACTS, fleetOf, node, WITH_BARRIER } from './fleet.ts';
import { Script } from './script.ts';

const LOOSE = { limits: { whole: 100, site: 100, rack: 100, down: 'ignore' }, budget: { wave: 0, whole: 0 } };

test('one node: staged, activated, booted, baked, done; each step ordered under its own epoch', (t) => {
  const s = new Script([node('a')], {});
  t.deepEqual(
    s.start().commands.map((command) => command.kind),
    ['stage'],
  );
  t.like(s.lastCommand('a'), { kind: 'stage', epoch: 11, version: '2.0', keep: '1.0' });
  const staged = s.obey('a');
  t.like(staged.commands[0], { kind: 'activate', epoch: 12, version: '2.0', bootId: 'a-boot-0' });
  const booted = s.obey('a');
  t.deepEqual(
    booted.notes.map((note) => note.to),
    ['booted', 'attested', 'baking'],
  );
  s.pass(50, ['a']);
  t.is(s.node('a').state, 'baking');
  s.pass(10, ['a']);
  t.is(s.node('a').state, 'done');
  t.is(s.rollout.state, 'running', 'the wave bakes as a whole');
  s.pass(70, ['a']);
  t.is(s.rollout.state, 'done');
});

test('a node that says it runs the new version, but never restarted, is not believed', (t) => {
  const s = new Script([node('a')], { attempts: 1 });
  s.start();
  s.obey('a');
  s.accept('a');
  s.send(s.report('a', { image: '2.0' }));
  t.is(s.node('a').state, 'activating');
  for (let i = 0; i < 91; i += 1) {
    s.pass(10);
    s.send(s.report('a', { image: '2.0' }));
  }
  t.is(s.node('a').state, 'rolling-back');
  t.true(s.node('a').failed);
});

test('a waiting node that claims the new version without a restart is not believed either', (t) => {
  const s = new Script([node('a'), node('b')], { limits: { whole: 1, site: 1, rack: 1 } });
  s.start();
  const waiting = s.in('pending')[0]!;
  s.send(s.report(waiting, { image: '2.0' }));
  t.is(s.node(waiting).state, 'pending');
});

test('no jump of any clock ends a bake early', (t) => {
  const s = new Script([node('a')], { bake: { node: '10m', wave: '1m' } });
  s.start();
  s.upgrade('a');
  s.at = Date.parse('2040-01-01T00:00:00Z');
  s.send(s.report('a'), { type: 'tick' });
  t.is(s.node('a').state, 'baking', 'the wall clock means nothing');
  const step = advance(s.state, { at: 0, elapsed: 1e12, events: [s.report('a')] });
  t.is(step.rollout.clock - s.rollout.clock, 60_000, 'one input is a minute at most');
  apply(s.state, step);
  t.is(s.node('a').state, 'baking');
  const back = advance(s.state, { at: 0, elapsed: -5_000, events: [s.report('a')] });
  t.is(back.rollout.clock, s.rollout.clock);
});

test('a bake ends only with a report, never by time alone', (t) => {
  const s = new Script([node('a')], { timeouts: { silent: '10m' } });
  s.start();
  s.upgrade('a');
  s.pass(300);
  t.is(s.node('a').state, 'baking');
  s.send(s.report('a'));
  t.is(s.node('a').state, 'done');
});

test('late and repeated reports change nothing', (t) => {
  const s = new Script([node('a')], {});
  s.start();
  const old = s.report('a');
  s.upgrade('a');
  const before = structuredClone(s.node('a'));
  const step = s.send(old, old);
  t.false(step.changed);
  t.deepEqual(s.node('a'), before);
});

test('a fall-back is a failure, and is rolled back by a newer order that names the last good version', (t) => {
  const s = new Script([node('a'), node('b')], {
    budget: { wave: 1, whole: 1 },
    ...{ limits: LOOSE.limits },
  });
  s.start();
  s.obey('a');
  const ordered = s.lastCommand('a').epoch;
  s.accept('a');
  s.reboot('a', '1.0');
  s.send(s.report('a', { failed: ['2.0'], reason: 'panic in initrd' }));
  t.regex(s.node('a').why, /panic in initrd/);
  t.like(s.lastCommand('a'), { kind: 'rollback', version: '1.0', drop: '2.0', epoch: ordered + 1 });
  t.is(s.rollout.state, 'running');
  s.obey('a');
  t.is(s.node('a').state, 'rolled-back');
  t.is(s.rollout.failures, 1);
});

test('a restart before the order arrived is no fall-back', (t) => {
  const s = new Script([node('a')], {});
  s.start();
  s.obey('a');
  s.reboot('a', '1.0');
  s.send(s.report('a'));
  t.is(s.node('a').state, 'activating');
  t.like(s.lastCommand('a'), { kind: 'activate', bootId: 'a-boot-1' });
  s.obey('a');
  t.is(s.node('a').state, 'baking');
});

test('a node that was refused for what it booted fails at once, whatever it could say itself and without any gate', (t) => {
  const s = new Script([node('a')], LOOSE);
  s.start();
  s.obey('a');
  s.accept('a');
  s.reboot('a', '2.0');
  const verdict = { type: 'attested', node: 'a', image: '2.0', ok: false, why: 'PCR 11 is wrong' } as const;
  s.send({ ...verdict, bootId: 'a-boot-0' });
  t.is(s.node('a').state, 'activating', 'a verdict on the boot before says nothing');
  s.send({ ...verdict, bootId: 'a-boot-1', image: '1.0' });
  t.is(s.node('a').state, 'activating', 'nor does one on another image');
  s.send({ ...verdict, bootId: 'a-boot-1', image: '2.0', ok: true });
  t.is(s.node('a').state, 'activating', 'a good one waits for the node itself');
  s.send({ ...verdict, bootId: 'a-boot-1' });
  t.like(s.node('a'), { state: 'rolling-back', failed: true });
});

test('a measurement that was not verified passes no gate, and a wrong one is a failure', (t) => {
  for (const kind of ['pcr11', 'attested']) {
    const s = new Script([node('a')], { gates: [{ kind }], ...LOOSE });
    s.start();
    s.upgrade('a');
    t.is(s.node('a').state, 'booted');
    s.send({ type: 'attested', node: 'a', bootId: 'a-boot-1', image: '2.0', ok: false, why: 'other' });
    t.is(s.node('a').state, 'rolling-back');
  }
});

test('the attestation gate waits for the verdict on this very boot', (t) => {
  const s = new Script([node('a')], { gates: [{ kind: 'attested' }] });
  s.start();
  s.upgrade('a');
  t.is(s.node('a').state, 'booted');
  s.send({ type: 'attested', node: 'a', bootId: 'a-boot-0', image: '2.0', ok: true, why: 'quote holds' });
  t.is(s.node('a').state, 'booted');
  s.send({ type: 'attested', node: 'a', bootId: 'a-boot-1', image: '2.0', ok: true, why: 'quote holds' });
  t.is(s.node('a').state, 'baking');
  const lost = new Script([node('a')], { gates: [{ kind: 'attested' }], ...LOOSE });
  lost.start();
  lost.upgrade('a');
  lost.pass(310, ['a']);
  t.is(lost.rollout.state, 'rolling-back');
});

test('a sick service fails its gate', (t) => {
  const s = new Script([node('a', { services: ['web', 'db'] })], {
    gates: [{ kind: 'service', names: ['web'] }],
    ...LOOSE,
  });
  s.start();
  s.obey('a');
  s.accept('a');
  s.reboot('a', '2.0');
  for (let i = 0; i < 19; i += 1) {
    s.send(s.report('a', { services: { web: false, db: true } }));
    s.pass(10);
  }
  t.regex(s.rollout.why, /1 failed/);
  t.regex(s.node('a').why, /1 failed|unhealthy/);
});

test('trouble in the bake begins it anew, and too much of it is a failure', (t) => {
  const s = new Script([node('a')], { flaps: 1, ...LOOSE });
  s.start();
  s.upgrade('a');
  s.pass(50, ['a']);
  s.send(s.report('a', { healthy: false, reason: 'disk' }));
  s.pass(30, ['a']);
  t.is(s.node('a').state, 'baking');
  s.send(s.report('a', { healthy: false, reason: 'disk' }));
  t.is(s.node('a').state, 'rolling-back');
  t.is(s.rollout.state, 'rolling-back');
});

test('limits hold per rack, site and whole, and one full site does not hold up the others', (t) => {
  const fleet = fleetOf(24, 2);
  const s = new Script(fleet, { limits: { whole: 5, site: 3, rack: 1 } });
  s.start();
  t.is(s.rollout.inFlight.whole, 5);
  t.true(Object.values(s.rollout.inFlight.site).every((count) => count <= 3));
  t.true(Object.values(s.rollout.inFlight.rack).every((count) => count === 1));
  const uneven = fleetOf(12, 1).map((n, i) => ({ ...n, site: i < 10 ? 'big' : 'small', rack: null }));
  const u = new Script(uneven, { limits: { whole: 10, site: 2, rack: 1 }, order: 'site' });
  u.start();
  t.deepEqual(u.rollout.inFlight.site, { big: 2, small: 2 });
});

test('budget spent: paused at once, then everything touched goes back, newest first', (t) => {
  const fleet = fleetOf(6, 1);
  const s = new Script(fleet, { waves: [{ take: 3 }, {}], order: 'name', ...LOOSE });
  s.start();
  const canary = s.in('staging');
  s.upgrade(...canary);
  s.pass(60, canary);
  t.is(s.in('done').length, 3);
  s.pass(60, canary);
  const second = s.in('staging');
  t.is(second.length, 3);
  s.upgrade(second[0]!);
  const step = s.send(s.report(second[0]!, { image: '1.0', bootId: 'fell-back' }));
  t.deepEqual(
    step.notes.filter((note) => note.what === 'rollout').map((note) => note.to),
    ['paused', 'rolling-back'],
  );
  const back = step.commands.map((command) => (command.kind === 'rollback' ? command.node : ''));
  t.deepEqual(
    back,
    [...s.state.nodes.values()]
      .filter((n) => n.touch > 0)
      .sort((a, b) => b.touch - a.touch)
      .map((n) => n.node),
  );
  for (const id of back) s.obey(id);
  t.is(s.rollout.state, 'failed');
  t.is(s.in('rolled-back').length, 1, 'the one that failed');
  t.is(s.in('taken-back').length, 5, 'the others did nothing wrong');
});

test('rolling back keeps to the limits as well', (t) => {
  const s = new Script(fleetOf(8, 1), {
    limits: { whole: 2, site: 2, rack: 2 },
    budget: { wave: 8, whole: 8 },
  });
  s.start();
  while (s.in('done').length < 8) {
    s.upgrade(...s.in('staging'));
    s.pass(60, s.in('baking'));
  }
  s.send({ type: 'rollback', by: 'ben', why: 'slow disks' });
  const order: string[] = [];
  while (s.rollout.state === 'rolling-back') {
    const now = s.in('rolling-back');
    t.true(now.length <= 2 && now.length > 0);
    order.push(...now.sort((a, b) => s.node(b).touch - s.node(a).touch));
    for (const id of now) s.obey(id);
  }
  t.deepEqual(
    order.map((id) => s.node(id).touch),
    [8, 7, 6, 5, 4, 3, 2, 1],
  );
  t.is(s.rollout.state, 'aborted');
  t.is(s.rollout.by, 'ben');
});

test('policy pause: stops, starts nothing, and counts anew after an operator resumes', (t) => {
  const s = new Script(fleetOf(6, 1), {
    onSpent: 'pause',
    limits: { whole: 2, site: 2, rack: 2 },
    budget: { wave: 0, whole: 0 },
  });
  s.start();
  const [a, b] = s.in('staging') as [string, string];
  s.send({
    type: 'refused',
    node: a,
    epoch: s.lastCommand(a).epoch,
    code: 'refuses-version',
    why: 'no',
    has: 11,
  });
  t.like(s.rollout, { state: 'paused', by: 'engine' });
  s.obey(b);
  t.is(s.node(b).state, 'staged', 'not activated while paused');
  t.is(s.in('pending').length, 4);
  s.send({ type: 'resume', by: 'ben' });
  t.is(s.rollout.state, 'running');
  t.is(s.node(b).state, 'activating');
  s.obey(b);
  s.send(s.report(b, { image: '1.0', bootId: 'x' }));
  t.is(s.rollout.state, 'paused', 'the next failure spends it again');
});

test('a window that closes in the middle: nothing new starts, what is under way ends', (t) => {
  const windows = [{ zone: 'UTC', from: '01:00', to: '02:00' }];
  const s = new Script(fleetOf(4, 1), { windows, limits: { whole: 2, site: 2, rack: 2 } });
  s.at = Date.parse('1970-01-01T00:30:00Z');
  s.start();
  t.is(s.commands.length, 0, 'not open yet');
  s.at = Date.parse('1970-01-01T01:59:50Z');
  s.send({ type: 'tick' });
  const [a, b] = s.in('staging') as [string, string];
  s.upgrade(a);
  s.at = Date.parse('1970-01-01T02:00:00Z');
  s.obey(b);
  t.is(s.node(b).state, 'staged');
  s.pass(70, [a, b]);
  t.is(s.node(a).state, 'done');
  t.is(s.in('pending').length, 2);
  s.at = Date.parse('1970-01-02T01:00:00Z');
  s.send({ type: 'tick' });
  t.is(s.node(b).state, 'activating');
  t.is(s.in('staging').length, 1);
});

test('a rollback does not wait for a window', (t) => {
  const windows = [{ zone: 'UTC', from: '01:00', to: '02:00' }];
  const s = new Script(fleetOf(2, 1), { windows, ...LOOSE });
  s.at = Date.parse('1970-01-01T01:59:00Z');
  s.start();
  const [a] = s.in('staging') as [string];
  s.upgrade(a);
  s.at = Date.parse('1970-01-01T03:00:00Z');
  s.send(s.report(a, { image: '1.0', bootId: 'x' }));
  t.is(s.in('rolling-back').length, 2);
});

test('offline at its turn: it moves to the tail, joins when it is back, and is given up after the wait', (t) => {
  const s = new Script(fleetOf(3, 1), { waves: [{ take: 2 }, {}], offline: { wait: '1h' }, ...LOOSE });
  const [away, gone] = [...s.state.nodes.values()].filter((n) => n.wave === 1).map((n) => n.node) as [
    string,
    string?,
  ];
  t.is(gone, undefined);
  s.send({ type: 'unreachable', node: away });
  s.start();
  s.upgrade(...s.in('staging'));
  s.pass(130, s.in('baking'));
  t.is(s.node(away).wave, 2);
  t.is(s.state.waves[1]!.size, 0);
  t.is(s.state.waves[2]!.size, 1);
  s.send({ type: 'resume', by: 'ben' });
  s.pass(600);
  t.is(s.rollout.state, 'running');
  s.pass(3600);
  t.is(s.rollout.state, 'partial');
  t.regex(s.rollout.why, /1 of 3/);
});

test('a tail node that comes back is updated', (t) => {
  const s = new Script([node('a'), node('b', { state: 'unreachable' })], LOOSE);
  s.start();
  s.upgrade('a');
  s.pass(130, ['a']);
  t.is(s.node('b').state, 'pending');
  s.send(s.report('b'));
  t.is(s.node('b').state, 'staging');
  s.upgrade('b');
  s.pass(130, ['a', 'b']);
  t.is(s.rollout.state, 'done');
});

test('a wave that proved nothing stops the rollout until somebody says otherwise', (t) => {
  const s = new Script(fleetOf(4, 1), { waves: [{ take: 1 }, {}], ...LOOSE });
  const canary = [...s.state.nodes.values()].find((n) => n.wave === 0)!.node;
  s.send({ type: 'unreachable', node: canary });
  s.start();
  t.like(s.rollout, { state: 'paused', by: 'engine' });
  t.regex(s.rollout.why, /proved/);
  s.send({ type: 'resume', by: 'ben' });
  t.is(s.in('staging').length, 3);
});

test('a done node that falls ill while its wave bakes is a failure', (t) => {
  const s = new Script(fleetOf(2, 1), {
    waves: [{ take: 1 }, {}],
    bake: { node: '1m', wave: '1h' },
    ...LOOSE,
  });
  s.start();
  const [a] = s.in('staging') as [string];
  s.upgrade(a);
  s.pass(60, [a]);
  t.is(s.node(a).state, 'done');
  s.pass(190);
  t.is(s.rollout.state, 'paused', 'it went silent, and nobody is there to compare it with');
  t.regex(s.rollout.why, /after it was done, and too few others/);
});

test('a done node that returns to the old image is a failure, even after its wave', (t) => {
  const s = new Script(fleetOf(2, 1), { waves: [{ take: 1 }, {}], ...LOOSE });
  s.start();
  const [a] = s.in('staging') as [string];
  s.upgrade(a);
  s.pass(130, [a]);
  t.is(s.state.waves[0]!.state, 'done');
  s.reboot(a, '1.0');
  s.send(s.report(a));
  t.is(s.rollout.state, 'rolling-back');
});

test('four eyes: the author does not count, nobody counts twice, strangers are refused', (t) => {
  const s = new Script(fleetOf(2, 1), { approvals: { count: 2, from: ['ben', 'cid', 'ann'] } });
  s.start();
  t.is(s.rollout.state, 'awaiting-approval');
  const approve = (by: string, person: readonly string[] = [by]) =>
    s.send({ type: 'approve', by, person }).refusals.map(({ what }) => what);
  t.is(approve('ann').length, 1);
  t.is(approve('eve').length, 1);
  t.is(approve('ben').length, 0);
  t.is(approve('ben').length, 0);
  t.is(s.rollout.state, 'awaiting-approval');
  t.is(s.commands.length, 0);
  t.regex(approve('cid', ['cid', 'ben'])[0] ?? '', /cid and ben could be one person/);
  approve('cid');
  t.is(s.rollout.state, 'running');
  t.true(s.commands.length > 0);
});

test('four eyes: the author is the same person under every spelling, behind every certificate, and with none', (t) => {
  for (const wave of [undefined, 0]) {
    const gates = [{ kind: 'manual' }];
    const s = new Script(fleetOf(2, 1), {
      approvals: { count: 1 },
      waves: [{ take: 1, gates }, {}],
      ...LOOSE,
    });
    const approve = (by: string, person?: readonly string[]) =>
      s
        .send({ type: 'approve', by, ...(person && { person }), ...(wave !== undefined && { wave }) })
        .refusals.map(({ what }) => what);
    s.start();
    if (wave !== undefined) {
      s.send({ type: 'approve', by: 'ben', person: ['ben'] });
      const [a] = s.in('staging') as [string];
      s.upgrade(a);
      s.pass(600, [a]);
    }
    // The author is `ann`, as a record of before certificates were kept has it.
    for (const by of ['ann', 'operator:ann', 'operator:ann@host', 'operator:root@host'])
      t.regex(approve(by)[0] ?? '', /known by no certificate/, by);
    t.regex(approve('operator:ann', ['ann'])[0] ?? '', /the author cannot approve/);
    t.regex(approve('operator:puppet', ['puppet', 'ann'])[0] ?? '', /ann could be both/);
    t.deepEqual(approve('operator:cid', ['cid']), []);
  }
});

test('a manual gate holds the next wave until it is approved', (t) => {
  const s = new Script(fleetOf(2, 1), { waves: [{ take: 1, gates: [{ kind: 'manual' }] }, {}], ...LOOSE });
  s.start();
  const [a] = s.in('staging') as [string];
  s.upgrade(a);
  s.pass(600, [a]);
  t.is(s.state.waves[0]!.state, 'gated');
  t.is(s.send({ type: 'approve', by: 'ben', wave: 1 }).refusals.length, 1);
  s.send({ type: 'approve', by: 'ben', wave: 0 });
  t.is(s.in('staging').length, 1);
});

test('an outside gate is asked again, its stale answers do not count, and its failure rolls back', (t) => {
  const gates = [{ kind: 'check', name: 'ok', tries: 2, every: '10s', timeout: '10s' }];
  const s = new Script(fleetOf(2, 1), { waves: [{ take: 1, gates }, {}], ...LOOSE });
  s.start();
  const [a] = s.in('staging') as [string];
  s.upgrade(a);
  const asked = s.pass(130, [a]).flatMap((step) => step.commands);
  t.like(asked.at(-1), { kind: 'gate', wave: 0, gate: 0, run: 1 });
  const again = s.pass(40, [a]).flatMap((step) => step.commands);
  t.like(again[0], { kind: 'gate', run: 1 }, 'no answer: the same question');
  s.send({ type: 'gate', wave: 0, gate: 0, run: 1, ok: false, why: 'HTTP 500' });
  const second = s.pass(10, [a]).flatMap((step) => step.commands);
  t.like(second[0], { kind: 'gate', run: 2 });
  s.send({ type: 'gate', wave: 0, gate: 0, run: 1, ok: true, why: '' });
  t.is(s.state.waves[0]!.state, 'gated', 'an answer to the first question');
  s.send({ type: 'gate', wave: 0, gate: 0, run: 2, ok: false, why: 'HTTP 500' });
  t.regex(s.rollout.spent ?? '', /gate ok .*HTTP 500/);
  s.obey(a);
  t.is(s.rollout.state, 'failed');
});

test('a node that is retired in the middle frees its place and is told nothing more', (t) => {
  const s = new Script(fleetOf(2, 1), { limits: { whole: 1, site: 1, rack: 1 } });
  s.start();
  const [a] = s.in('staging') as [string];
  s.send({ type: 'removed', node: a, why: 'retired' });
  t.is(s.node(a).state, 'skipped');
  const [b] = s.in('staging') as [string];
  t.not(a, b);
  s.upgrade(b);
  s.send(s.report(a), { type: 'refused', node: a, epoch: 11, code: 'cannot', why: '', has: 11 });
  s.pass(130, [a, b]);
  t.is(s.rollout.state, 'done', 'a retired node is not missing');
  t.is(s.commands.filter((command) => command.node === a).length, 1);
});

test('a late joiner is updated in the tail', (t) => {
  const s = new Script(fleetOf(1, 1), LOOSE);
  s.start();
  const place = {
    ...s.state.setup,
    ...{ node: 'new', name: 'new', site: 's0', rack: null, how: 'disk' as const },
  };
  s.send({
    type: 'joined',
    place: {
      ...place,
      from: '1.0',
      hops: ['2.0'],
      why: 'late',
      epoch: 0,
      bootId: 'b',
      reachable: true,
      ill: false,
    },
  });
  t.is(s.node('new').wave, 1);
  s.upgrade('n00000');
  s.pass(130, ['n00000']);
  t.is(s.node('new').state, 'staging');
});

test('nobody joins a rollout that is not under way, goes back, or only bakes its tail', (t) => {
  const joins = (s: Script, id = 'new') => {
    const place = { name: id, site: 's9', rack: null, how: 'disk' as const, from: '1.0', hops: ['2.0'] };
    const more = { why: 'late', epoch: 0, bootId: 'b', reachable: true, ill: false };
    s.send({ type: 'joined', place: { node: id, ...place, ...more } });
    return s.state.nodes.has(id);
  };
  const back = new Script(fleetOf(2, 1), LOOSE);
  t.false(joins(back), 'it was not started');
  back.start();
  back.send({ type: 'rollback', by: 'ann', why: '' });
  t.false(joins(back), 'it goes back');

  const s = new Script(fleetOf(1, 1), LOOSE);
  s.start();
  t.true(joins(s));
  s.upgrade('n00000');
  s.pass(130, ['n00000']);
  t.is(s.node('new').state, 'staging', 'a site that the plan did not know is no obstacle');
  s.send({ type: 'staged', node: 'new', epoch: s.node('new').epoch });
  s.send(s.report('new', { image: '2.0', bootId: 'c', epoch: s.node('new').epoch }));
  for (let i = 0; i < 7; i += 1) {
    s.pass(10, ['n00000']);
    s.send(s.report('new', { image: '2.0', bootId: 'c', epoch: s.node('new').epoch }));
  }
  t.is(s.node('new').state, 'done');
  t.is(s.state.waves[1]?.state, 'baking');
  t.false(joins(s, 'last'), 'nobody would start it any more');
  s.pass(70, ['n00000']);
  t.is(s.rollout.state, 'done', s.rollout.why);
});

test('after a failover nobody is told anything before it has been heard, and its higher epoch wins', (t) => {
  const s = new Script([node('a'), node('b')], LOOSE);
  s.start();
  const lost = structuredClone(s.node('a'));
  s.obey('a');
  const epoch = s.lastCommand('a').epoch;
  s.accept('a');
  // The store forgets the activation.
  s.state = loadRollout(
    s.state.setup,
    s.rollout,
    s.state.waves,
    [...s.state.nodes.values()].filter((n) => n.node !== 'a').concat(lost),
  );
  s.state.waves[0]!.counts.activating -= 1;
  s.state.waves[0]!.counts.staging += 1;
  s.send({ type: 'failover', term: 7 });
  const commands = s.commands.length;
  s.pass(170);
  t.is(s.commands.length, commands, 'silence');
  s.reboot('a', '2.0');
  s.send(s.report('a', { epoch }));
  t.is(s.node('a').state, 'baking', 'what it says is further than what we knew');
  t.true(s.node('a').epoch > epoch);
  s.send(s.report('b'));
  t.true(s.lastCommand('b').epoch > 1024, 'above what may be forgotten');
  t.true(s.lastCommand('b').epoch < 1_000_000, 'and within what the signer takes for one stroke');
});

test('an order that is too old for the node is made again above what it has', (t) => {
  const s = new Script([node('a')], {});
  s.start();
  s.send({ type: 'refused', node: 'a', epoch: 11, code: 'stale-epoch', why: 'has 40', has: 40 });
  t.like(s.lastCommand('a'), { kind: 'stage', epoch: 41 });
});

test('what is outstanding follows from the records alone', (t) => {
  const s = new Script(fleetOf(4, 1), LOOSE);
  const step = s.start();
  const copy = <T>(value: T): T => JSON.parse(JSON.stringify(value));
  const taken = loadRollout(
    s.state.setup,
    copy(s.rollout),
    copy(s.state.waves),
    [...s.state.nodes.values()].map(copy),
  );
  t.deepEqual(new Set(outstanding(taken)), new Set(step.commands));
  const resent = s.pass(40).flatMap((passed) => passed.commands);
  t.deepEqual(new Set(resent), new Set(step.commands), 'the same orders again, epoch and all');
});

test('a node that does not come back is left to recovery, and seen when it does', (t) => {
  const s = new Script(fleetOf(2, 1), {
    ...LOOSE,
    budget: { wave: 1, whole: 1 },
    limits: { whole: 1, site: 1, rack: 1, down: 'ignore' },
  });
  s.start();
  const [a] = s.in('staging') as [string];
  s.obey(a);
  s.accept(a);
  s.pass(15 * 60 + 20);
  t.is(s.node(a).state, 'rolling-back');
  s.pass(20 * 60 + 20);
  t.is(s.node(a).state, 'needs-recovery');
  t.is(s.in('staging').length, 1, 'its place is free');
  const commands = s.commands.filter((command) => command.node === a).length;
  s.pass(600, s.in('staging'));
  t.is(s.commands.filter((command) => command.node === a).length, commands, 'never again');
  s.obey(a);
  t.is(s.node(a).state, 'rolled-back');
});

test('tries are capped, and a node that refuses the version has had its try', (t) => {
  const s = new Script([node('a')], { attempts: 2, ...LOOSE });
  s.start();
  s.send({ type: 'refused', node: 'a', epoch: 11, code: 'cannot', why: 'disk full', has: 11 });
  t.like(s.lastCommand('a'), { kind: 'stage', epoch: 12 });
  s.send({ type: 'refused', node: 'a', epoch: 12, code: 'cannot', why: 'disk full', has: 12 });
  t.is(s.node('a').state, 'rolling-back');
  t.regex(s.node('a').why, /failed/);
});

test('abort: nothing new, staged files are taken back, what boots may end', (t) => {
  const s = new Script(fleetOf(4, 1), { limits: { whole: 2, site: 2, rack: 2 } });
  s.start();
  const [a, b] = s.in('staging') as [string, string];
  s.upgrade(a);
  s.send({ type: 'abort', by: 'ben', why: 'lunch' });
  t.is(s.node(b).state, 'rolling-back');
  s.obey(b);
  s.pass(70, [a]);
  t.is(s.node(a).state, 'done');
  t.like(s.rollout, { state: 'aborted', by: 'ben' });
  t.is(s.in('pending').length, 2);
  t.is(s.send({ type: 'resume', by: 'ben' }).refusals[0]?.code, 'ROLLOUT_CANNOT');
});

test('skip: a waiting node is left out; one under way is not', (t) => {
  const s = new Script(fleetOf(2, 1), { limits: { whole: 1, site: 1, rack: 1 } });
  s.start();
  const [a, b] = [s.in('staging')[0]!, s.in('pending')[0]!];
  t.is(s.send({ type: 'skip', by: 'ben', why: 'busy', node: a }).refusals.length, 1);
  s.send({ type: 'skip', by: 'ben', why: 'busy', node: b });
  s.upgrade(a);
  s.pass(130, [a]);
  t.is(s.rollout.state, 'partial', 'one node is not on the version');
});

test('a diskless node is not staged, only restarted', (t) => {
  const s = new Script([node('a', { mode: 'netboot' })], {});
  t.like(s.start().commands[0], { kind: 'activate', how: 'network', version: '2.0' });
});

test('a configuration needs no restart, but the word that it was applied under this order', (t) => {
  const s = new Script([node('a')], { image: undefined, config: 'c1', ...LOOSE });
  s.start();
  s.obey('a');
  s.send(s.report('a', { config: 'c1', epoch: 11 }));
  t.is(s.node('a').state, 'activating', 'said before the order was accepted');
  s.obey('a');
  t.is(s.node('a').state, 'baking');
  s.send({ type: 'rollback', by: 'ben', why: 'typo' });
  t.like(s.lastCommand('a'), { kind: 'rollback', of: 'config', version: null, drop: 'c1' });
});

test('in hops: each is baked, and the last one passed is what is kept and gone back to', (t) => {
  const s = new Script([node('a')], { barriers: 'pass', ...LOOSE }, WITH_BARRIER);
  s.start();
  t.like(s.lastCommand('a'), { kind: 'stage', version: '1.5', keep: '1.0' });
  s.upgrade('a');
  s.pass(60, ['a']);
  t.like(s.lastCommand('a'), { kind: 'stage', version: '2.0', keep: '1.5' });
  s.upgrade('a');
  s.send(s.report('a', { image: '1.5', bootId: 'fell-back' }));
  t.like(s.lastCommand('a'), { kind: 'rollback', version: '1.5', drop: '2.0' });
});

test('a staged node that restarts into the new version by itself is taken as booted', (t) => {
  const windows = [{ zone: 'UTC', from: '00:00', to: '00:01' }];
  const s = new Script([node('a')], { windows });
  s.start();
  s.at = 120_000;
  s.obey('a');
  t.is(s.node('a').state, 'staged');
  s.reboot('a', '2.0');
  s.send(s.report('a'));
  t.is(s.node('a').state, 'baking');
});

test('after a takeover the silence of before is not held against anybody', (t) => {
  const s = new Script([node('a')], { bake: { node: '1h', wave: '1m' }, ...LOOSE });
  s.start();
  s.upgrade('a');
  s.pass(170);
  s.send({ type: 'takeover' });
  s.pass(60);
  t.is(s.node('a').state, 'baking');
  s.pass(130);
  t.is(s.rollout.state, 'rolling-back');
});

test('where orchestrators come and go, a dead node is found out all the same, and a living one is not blamed', (t) => {
  const s = new Script(fleetOf(8, 2), { bake: { node: '1h', wave: '1m' }, ...LOOSE, onSpent: 'pause' });
  s.start();
  s.upgrade(...s.in('staging'));
  const [dead, ...living] = s.in('baking') as [string, ...string[]];
  const { silent } = s.state.setup.spec.timeouts;
  const step = silent / 1000 / 2 + 20;
  // Each listens for less than `silent`, and hears everybody who lives once, late.
  for (let i = 0; i < 40 && s.rollout.spent === null; i += 1) {
    s.send({ type: 'takeover' });
    s.pass(step - 20);
    s.send(...living.map((id) => s.report(id)));
    s.pass(20);
  }
  t.regex(s.node(dead).why, /went silent on 2.0/);
  t.is(s.rollout.failures, 1, 'of all, it alone');
});

test('where nobody listens long enough to ask, silence proves nothing', (t) => {
  const s = new Script([node('a')], { bake: { node: '1h', wave: '1m' }, ...LOOSE });
  s.start();
  s.upgrade('a');
  for (let i = 0; i < 60; i += 1) {
    s.send({ type: 'takeover' });
    s.pass(60);
  }
  t.is(s.node('a').state, 'baking');
});

test('taking back: the newest of those that live goes first, also where a dead one has just freed a place', (t) => {
  const s = new Script(fleetOf(4, 4), {
    ...LOOSE,
    limits: { whole: 2, site: 100, rack: 100 },
    bake: { node: '1m', wave: '1h' },
  });
  s.start();
  const first = s.in('staging');
  s.upgrade(...first);
  s.pass(70, first);
  const [dead, alive] = s.in('staging') as [string, string];
  s.upgrade(dead, alive);
  // All places are taken, by one that lives and one that does not.
  s.pass(30, [...first, alive]);
  s.send({ type: 'unreachable', node: dead });
  const { notes } = s.send({ type: 'rollback', by: 'ann', why: 'enough' });
  const back = notes.filter(({ to }) => to === 'rolling-back' && to !== undefined).map(({ id }) => id);
  const touches = back.filter((id) => id !== 'r1').map((id) => s.node(id).touch);
  t.deepEqual(
    touches,
    touches.toSorted((a, b) => b - a),
  );
  t.is(touches.length, 2);
});

test('taking back: a dead node is sent no order that leads forward, and goes back when it is heard', (t) => {
  const s = new Script([node('a', { mode: 'netboot' }), node('b')], LOOSE);
  s.start();
  s.obey('b');
  t.deepEqual([s.node('a').state, s.node('b').state], ['activating', 'activating']);
  s.send({ type: 'unreachable', node: 'a' }, { type: 'unreachable', node: 'b' });
  s.send({ type: 'rollback', by: 'ann', why: 'enough' });
  t.is(s.rollout.inFlight.whole, 0);
  const before = s.commands.length;
  s.pass(120);
  t.is(s.commands.length, before);
  s.reboot('a', '1.0');
  s.pass(10, ['a']);
  t.like(s.lastCommand('a'), { kind: 'rollback', how: 'network', version: '1.0', drop: '2.0' });
  s.obey('a');
  t.is(s.node('a').state, 'taken-back');
});

test('advance leaves its input as it is', (t) => {
  const s = new Script(fleetOf(6, 2), LOOSE);
  const freeze = <T>(value: T): T => {
    if (value !== null && typeof value === 'object') for (const inner of Object.values(value)) freeze(inner);
    return Object.freeze(value);
  };
  s.start();
  s.upgrade(s.in('staging')[0]!);
  freeze(s.rollout);
  for (const wave of s.state.waves) freeze(wave);
  for (const step of s.state.nodes.values()) freeze(step);
  const before = JSON.stringify([s.rollout, s.state.waves, [...s.state.nodes]]);
  const events = [...s.state.nodes.keys()].map((id) =>
    s.report(id, { image: '1.0', bootId: 'x', failed: ['2.0'] }),
  );
  t.notThrows(() => advance(s.state, { at: 0, elapsed: 5_000, events: [...events, { type: 'tick' }] }));
  t.is(JSON.stringify([s.rollout, s.state.waves, [...s.state.nodes]]), before);
});

test('every change raises the revision by one; none leaves it', (t) => {
  const s = new Script([node('a')], {});
  t.false(
    advance(s.state, { at: 0, elapsed: 5_000, events: [{ type: 'tick' }] }).changed,
    'planned: time stands',
  );
  t.is(s.start().rollout.rev, 1);
  t.is(s.pass(10)[0]!.rollout.rev, 2);
  t.is(FACTS.graph.floor, null);
});

test("a higher epoch in the node's own report wins at any time", (t) => {
  const s = new Script([node('a')], {});
  s.start();
  s.send(s.report('a', { epoch: 90 }));
  t.like(s.lastCommand('a'), { kind: 'stage', epoch: 91 });
});

test('the budget of a wave holds where that of the whole does not', (t) => {
  const s = new Script(fleetOf(6, 1), { waves: [{ take: 2 }, {}], ...LOOSE, budget: { wave: 0, whole: 5 } });
  s.start();
  const [a] = s.in('staging') as [string];
  s.send({ type: 'refused', node: a, epoch: 11, code: 'refuses-version', why: 'no', has: 11 });
  t.is(s.rollout.state, 'rolling-back');
  const own = new Script(fleetOf(6, 1), {
    waves: [{ take: 2, budget: 1 }, {}],
    ...LOOSE,
    budget: { wave: 0, whole: 5 },
  });
  own.start();
  const [b] = own.in('staging') as [string];
  own.send({ type: 'refused', node: b, epoch: 11, code: 'refuses-version', why: 'no', has: 11 });
  t.is(own.rollout.state, 'running', 'this wave tolerates one');
});

test('after a failover a rollout does not end, or count as done, on what a forgetful store says', (t) => {
  for (const heard of [true, false]) {
    const s = new Script(fleetOf(2, 1), { ...LOOSE, bake: { node: '1m', wave: '3m' } });
    s.start();
    s.upgrade(...s.in('staging'));
    s.pass(60, s.in('baking'));
    s.pass(60, s.in('done'));
    s.send({ type: 'failover', term: 3 });
    const [a, b] = s.in('done') as [string, string];
    // The other's heartbeat before the failover was its last; its silence ends with the wave.
    s.pass(130, heard ? [a, b] : [a]);
    t.is(s.rollout.state, 'running');
    s.pass(60, heard ? [a, b] : [a]);
    t.is(s.rollout.state, heard ? 'done' : 'partial', s.rollout.why);
  }
});

test('after a failover a rollback waits until nodes could be heard', (t) => {
  const s = new Script(fleetOf(2, 1), LOOSE);
  s.start();
  s.upgrade(...s.in('staging'));
  s.send({ type: 'failover', term: 3 }, { type: 'rollback', by: 'ben', why: 'bad' });
  const ids = s.in('baking');
  s.pass(60, ids);
  t.is(s.in('rolling-back').length, 0);
  s.pass(130, ids);
  t.is(s.in('rolling-back').length, 2);
});

test('a rollback is over when the node runs the last good version under this order, not before', (t) => {
  const s = new Script([node('a')], LOOSE);
  s.start();
  s.upgrade('a');
  s.send({ type: 'rollback', by: 'ben', why: 'bad' });
  s.send(s.report('a', { image: '1.0', bootId: 'by-itself' }));
  t.is(s.node('a').state, 'rolling-back', 'it is there, but has not taken the order');
  s.accept('a');
  s.send(s.report('a'));
  t.is(s.node('a').state, 'rolling-back', 'it took the order, but is not there');
  s.obey('a');
  t.is(s.node('a').state, 'taken-back');
});

test('a way back whose order two failovers have lost is our own, and no change of another rollout', (t) => {
  const s = new Script([node('a')], { ...LOOSE, bake: { node: '1m', wave: '30m' } });
  s.start();
  s.upgrade('a');
  s.pass(60, ['a']);
  const lose = (): (() => void) => {
    const { setup, rollout, waves, nodes } = structuredClone(s.state);
    return () => {
      s.state = loadRollout(setup, rollout, waves, nodes.values());
    };
  };
  s.send({ type: 'failover', term: 63 });
  const forget = lose();
  s.send(s.report('a'));
  s.pass(200, ['a']);
  s.send(s.report('a', { image: '1.0', bootId: 'a-boot-9' }));
  t.is(s.lastCommand('a').kind, 'rollback');
  s.obey('a');
  t.is(s.node('a').state, 'rolled-back');
  // The second failover forgets it all, and a word from before comes late.
  forget();
  s.send({ type: 'failover', term: 64 }, s.report('a', { image: '2.0', bootId: 'a-boot-1', epoch: 12 }));
  t.is(s.node('a').state, 'done');
  s.send(s.report('a'));
  t.false(s.node('a').taken);
  t.is(s.node('a').state, 'failed');
});
