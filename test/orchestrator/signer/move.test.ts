import test from 'ava';
import fc from 'fast-check';
import { DecidedIncidents } from '../../../orchestrator/fleet/decisions/incidents.ts';
import { DecidedReservations } from '../../../orchestrator/fleet/decisions/reservations.ts';
import { DecidedRestraints } from '../../../orchestrator/fleet/decisions/restraints.ts';
import {
  DecidedRollouts,
  ROLLOUT_STAGES,
  ROLLOUTS_BEGUN,
  type RolloutDecision,
  rolloutKey,
} from '../../../orchestrator/fleet/decisions/rollouts.ts';
import type { Signed } from '../../../orchestrator/signer/ledger.ts';
import { checkMove, hadOf, INSTALL_LASTS } from '../../../orchestrator/signer/move.ts';
import { FACTS, NODE, NOW, orderOf } from './orders.ts';

const DAY = 24 * 3600_000;

type Known = {
  state: RolloutDecision['state'];
  on?: string[];
  from?: string[];
  joins?: string[];
  of?: 'config';
};

/** @param before versions that nodes ran before; null: decisions have not begun */
function rolloutsOf(known: readonly Known[], before: readonly string[] | null = []): DecidedRollouts {
  const rollouts = new DecidedRollouts();
  if (before !== null)
    rollouts.add({ key: ROLLOUTS_BEGUN, epoch: 1, at: 1, body: JSON.stringify({ versions: before }) });
  for (const [i, one] of known.entries()) {
    const opened = one.state === 'open' || one.state === 'ended';
    const body = JSON.stringify({ opened, of: 'image', on: [], from: [], joins: [], setup: '', ...one });
    rollouts.add({ key: rolloutKey(`ro-${i}`), epoch: ROLLOUT_STAGES[one.state], at: 1, body });
  }
  return rollouts;
}

type Case = {
  /** Null: it never had an order. */
  had?: Partial<NonNullable<Signed['moved']>> | null;
  rollouts?: DecidedRollouts;
  newest?: string;
  installs?: number;
  pin?: { image: string; until: number | null };
  wipe?: boolean;
  at?: number;
};
const last = (more: Partial<Signed> = {}): Signed => ({
  ...{ node: NODE, epoch: 1, digest: '', at: NOW, image: '1.0', floor: null, wipe: null },
  ...more,
});
function moved(version: string | null, { had = {}, rollouts, newest, installs, pin, wipe, at = NOW }: Case) {
  const image = version === null ? null : { version, ...FACTS };
  const before = had && last({ moved: { version: '1.0', since: NOW, fresh: false, ...had } });
  try {
    return checkMove(orderOf({ image, wipe: wipe === true, epoch: 2 }), {
      had: hadOf(before, null, 0),
      decided: {
        incidents: new DecidedIncidents(),
        reservations: new DecidedReservations(),
        rollouts: rollouts ?? rolloutsOf([]),
        places: new Map(),
        restraints: new DecidedRestraints(),
        installs: new Map(installs === undefined ? [] : [[NODE, installs]]),
        pins: new Map(pin === undefined ? [] : [[NODE, pin]]),
      },
      newest: newest ?? null,
      now: at,
    });
  } catch (error) {
    return (error as { code: string }).code;
  }
}
const NO = 'SIGNER_IMAGE_UNDECIDED';
const LATER = NOW + 100 * DAY;

test('it keeps what it has, and that is known also behind orders that name no image', (t) => {
  const had = { version: '1.0', since: NOW, fresh: true };
  t.deepEqual(moved('1.0', { had, at: LATER }), had);
  t.deepEqual(moved(null, { had, at: LATER }), had);
  t.is(moved('2.0', {}), NO);
});

test('a rollout that is open brings it to what is on the way, and back to where its nodes came from', (t) => {
  const on = { on: ['1.5', '2.0'], from: ['1.0'], joins: ['0.9'] };
  const rollouts = rolloutsOf([{ state: 'open', ...on }]);
  const to = (version: string) => ({ version, since: LATER, fresh: false });
  for (const version of on.on)
    t.deepEqual(moved(version, { had: { fresh: true }, rollouts, at: LATER }), to(version));
  t.deepEqual(moved('1.0', { had: { version: '2.0' }, rollouts, at: LATER }), to('1.0'));
  t.deepEqual(
    moved('0.9', { had: { version: '1.5' }, rollouts, at: LATER }),
    to('0.9'),
    'it has joined later',
  );
  t.is(moved('1.0', { had: { version: '3.0' }, rollouts }), NO, 'the rollout has not moved it');
  t.is(moved('0.9', { rollouts }), NO);
  t.is(moved('3.0', { rollouts }), NO);
  for (const state of ['planned', 'ended'] as const)
    for (const version of ['1.5', '2.0'])
      t.is(moved(version, { rollouts: rolloutsOf([{ state, ...on }]) }), NO, state);
  t.is(moved('2.0', { rollouts: rolloutsOf([{ state: 'open', of: 'config', on: ['2.0'] }]) }), NO);
});

test('new hardware gets the newest, or what was decided; after seven days nothing but a rollout moves it', (t) => {
  const fresh = (version: string, since = NOW) => ({ version, since, fresh: true });
  t.deepEqual(moved('9.0', { had: null, newest: '9.0' }), fresh('9.0'));
  t.is(moved('8.0', { had: null, newest: '9.0' }), NO);
  const ended = rolloutsOf([{ state: 'ended', on: ['2.0'], from: ['1.0'], joins: ['0.9'] }]);
  t.deepEqual(moved('2.0', { had: null, rollouts: ended, newest: '9.0' }), fresh('2.0'));
  t.is(moved('0.9', { had: null, rollouts: ended }), NO);
  const begun = { had: { fresh: true }, newest: '9.0' };
  const end = NOW + INSTALL_LASTS;
  t.deepEqual(moved('9.0', { ...begun, at: end - 1 }), fresh('9.0'), 'one that is mended meanwhile');
  t.is(moved('9.0', { ...begun, at: end }), NO);
  t.is(moved('9.0', { newest: '9.0' }), NO, 'a rollout has moved it');
});

test('a person who has it installed again, or gives up its disk, lets it begin anew', (t) => {
  const anew = { version: '9.0', since: LATER, fresh: true };
  const asked = (installs: number, had = {}) => moved('9.0', { had, newest: '9.0', at: LATER, installs });
  t.is(moved('9.0', { newest: '9.0', at: LATER }), NO);
  t.deepEqual(asked(LATER - DAY), anew);
  t.is(asked(LATER - INSTALL_LASTS), NO, 'too long ago');
  t.is(asked(LATER - DAY, { since: LATER - 1 }), NO, 'a rollout has moved it since');
  t.deepEqual(moved('9.0', { newest: '9.0', at: LATER, wipe: true }), anew);
});

test('new hardware is given the image that it is pinned to, and nothing else is moved by a pin', (t) => {
  const pin = { image: '1.0', until: null };
  t.like(moved('1.0', { had: null, newest: '9.0', pin }), { version: '1.0', fresh: true });
  t.is(moved('2.0', { had: null, newest: '9.0', pin }), NO);
  t.is(moved('3.0', { pin: { image: '3.0', until: null } }), NO, 'a member');
  t.is(moved('1.0', { had: null, newest: '9.0', pin: { ...pin, until: NOW } }), NO, 'it is over');
});

test('what was signed before decisions began says little: another server may have moved the node since', (t) => {
  const before = last({ at: 5, moved: { version: '1.0', since: 5, fresh: false } });
  t.true(hadOf(before, null, 6).isOld);
  t.false(hadOf(before, null, 5).isOld);
});

test('before decisions about rollouts begin all goes as it went; of what was signed then, what was decided counts', (t) => {
  const free = { version: '5.0', since: NOW, fresh: false };
  t.deepEqual(moved('5.0', { rollouts: rolloutsOf([], null) }), free);
  const begun = {
    incidents: new DecidedIncidents(),
    rollouts: rolloutsOf([], ['1.0', '2.0']),
    places: new Map(),
    restraints: new DecidedRestraints(),
    reservations: new DecidedReservations(),
    installs: new Map(),
    pins: new Map(),
  };
  const to = (version: string) => () =>
    checkMove(orderOf({ image: { version, ...FACTS } }), {
      ...{ had: hadOf(last(), null, 0), decided: begun, newest: '9.0', now: NOW },
    });
  t.deepEqual(to('1.0')(), { version: '1.0', since: NOW, fresh: false });
  t.like(to('2.0')(), { version: '2.0' }, 'another server may have brought it there');
  t.throws(to('9.0'), { code: NO });
});

test('of what was decided the end counts, in whatever order entries come and however often', (t) => {
  const states = ['planned', 'open', 'ended'] as const;
  const entry = (state: (typeof states)[number]) => ({
    key: rolloutKey('ro-1'),
    epoch: ROLLOUT_STAGES[state],
    at: 1,
    body: JSON.stringify({
      ...{ state, opened: state !== 'planned', of: 'image', on: ['2.0'], from: [], joins: [], setup: '' },
    }),
  });
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...states), { minLength: 1 }), (order) => {
      const rollouts = rolloutsOf([]);
      for (const state of order) rollouts.add(entry(state));
      const newest = states.findLast((state) => order.includes(state));
      t.is(rollouts.of('ro-1')?.state, newest);
      t.is(rollouts.moves('1.0', '2.0', { id: NODE }), newest === 'open');
    }),
  );
  const rollouts = rolloutsOf([{ state: 'open', on: ['2.0'] }]);
  for (const body of ['', '{', '{"state":"open"}', '[]'])
    rollouts.add({ key: rolloutKey('ro-0'), epoch: 9, at: 1, body });
  t.is(rollouts.of('ro-0')?.state, 'open', 'what cannot be read says nothing');
});
