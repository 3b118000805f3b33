/** Which services an order may name, by what was signed and decided. */
import test from 'ava';
import fc from 'fast-check';
import { lifeKey, type Retires } from '../../../orchestrator/fleet/decisions/lives.ts';
import {
  DecidedRollouts,
  type RolloutDecision,
  rolloutKey,
} from '../../../orchestrator/fleet/decisions/rollouts.ts';
import type { BroughtService } from '../../../orchestrator/fleet/decisions/serving.ts';
import type { Served } from '../../../orchestrator/signer/served-sets.ts';
import { checkServices, isNothing, servedOf } from '../../../orchestrator/signer/services.ts';
import type { OrderedService } from '../../../protocol/order.ts';
import { NODE, NOW, orderOf } from './orders.ts';

const [NO, GONE] = ['SIGNER_SERVICE_UNDECIDED', 'SIGNER_SERVICE_UNRELEASED'];
const bytes = (text: string) => ({ sha256: Buffer.from(text.padEnd(32)).toString('hex'), size: text.length });

/** `a:1 b:2` */
const some = (text: string): OrderedService[] =>
  text
    .split(' ')
    .filter((one) => one !== '')
    .map((one) => {
      const [name = '', version = ''] = one.split(':');
      return { name: `fleet/${name}`, version, ...bytes(one) };
    });
const RELEASED = new Map(
  some('a:1 a:2 a:3 b:1 b:2 c:1').map(({ name, version, sha256, size }) => [
    `${name}:${version}`,
    { sha256, size },
  ]),
);

type Known = {
  on: string;
  from?: string[];
  state?: RolloutDecision['state'];
  only?: string;
  retires?: Retires;
  at?: number;
};
function rolloutsOf(...known: Known[]): DecidedRollouts {
  const rollouts = new DecidedRollouts();
  for (const [i, { on, from = [], state = 'open', only, retires, at = 1 }] of known.entries()) {
    const services: BroughtService[] = on.split(' ').map((one) => {
      const [name = '', version = ''] = one.split(':');
      const bundle = version === 'none' ? null : { version, ...bytes(one) };
      return { name: `fleet/${name}`, bundle };
    });
    const text = (one: string) =>
      one
        .split(' ')
        .map((part) => `fleet/${part}`)
        .join(',');
    const who = only === undefined ? {} : { who: { names: [only] } };
    const body = {
      state,
      opened: true,
      of: 'service',
      on: [text(on)],
      services,
      from: from.map(text),
      ...who,
      ...(retires && { retires }),
    };
    rollouts.add({
      ...{ key: rolloutKey(`ro-${i}`), epoch: 1, at },
      body: JSON.stringify({ ...body, joins: [], setup: '' }),
    });
  }
  return rollouts;
}
const PLACE = { site: 'default', name: 'node-1', rack: null, role: null };
function given(
  services: OrderedService[] | string,
  served: Served,
  rollouts: DecidedRollouts,
  released = RELEASED,
) {
  const places = new Map([[NODE, { place: PLACE as never }]]);
  try {
    const asked = typeof services === 'string' ? some(services) : services;
    return checkServices(
      { node: NODE, services: asked },
      { served, decided: { rollouts, places }, released, now: 1 },
    );
  } catch (error) {
    return (error as { code: string }).code;
  }
}
const has = (text: string): Served => ({ now: some(text), ways: [] });
const way = (id: number, names: string, had: string) => ({
  by: `ro-${id}`,
  names: names.split(' ').map((name) => `fleet/${name}`),
  had: some(had),
});

test('it keeps what it has; nothing is added, exchanged or taken away but by a rollout that is open', (t) => {
  t.deepEqual(given('a:1 b:1', has('a:1 b:1'), rolloutsOf()), has('a:1 b:1'));
  t.deepEqual(given('b:1 a:1', has('a:1 b:1'), rolloutsOf()), has('a:1 b:1'), 'in any order');
  for (const asked of ['a:2 b:1', 'a:1', '', 'a:1 b:1 c:1', 'a:1 c:1'])
    t.is(given(asked, has('a:1 b:1'), rolloutsOf()), NO, asked);
  const to = { on: 'a:2' };
  for (const state of ['waiting', 'ready', 'planned', 'ended'] as const)
    t.is(given('a:2', has('a:1'), rolloutsOf({ ...to, state })), NO, state);
  t.deepEqual(given('a:2 b:1', has('a:1 b:1'), rolloutsOf(to)), {
    ...has('a:2 b:1'),
    ways: [way(0, 'a', 'a:1')],
  });
  t.is(given('a:2', has('a:1 b:1'), rolloutsOf(to)), NO, 'the other one stays');
  t.is(given('a:3', has('a:1'), rolloutsOf(to)), NO);
  t.is(given('a:2', has('a:1'), rolloutsOf({ ...to, only: 'node-2' })), NO, 'it is for others');
  t.like(given('a:2', has('a:1'), rolloutsOf({ ...to, only: 'node-1' })), { now: some('a:2') });
});

test('the bytes are those that were decided, and those that are released here', (t) => {
  const open = rolloutsOf({ on: 'a:2' });
  const [two] = some('a:2');
  for (const wrong of [{ sha256: 'e'.repeat(64) }, { size: 9 }]) {
    t.is(given([{ ...two!, ...wrong }], has('a:1'), open), NO);
    t.is(given([{ ...two!, ...wrong }], has('a:2'), rolloutsOf()), NO, 'also of what it has');
  }
  const withdrawn = new Map(RELEASED);
  withdrawn.delete('fleet/a:2');
  t.is(given('a:2', has('a:1'), open, withdrawn), GONE);
  t.like(given('a:2', has('a:2'), rolloutsOf(), withdrawn), has('a:2'), 'it keeps it');
  const moved = { ...has('a:3'), ways: [way(0, 'a', 'a:2')] };
  t.deepEqual(given('a:2', moved, rolloutsOf({ on: 'a:3' }), withdrawn), has('a:2'), 'and goes back to it');
  t.is(given('a:2', has('a:1'), open, new Map([['fleet/a:2', bytes('other')]])), GONE);
});

test('a service ends by a rollout that ends it, and never without what takes its place', (t) => {
  const open = rolloutsOf({ on: 'a:none b:1' });
  t.deepEqual(given('b:1 c:1', has('a:1 c:1'), open), {
    ...has('b:1 c:1'),
    ways: [way(0, 'a b', 'a:1')],
  });
  for (const half of ['c:1', 'a:1 b:1 c:1']) t.is(given(half, has('a:1 c:1'), open), NO, half);
  const moved = { ...has('b:1'), ways: [way(0, 'a b', 'a:1')] };
  t.deepEqual(given('a:1', moved, open), has('a:1'), 'the way back is of all of them');
  for (const half of ['', 'a:1 b:1']) t.is(given(half, moved, open), NO, half);
});

test('the way back is what the node had, by the rollout that has moved it, while it is under way, and only once', (t) => {
  const open = rolloutsOf({ on: 'a:2', from: ['a:3', 'a:none'] });
  const moved = { ...has('a:2'), ways: [way(0, 'a', 'a:1')] };
  t.deepEqual(given('a:1', moved, open), has('a:1'));
  for (const other of ['a:3', '']) t.is(given(other, moved, open), NO, 'what the plan says of others');
  t.is(given('a:1', moved, rolloutsOf({ on: 'a:2', state: 'ended' })), NO);
  t.is(given('a:1', { ...moved, ways: [way(7, 'a', 'a:1')] }, open), NO, 'another one has moved it');
  t.is(given('a:2', has('a:1'), rolloutsOf({ on: 'a:1', from: ['a:2'] })), NO);
  t.deepEqual(given('', { ...has('a:2'), ways: [way(0, 'a', '')] }, open), has(''), 'it had none');
});

test('of two rollouts each has its own way back; what has ended is forgotten', (t) => {
  const open = rolloutsOf({ on: 'a:2' }, { on: 'b:2' });
  const first = given('a:2 b:1', has('a:1 b:1'), open) as Served;
  const both = given('a:2 b:2', first, open) as Served;
  t.deepEqual(both.ways, [way(0, 'a', 'a:1'), way(1, 'b', 'b:1')]);
  t.deepEqual(given('a:2 b:1', both, open), { ...has('a:2 b:1'), ways: [way(0, 'a', 'a:1')] });
  t.deepEqual(given('a:1 b:1', both, open), has('a:1 b:1'), 'both at once');
  const ended = rolloutsOf({ on: 'a:2', state: 'ended' }, { on: 'b:2' });
  t.deepEqual(given('a:2 b:2', both, ended), { ...has('a:2 b:2'), ways: [way(1, 'b', 'b:1')] });
});

test('of a node that another server has moved, the way back is what the rollout knows, of all its names', (t) => {
  const open = rolloutsOf({ on: 'a:2 b:2', from: ['a:1 b:none'] });
  const shown: Served = { ...has('a:2 b:2'), unsure: true };
  t.deepEqual(given('a:1', shown, open), has('a:1'));
  for (const other of ['a:1 b:2', 'a:2', 'a:3', '', 'b:2']) t.is(given(other, shown, open), NO, other);
  t.is(given('a:1', { ...shown, now: some('a:3 b:2') }, open), NO, 'that rollout has not moved it');
  t.is(given('a:1', shown, open, new Map()), NO, 'nobody knows its bytes');
  t.is(given('a:1', has('a:2 b:2'), open), NO, 'this server knows better');
  t.deepEqual(
    given('a:2 b:2', shown, rolloutsOf()),
    has('a:2 b:2'),
    'known again when no rollout is under way',
  );
});

test('what is known of a node: by this signer, or by the newer word of another', (t) => {
  const last = { node: NODE, epoch: 5, digest: 'd', at: NOW, image: null, floor: null, wipe: null };
  const shown = (epoch: number, text: string) => orderOf({ epoch, services: some(text) });
  const none = { now: [], ways: [] };
  t.deepEqual(servedOf(null, null), none);
  t.deepEqual(servedOf(last, null), none, 'a version before has ordered none');
  t.deepEqual(servedOf(null, shown(1, 'a:1')), { ...has('a:1'), unsure: true });
  const served = { ...has('a:2 b:1'), ways: [way(0, 'a', 'a:1')] };
  t.is(servedOf({ ...last, served }, shown(5, 'a:1')), served);
  t.is(servedOf({ ...last, served }, shown(6, 'b:1 a:2')), served, 'something else was changed');
  t.deepEqual(servedOf({ ...last, served }, shown(6, 'a:2 b:2')), {
    now: some('a:2 b:2'),
    ...{ ways: served.ways, unsure: true },
  });
  t.deepEqual(servedOf({ ...last, served }, shown(6, '')), { ...has(''), unsure: true });
  t.true(isNothing(none));
  for (const one of [has('a:1'), { ...none, ways: [way(0, 'a', 'a:1')] }, { ...none, unsure: true as const }])
    t.false(isNothing(one));
});

test('whatever is asked for, in whatever order: each service is as it was, as an open rollout brings it, or as it was before that', (t) => {
  const texts = ['', 'a:1', 'a:2', 'b:1', 'a:1 b:1', 'a:2 b:1', 'a:2 b:2', 'a:1 b:2', 'c:1', 'a:3 b:1 c:1'];
  const states = ['open', 'ended', 'planned'] as const;
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...texts), { minLength: 1, maxLength: 12 }),
      fc.constantFrom(...states),
      fc.constantFrom(...states),
      (asks, one, two) => {
        const rollouts = rolloutsOf({ on: 'a:2 b:none', state: one }, { on: 'b:2', state: two });
        const brought: { [name: string]: (string | undefined)[] } = {
          'fleet/a': one === 'open' ? ['2'] : [],
          'fleet/b': [...(one === 'open' ? [undefined] : []), ...(two === 'open' ? ['2'] : [])],
        };
        const before = has('a:1 b:1');
        let served = before;
        for (const asked of asks) {
          const next = given(asked, served, rollouts);
          if (typeof next === 'string') continue;
          served = next;
          for (const name of ['fleet/a', 'fleet/b', 'fleet/c']) {
            const version = (of: Served) => of.now.find((service) => service.name === name)?.version;
            t.true([version(before), ...(brought[name] ?? [])].includes(version(served)), asks.join(', '));
          }
        }
      },
    ),
  );
});

test('a rollout that nobody started takes nodes from the version whose end was decided, to its successor, from its day on', (t) => {
  const DAY = 100;
  const retires = { service: 'fleet/a:1', epoch: 1 };
  const drain = (change: Partial<Known> = {}, life: object = {}) => {
    const rollouts = rolloutsOf({ on: 'a:2', from: ['a:1'], retires, at: DAY, ...change });
    const body = JSON.stringify({
      ...{ service: 'fleet/a:1', state: 'deprecated', successor: 'fleet/a:2', on: DAY, template: null },
      ...{ reason: '', epoch: 1, by: 'operator:ann', at: 1, ...life },
    });
    rollouts.add({ key: lifeKey('fleet/a:1'), epoch: 1, at: 1, body });
    return rollouts;
  };
  t.like(given('a:2 b:1', has('a:1 b:1'), drain()), { now: some('a:2 b:1') });
  t.is(given('a:2', has('a:3'), drain()), NO, 'from another version');
  t.is(given('a:2', has(''), drain()), NO, 'where it never ran');
  t.is(given('a:3', has('a:1'), drain({ on: 'a:3' })), NO, 'another successor');
  t.is(given('a:2', has('a:1'), drain({ at: DAY - 1 })), NO, 'before its day');
  t.is(given('a:2', has('a:1'), drain({}, { epoch: 2 })), NO, 'another word has followed');
  t.is(given('a:2', has('a:1'), drain({}, { on: null })), NO, 'taken back');
  t.is(given('a:2 b:2', has('a:1 b:1'), drain({ on: 'a:2 b:2' })), NO, 'and anything else with it');
  t.is(given('a:2', has('a:1'), rolloutsOf({ on: 'a:2', retires, at: DAY })), NO, 'nobody decided it');
  const moved = { ...has('a:2'), ways: [way(0, 'a', 'a:1')] };
  t.deepEqual(given('a:1', moved, drain({}, { on: null })), has('a:1'), 'the way back stays open');

  const other = { successor: 'fleet/b:2' };
  t.like(given('b:2', has('a:1'), drain({ on: 'a:none b:2' }, other)), { now: some('b:2') });
  t.is(
    given('a:1 b:2', has('a:1'), drain({ on: 'b:2' }, other)),
    NO,
    'one service in the place of the other',
  );
});
