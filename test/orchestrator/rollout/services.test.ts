/** What is different about services for the engine and its plan. */
import test from 'ava';
import fc from 'fast-check';
import type { PlanNode } from '../../../orchestrator/rollout/node.ts';
import { makePlan, type PlanFacts, placeLateJoiner } from '../../../orchestrator/rollout/plan.ts';
import {
  projected,
  readWish,
  shownVersion,
  textOf,
  versionsIn,
  wishesIn,
} from '../../../orchestrator/rollout/services.ts';
import { checkSpec, type Refusal } from '../../../orchestrator/rollout/spec.ts';
import { FACTS, node, planOf, specOf } from './fleet.ts';
import { Script } from './script.ts';

const LOOSE = { limits: { whole: '100%', site: '100%', rack: 100 }, budget: { wave: '100%', whole: '100%' } };
const needs = (...dependsOn: string[]) => ({ dependsOn, architecture: 'x64', memory: 2 ** 20 });
const RELEASED: PlanFacts = {
  ...FACTS,
  needs: {
    'fleet/chrony:4.2': needs(),
    'fleet/chrony:4.3': needs(),
    'fleet/unbound:1.17': needs(),
    'web/shop:1': needs('fleet/unbound'),
    'web/shop:2': needs('fleet/unbound', 'web/cache'),
    'web/cache:1': needs('web/shop'),
  },
};
const bundle = (version: string) => ({ version, sha256: 'a'.repeat(64), size: 1 });
const OLD = { serving: { 'fleet/chrony': bundle('4.2') }, services: ['chrony'] };
const CHRONY = 'fleet/chrony';

/** On its way from chrony 4.2 to 4.3. */
function script(more: Partial<PlanNode> = {}, spec: Record<string, unknown> = {}): Script {
  const s = new Script(
    [node('a', { ...OLD, ...more })],
    { image: undefined, services: ['chrony:4.3'], ...LOOSE, ...spec },
    RELEASED,
  );
  s.start();
  return s;
}
const state = (s: Script) => ({ state: s.node('a').state, why: s.node('a').why });

const name = fc
  .tuple(fc.constantFrom('fleet', 'web'), fc.constantFrom('a', 'b-c', 'chrony'))
  .map((parts) => parts.join('/'));
const version = fc.option(fc.constantFrom('1', '4.3', '1.17~rc1'), { nil: null });

test('what a rollout moves is one text, whatever the order in which it was written', (t) => {
  const wishes = fc.uniqueArray(fc.record({ name, version }), { minLength: 1, selector: (one) => one.name });
  fc.assert(
    fc.property(wishes, (all) => {
      const text = textOf(all);
      t.is(textOf(all.toReversed()), text);
      t.is(textOf(wishesIn(text)), text);
      t.is(wishesIn(text).length, all.length);
      const running = Object.fromEntries(
        all.flatMap(({ name, version }) => (version === null ? [] : [[name, { version }]])),
      );
      t.is(
        projected(text, { ...running, 'else/where': { version: '9' } }),
        text,
        'what else runs is not in it',
      );
      t.is(versionsIn(text).length, Object.keys(running).length);
    }),
  );
  t.is(shownVersion('fleet/chrony:4.3,web/shop:none'), 'chrony:4.3, web/shop:none');
  t.is(shownVersion('1.0'), '1.0', 'that of an image is as it was');
  const many = textOf(Array.from({ length: 64 }, (_, i) => ({ name: `x/s${i}`, version: '1' })));
  t.regex(shownVersion(many), /, and 59 more$/);
});

test('words from outside never do more than not be read', (t) => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.string().map((text) => `chrony:${text}`),
      ),
      (text) => {
        const wish = readWish(text);
        if (wish !== null) t.deepEqual(readWish(textOf([wish])), wish);
      },
    ),
  );
  t.deepEqual(readWish('chrony:none'), { name: CHRONY, version: null });
  t.is(readWish('chrony'), null);
});

const refusals = (spec: object): Refusal[] => {
  const checked = checkSpec({ nodes: { all: true }, ...spec });
  return checked.ok ? [] : checked.refusals;
};

test('a spec names a service once, and nothing beside services', (t) => {
  t.deepEqual(refusals({ services: ['chrony:4.3', 'unbound:none'] }), []);
  t.like(refusals({ services: ['chrony:4.3'], image: '1' })[0], { field: 'services' });
  t.like(refusals({ services: ['chrony:4.3'], config: '1' })[0], { field: 'services' });
  t.like(refusals({ services: ['chrony'] })[0], { field: 'services[0]' });
  t.like(refusals({ services: ['chrony:4.3', 'fleet/chrony:4.2'] })[0], {
    field: 'services[1]',
    reason: 'names the service of services[0] again: it has one version',
  });
  t.like(refusals({ services: ['chrony:4.3'], staging: 'ahead' })[0], { field: 'staging' });
  t.is(refusals({ services: [] })[0]?.field, 'services');
});

function refused(fleet: readonly PlanNode[], services: string[], facts = RELEASED): Refusal[] {
  const result = makePlan(fleet, specOf({ image: undefined, services }), 0, facts);
  return result.ok ? [] : result.refusals;
}

test('what is not released, or not any more, is refused where it is named', (t) => {
  t.deepEqual(refused([node('a')], ['chrony:4.3', 'unbound:9']), [
    { field: 'services[1]', reason: "unbound:9 is not released ('bootwave service list')" },
  ]);
  const withdrawnServices = new Map([['fleet/chrony:4.3', 'is withdrawn']]);
  t.deepEqual(refused([node('a')], ['chrony:4.3'], { ...RELEASED, withdrawnServices }), [
    { field: 'services[0]', reason: 'chrony:4.3 is withdrawn' },
  ]);
});

test('what a service depends on is on the node, or comes with it; nothing ends that another one needs', (t) => {
  t.deepEqual(refused([node('a')], ['web/shop:1']), [
    {
      field: 'services[0]',
      reason: 'cannot go to node a: it depends on unbound, which is neither there nor in the rollout',
    },
  ]);
  t.deepEqual(refused([node('a')], ['web/shop:1', 'unbound:1.17']), []);
  const both = { serving: { 'fleet/unbound': bundle('1.17'), 'web/shop': bundle('1') } };
  t.deepEqual(refused([node('b'), node('a', both)], ['unbound:none']), [
    { field: 'services[0]', reason: 'cannot go to node a: web/shop depends on it' },
  ]);
  t.deepEqual(refused([node('a', both)], ['unbound:none', 'web/shop:none']), []);
  t.deepEqual(
    refused([node('a', both)], ['web/cache:1', 'web/shop:2']).map(({ field }) => field),
    ['services[0]', 'services[1]'],
    'in a circle',
  );
});

test('a node has at most as many services as an order can name', (t) => {
  const serving = Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`x/s${i}`, bundle('1')]));
  t.regex(refused([node('a', { serving })], ['chrony:4.3'])[0]?.reason ?? '', /would have 65 services/);
  t.deepEqual(refused([node('a', { serving: { ...serving, [CHRONY]: bundle('4.2') } })], ['chrony:4.3']), []);
});

test('a machine for which a service is not made, or too large, is left out; another one is not', (t) => {
  const facts = (more: object): PlanFacts => ({
    ...RELEASED,
    needs: { 'fleet/chrony:4.3': { ...needs(), ...more } },
  });
  const skipped = (more: object) =>
    planOf([node('a')], { image: undefined, services: ['chrony:4.3'] }, facts(more)).skipped[0];
  t.like(skipped({ architecture: 'arm64' }), {
    code: 'does-not-fit',
    why: 'chrony:4.3 is for arm64, and it is x64',
  });
  t.like(skipped({ memory: 2 ** 31 }), {
    code: 'does-not-fit',
    why: 'chrony:4.3 may take 2048 MiB of memory, and it has 1024',
  });
  t.is(skipped({ memory: 2 ** 30 }), undefined);
});

test('a node whose hardware falls short takes no new service, and keeps what it runs current', (t) => {
  const skipped = (more: Partial<PlanNode>, services: string[]) =>
    planOf(
      [node('a', { shortfall: 'it has 1 of 2 disks', ...more })],
      { image: undefined, services },
      RELEASED,
    ).skipped[0];
  t.like(skipped({}, ['chrony:4.3']), { code: 'does-not-fit', why: 'it has 1 of 2 disks' });
  t.is(skipped({ ...OLD, shortfall: null }, ['chrony:4.3']), undefined);
  t.is(skipped(OLD, ['chrony:4.3']), undefined, 'it runs an older one');
  t.is(skipped(OLD, ['chrony:none']), undefined, 'less work is always taken');
  t.like(skipped(OLD, ['chrony:4.3', 'unbound:1.17']), { code: 'does-not-fit' }, 'one of both is new');
});

test('a node that joins late is judged as those of the plan', (t) => {
  const plan = planOf([node('a')], { image: undefined, services: ['chrony:4.3'] }, RELEASED);
  t.like(placeLateJoiner(node('b', OLD), plan, RELEASED), {
    from: 'fleet/chrony:4.2',
    hops: ['fleet/chrony:4.3'],
  });
  const shop = planOf([node('a')], { image: undefined, services: ['web/shop:1', 'unbound:1.17'] }, RELEASED);
  t.like(placeLateJoiner(node('b'), shop, RELEASED), { hops: ['fleet/unbound:1.17,web/shop:1'] });
  const alone = { ...shop, target: { of: 'service' as const, version: 'web/shop:1' } };
  t.like(placeLateJoiner(node('b'), alone, RELEASED), { code: 'dependency' });
});

test('only those services count as disturbed that are moved', (t) => {
  const fleet = [
    node('a', { ...OLD, services: ['chrony', 'unbound'] }),
    node('b', { services: ['unbound'] }),
  ];
  const plan = planOf(fleet, { image: undefined, services: ['chrony:4.3'] }, RELEASED);
  t.deepEqual(
    plan.disruption.services.map((impact) => impact.name),
    ['chrony'],
  );
  t.deepEqual(
    plan.waves.flatMap(({ places }) => places.map((place) => place.services)),
    [['chrony'], undefined],
  );
});

test('a node is asked first; one whose image knows no services is left out, and has been ordered nothing', (t) => {
  const s = script();
  t.like(s.lastCommand('a'), { kind: 'stage', of: 'service', version: 'fleet/chrony:4.3' });
  s.send({ type: 'unfit', node: 'a', why: 'its image knows no services' });
  t.deepEqual(state(s), { state: 'skipped', why: 'its image knows no services' });
  t.is(s.rollout.inFlight.whole, 0);
  const told = script();
  const { event } = { event: told.report('a') };
  if (event.type === 'report') delete event.report.instances;
  told.send(event);
  t.deepEqual(state(told), { state: 'skipped', why: 'its image knows no services' });
});

test('it bakes once it is up and was found healthy, and a bake without health is none', (t) => {
  const s = script();
  s.obey('a');
  t.is(s.node('a').state, 'activating');
  s.obey('a');
  t.is(s.node('a').state, 'baking');
  t.is(s.node('a').sick, null);

  const slow = script();
  slow.obey('a');
  slow.accept('a');
  slow.turns('a', CHRONY, { version: '4.3', state: 'coming', health: 'unknown', why: 'fetched' });
  slow.send(slow.report('a'));
  t.deepEqual(state(slow), { state: 'activating', why: 'service chrony is not up yet: fetched' });
  slow.turns('a', CHRONY, { state: 'running', why: '' });
  slow.send(slow.report('a'));
  t.deepEqual(state(slow), { state: 'activating', why: 'service chrony is not checked yet' });
  slow.turns('a', CHRONY, { health: 'ill' });
  slow.send(slow.report('a'));
  t.is(slow.node('a').state, 'baking');
  t.not(slow.node('a').sick, null, 'no gate has to be named for that');
  slow.pass(200, ['a']);
  t.like(slow.node('a'), { state: 'rolling-back', failed: true });
  t.regex(slow.node('a').why, /./);
});

test('what does not come up in time is tried again, and then it has failed, with the reason', (t) => {
  const s = script({}, { timeouts: { activate: '1m' } });
  s.obey('a');
  s.accept('a');
  s.turns('a', CHRONY, { version: '4.3', state: 'coming', why: 'no server has it' });
  s.pass(80, ['a']);
  t.is(s.node('a').attempts, 2);
  s.accept('a');
  s.pass(80, ['a']);
  t.like(s.node('a'), { state: 'rolling-back', failed: true });
  t.true(s.commands.length > 2);
});

for (const why of ['exit code 1', 'for another machine [SERVICE_ARCHITECTURE]'])
  test(`one that the node gives up has failed at once: ${why}`, (t) => {
    const s = script();
    s.obey('a');
    s.accept('a');
    s.turns('a', CHRONY, { version: '4.3', state: 'failed', health: 'unknown', why });
    const { notes } = s.send(s.report('a'));
    t.true(notes.some((note) => note.to === 'failed' && note.why === `service chrony has failed: ${why}`));
    t.like(s.lastCommand('a'), { kind: 'rollback', version: 'fleet/chrony:4.2', drop: 'fleet/chrony:4.3' });
    // The former version comes up again, and only then it is back.
    s.accept('a');
    s.turns('a', CHRONY, { version: '4.2', state: 'coming', why: '' });
    s.send(s.report('a'));
    t.is(s.node('a').state, 'rolling-back');
    s.turns('a', CHRONY, { state: 'running', health: 'healthy' });
    s.send(s.report('a'));
    t.deepEqual(state(s), { state: 'rolled-back', why: 'back on chrony:4.2' });
  });

test('who cannot fetch what others have is not counted; a disk without room is its own', (t) => {
  const fleet = ['a', 'b', 'c', 'd'].map((id) => node(id, OLD));
  const s = new Script(
    // Another one, so that no last one has to stay.
    [...fleet, node('e', OLD)],
    {
      nodes: { names: ['a', 'b', 'c', 'd'] },
      image: undefined,
      services: ['chrony:4.3'],
      attempts: 1,
      timeouts: { activate: '1m' },
      ...LOOSE,
    },
    RELEASED,
  );
  s.start();
  for (const { id } of fleet) s.obey(id);
  for (const id of ['a', 'b']) s.obey(id);
  for (const id of ['c', 'd']) s.accept(id);
  const lost = { version: '4.3', health: 'unknown' } as const;
  s.turns('c', CHRONY, { ...lost, state: 'coming', why: 'no answer', blame: 'fetch' });
  s.turns('d', CHRONY, { ...lost, state: 'failed', why: 'no room', blame: 'hardware' });
  s.send(s.report('d'));
  t.like(s.node('d'), { failed: false, excused: { kind: 'hardware' } });
  s.pass(80, ['a', 'b', 'c']);
  t.like(s.node('c'), { failed: false, excused: { kind: 'hardware' } });
  t.is(s.rollout.failures, 0);
});

test('where nobody has it, the version may be to blame: to be told of it is not to have it', (t) => {
  const fleet = ['a', 'b', 'c', 'd'].map((id) => node(id));
  const s = new Script(
    fleet,
    { image: undefined, services: ['chrony:4.3'], attempts: 1, timeouts: { activate: '1m' }, ...LOOSE },
    RELEASED,
  );
  s.start();
  for (const { id } of fleet) {
    s.obey(id);
    s.accept(id);
    const blame = id === 'a' ? ({ blame: 'fetch' } as const) : {};
    s.turns(id, CHRONY, { version: '4.3', state: 'coming', why: 'no answer', ...blame });
  }
  s.pass(80, ['a', 'b', 'c', 'd']);
  t.true(s.node('a').failed);
});

test('one that is given up in the bake has failed at once, too', (t) => {
  const s = script();
  s.upgrade('a');
  s.turns('a', CHRONY, { state: 'failed', health: 'unknown', why: 'exit code 1' });
  s.send(s.report('a'));
  t.like(s.node('a'), { state: 'rolling-back', failed: true });
});

test('one that ends again and again in its bake has failed, though it runs whenever it is asked', (t) => {
  const s = script({}, { flaps: 1, bake: { node: '1m' } });
  s.obey('a');
  s.accept('a');
  s.turns('a', CHRONY, { version: '4.3', state: 'running', health: 'healthy', restarts: 4 });
  s.send(s.report('a'));
  t.like(s.node('a'), { state: 'baking', flaps: 0 });
  s.pass(40, ['a']);
  s.turns('a', CHRONY, { restarts: 5 });
  s.pass(40, ['a']);
  t.like(s.node('a'), { state: 'baking', flaps: 1 });
  s.turns('a', CHRONY, { restarts: 6 });
  s.send(s.report('a'));
  t.like(s.node('a'), { state: 'rolling-back', failed: true });
});

test('one that was ill before says nothing of the version', (t) => {
  const s = script();
  s.turns('a', CHRONY, { health: 'ill' });
  s.send(s.report('a'));
  s.obey('a');
  t.true(s.node('a').ill);
});

test('a service that is brought is not missed before; a gate asks for others beside it', (t) => {
  const gates = [{ kind: 'service', names: ['chrony', 'unbound'] }];
  const more = { serving: { 'fleet/unbound': bundle('1.17') }, services: ['unbound'] };
  const s = script(more, { gates });
  const services = { unbound: true };
  s.send(s.report('a', { services }));
  s.obey('a');
  t.false(s.node('a').ill);
  s.obey('a');
  s.send(s.report('a', { services: { unbound: true, chrony: true } }));
  t.is(s.node('a').sick, null);
  s.send(s.report('a', { services: { unbound: false, chrony: true } }));
  t.not(s.node('a').sick, null);
});

test('a diskless node that restarts is brought its services again, a few times', (t) => {
  const s = script({ mode: 'netboot' }, { flaps: 1 });
  s.upgrade('a');
  const { epoch } = s.lastCommand('a');
  const restarts = (boot: string) => s.send(s.report('a', { instances: {}, epoch: 0, bootId: boot }));
  restarts('second');
  t.is(s.node('a').state, 'activating');
  t.like(s.lastCommand('a'), { kind: 'activate', version: 'fleet/chrony:4.3', epoch: epoch + 1 });
  s.obey('a');
  t.is(s.node('a').state, 'baking');
  restarts('third');
  t.like(s.node('a'), { state: 'rolling-back', failed: true });
});

test('an installed node that loses its service in the bake has failed', (t) => {
  const s = script();
  s.upgrade('a');
  const { notes } = s.send(s.report('a', { instances: {}, epoch: 0, bootId: 'second' }));
  t.true(notes.some(({ why }) => why === 'runs chrony:none instead of chrony:4.3'));
  t.like(s.node('a'), { state: 'rolling-back', failed: true });
});

test('a diskless node that lost its services before its turn is given the new ones', (t) => {
  const s = script({ mode: 'netboot' }, { notBefore: '2030-01-01T00:00:00Z' });
  s.send(s.report('a', { instances: {}, epoch: 0, bootId: 'second' }));
  t.is(s.node('a').state, 'pending');
  s.at = Date.parse('2030-01-01T00:00:01Z');
  s.send({ type: 'tick' });
  s.upgrade('a');
  t.is(s.node('a').state, 'baking');
});

test('the end of a service: taken back, a node without a disk that restarts is not on it again', (t) => {
  const more = { ...OLD, mode: 'netboot' } as const;
  const fleet = ['a', 'b', 'c'].map((id) => node(id, more));
  const spec = { image: undefined, services: ['chrony:none'], nodes: { names: ['a', 'b'] }, ...LOOSE };
  const s = new Script(fleet, spec, RELEASED);
  s.start();
  s.obey('a');
  s.obey('b');
  s.obey('a');
  t.is(s.node('a').state, 'baking');
  s.obey('b');
  s.send({ type: 'rollback', by: 'ann', why: 'no' });
  t.like(s.lastCommand('a'), { kind: 'rollback', version: 'fleet/chrony:4.2' });
  s.obey('a');
  t.is(s.node('a').state, 'taken-back');
  s.send(s.report('a', { instances: {}, epoch: 0, bootId: 'second' }));
  t.is(s.node('a').state, 'taken-back');
  t.is(s.rollout.state, 'rolling-back', 'the other one is on its way');
});

test('after writes were lost, what a node says counts: it is not ordered the same twice', (t) => {
  const s = script();
  s.upgrade('a');
  const { epoch } = s.lastCommand('a');
  s.send({ type: 'failover', term: 1_000 });
  s.send(s.report('a'));
  t.true(s.node('a').epoch > epoch);
  t.is(s.node('a').state, 'baking');
});

test('what another rollout brought before its turn is taken over, or leaves it out', (t) => {
  const s = script({}, { notBefore: '2030-01-01T00:00:00Z' });
  s.turns('a', CHRONY, { version: '4.3' });
  s.send(s.report('a'));
  t.deepEqual(state(s), { state: 'baking', why: 'baking chrony:4.3' });
  const other = script({}, { notBefore: '2030-01-01T00:00:00Z' });
  other.turns('a', CHRONY, { version: '4.1' });
  other.send(other.report('a'));
  t.deepEqual(state(other), { state: 'skipped', why: 'runs chrony:4.1 now, which the plan did not know' });
});
