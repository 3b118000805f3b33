import test from 'ava';
import fc from 'fast-check';
import {
  DecidedRollouts,
  ROLLOUT_EPOCHS,
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
    rollouts.add({ key: ROLLOUTS_BEGUN, epoch: 1, body: JSON.stringify({ versions: before }) });
  for (const [i, one] of known.entries()) {
    const body = JSON.stringify({ of: 'image', on: [], from: [], joins: [], setup: '', ...one });
    rollouts.add({ key: rolloutKey(`ro-${i}`), epoch: ROLLOUT_EPOCHS[one.state], body });
  }
  return rollouts;
}

type Case = {
  had?: Partial<Signed>;
  rollouts?: DecidedRollouts;
  newest?: string;
  installs?: number;
  wipe?: boolean;
  at?: number;
};
const last = (more: Partial<Signed>): Signed => ({
  ...{ node: NODE, epoch: 1, digest: '', at: NOW, image: '1.0', floor: null, wipe: null, had: '1.0' },
  ...more,
});
function moved(version: string | null, { had, rollouts, newest, installs, wipe, at = NOW }: Case) {
  const image = version === null ? null : { version, ...FACTS };
  try {
    return checkMove(orderOf({ image, wipe: wipe === true, epoch: 2 }), {
      had: hadOf(had === undefined ? null : last(had), null),
      decided: {
        rollouts: rollouts ?? rolloutsOf([]),
        installs: new Map(installs === undefined ? [] : [[NODE, installs]]),
      },
      newest: newest ?? null,
      now: at,
    });
  } catch (error) {
    return (error as { code: string }).code;
  }
}
const NO = 'SIGNER_IMAGE_UNDECIDED';

test('it keeps what it has; what it has is known also behind orders that name no image', (t) => {
  t.deepEqual(moved('1.0', { had: {} }), { had: '1.0' });
  t.deepEqual(moved(null, { had: {} }), { had: '1.0' });
  t.deepEqual(moved('1.0', { had: { image: null } }), { had: '1.0' });
  t.is(moved('2.0', { had: { image: null } }), NO);
});

test('a rollout that is open brings it to what is on the way, and back to where its nodes came from', (t) => {
  const on = { on: ['1.5', '2.0'], from: ['1.0'], joins: ['0.9'] };
  const open = rolloutsOf([{ state: 'open', ...on }]);
  for (const version of on.on) t.deepEqual(moved(version, { had: {}, rollouts: open }), { had: version });
  t.deepEqual(moved('1.0', { had: { had: '2.0' }, rollouts: open }), { had: '1.0' });
  t.deepEqual(moved('0.9', { had: { had: '1.5' }, rollouts: open }), { had: '0.9' }, 'who has joined later');
  t.is(moved('1.0', { had: { had: '3.0' }, rollouts: open }), NO, 'the rollout has not moved it');
  t.is(moved('0.9', { had: {}, rollouts: open }), NO);
  t.is(moved('3.0', { had: {}, rollouts: open }), NO);
  for (const state of ['planned', 'ended'] as const)
    for (const version of ['1.5', '2.0'])
      t.is(moved(version, { had: {}, rollouts: rolloutsOf([{ state, ...on }]) }), NO, state);
  t.is(moved('2.0', { had: {}, rollouts: rolloutsOf([{ state: 'open', of: 'config', on: ['2.0'] }]) }), NO);
});

test('new hardware gets the newest, or what was decided; after seven days nothing but a rollout moves it', (t) => {
  t.deepEqual(moved('9.0', { newest: '9.0' }), { had: '9.0', fresh: NOW });
  t.is(moved('8.0', { newest: '9.0' }), NO);
  const ended = rolloutsOf([{ state: 'ended', on: ['2.0'], from: ['1.0'], joins: ['0.9'] }]);
  t.deepEqual(moved('2.0', { rollouts: ended, newest: '9.0' }), { had: '2.0', fresh: NOW });
  t.is(moved('0.9', { rollouts: ended }), NO);
  const fresh = { had: { fresh: NOW }, newest: '9.0' };
  t.deepEqual(
    moved('9.0', { ...fresh, at: NOW + INSTALL_LASTS - 1 }),
    { had: '9.0', fresh: NOW },
    'an image that is mended while it is installed; the time does not begin again',
  );
  t.is(moved('9.0', { ...fresh, at: NOW + INSTALL_LASTS }), NO);
  t.deepEqual(moved('1.0', fresh), { had: '1.0', fresh: NOW });
});

test('a person who has it installed again, or gives up its disk, lets it begin anew', (t) => {
  const at = NOW + 100 * DAY;
  t.is(moved('9.0', { had: {}, newest: '9.0', at }), NO);
  t.deepEqual(moved('9.0', { had: {}, newest: '9.0', at, installs: at - DAY }), { had: '9.0', fresh: at });
  t.is(moved('9.0', { had: {}, newest: '9.0', at, installs: at - INSTALL_LASTS }), NO);
  t.deepEqual(moved('9.0', { had: {}, newest: '9.0', at, wipe: true }), { had: '9.0', fresh: at });
});

test('before decisions about rollouts begin all goes as it went; what was signed then is believed as far as it was decided', (t) => {
  t.deepEqual(moved('5.0', { had: {}, rollouts: rolloutsOf([], null) }), { had: '5.0' });
  const { had: _, ...older } = last({});
  const begun = rolloutsOf([], ['1.0', '2.0']);
  const grounds = { decided: { rollouts: begun, installs: new Map() }, newest: '9.0', now: NOW };
  const to = (version: string) => () =>
    checkMove(orderOf({ image: { version, ...FACTS } }), { had: hadOf(older, null), ...grounds });
  t.deepEqual(to('2.0')(), { had: '2.0' }, 'another server may have brought it there');
  t.throws(to('9.0'), { code: NO });
});

test('of what was decided the end counts, in whatever order entries come and however often', (t) => {
  const states = ['planned', 'open', 'ended'] as const;
  const entry = (state: (typeof states)[number]) => ({
    key: rolloutKey('ro-1'),
    epoch: ROLLOUT_EPOCHS[state],
    body: JSON.stringify({ state, of: 'image', on: ['2.0'], from: [], joins: [], setup: '' }),
  });
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...states), { minLength: 1 }), (order) => {
      const rollouts = rolloutsOf([]);
      for (const state of order) rollouts.add(entry(state));
      const newest = states.findLast((state) => order.includes(state));
      t.is(rollouts.of('ro-1')?.state, newest);
      t.is(rollouts.moves('1.0', '2.0'), newest === 'open');
    }),
  );
  const rollouts = rolloutsOf([{ state: 'open', on: ['2.0'] }]);
  for (const body of ['', '{', '{"state":"open"}', '[]'])
    rollouts.add({ key: rolloutKey('ro-0'), epoch: 9, body });
  t.is(rollouts.of('ro-0')?.state, 'open', 'what cannot be read says nothing');
});
