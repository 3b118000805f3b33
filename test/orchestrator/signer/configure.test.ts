/** Which configuration an order may name, by what was signed and decided. */
import test from 'ava';
import {
  CONFIGS_BEGUN,
  DecidedRollouts,
  type RolloutDecision,
  rolloutKey,
} from '../../../orchestrator/fleet/decisions/rollouts.ts';
import { type Configured, checkConfig, configuredOf } from '../../../orchestrator/signer/configure.ts';
import type { Signed } from '../../../orchestrator/signer/ledger.ts';
import { NODE, NOW, orderOf } from './orders.ts';

const [X, Y, Z] = ['x', 'y', 'z'].map((letter) => letter.repeat(64)) as [string, string, string];
const CONFIGS = new Map([
  [X, '1'],
  [Y, '2'],
  [Z, '3'],
]);
const NO = 'SIGNER_CONFIG_UNDECIDED';

type Known = { state: RolloutDecision['state']; on: string[]; from?: string[]; of?: 'image' };
/** @param before digests; null: decisions have not begun */
function rolloutsOf(known: readonly Known[], before: readonly string[] | null = []): DecidedRollouts {
  const rollouts = new DecidedRollouts();
  if (before !== null)
    rollouts.add({ key: CONFIGS_BEGUN, epoch: 1, at: 1, body: JSON.stringify({ configs: before }) });
  for (const [i, one] of known.entries()) {
    const opened = one.state === 'open' || one.state === 'ended';
    const body = JSON.stringify({ opened, of: 'config', from: [], joins: [], setup: '', ...one });
    rollouts.add({ key: rolloutKey(`ro-${i}`), epoch: 1, at: 1, body });
  }
  return rollouts;
}
function given(config: string | null, configured: Configured | null, rollouts: DecidedRollouts) {
  try {
    return checkConfig(
      { node: NODE, config },
      { configured, decided: { rollouts, places: new Map() }, configs: CONFIGS },
    );
  } catch (error) {
    return (error as { code: string }).code;
  }
}

test('it keeps what it has; nothing else is given to it but by a rollout that is open', (t) => {
  const none = rolloutsOf([]);
  const has = { now: X, back: null, by: [] };
  t.is(given(X, has, none), has);
  t.deepEqual(given(null, { now: null }, none), { now: null });
  for (const config of [null, Y]) t.is(given(config, has, none), NO);
  for (const state of ['waiting', 'ready', 'planned', 'ended'] as const)
    t.is(given(Y, has, rolloutsOf([{ state, on: ['2'] }])), NO, state);
  t.is(given(Y, has, rolloutsOf([{ state: 'open', on: ['2'], of: 'image' }])), NO);
  t.deepEqual(given(Y, has, rolloutsOf([{ state: 'open', on: ['2'] }])), { now: Y, back: X, by: ['ro-0'] });
  t.is(
    given('q'.repeat(64), has, rolloutsOf([{ state: 'open', on: ['2'] }])),
    NO,
    'nobody knows its version',
  );
});

test('the way back is what the node had, by the rollout that has moved it, and only once', (t) => {
  const open = rolloutsOf([{ state: 'open', on: ['2'], from: ['3'] }]);
  const moved = { now: Y, back: X, by: ['ro-0'] };
  t.deepEqual(given(X, moved, open), { now: X, back: X, by: [] });
  for (const config of [null, Z]) t.is(given(config, moved, open), NO);
  t.is(given(X, { ...moved, by: ['ro-7'] }, open), NO, 'another one has moved it');
  t.is(given(X, moved, rolloutsOf([{ state: 'ended', on: ['2'] }])), NO);
  t.is(given(Y, { now: X, back: X, by: [] }, rolloutsOf([{ state: 'open', on: ['1'], from: ['2'] }])), NO);
  t.deepEqual(given(null, { now: Y, back: null, by: ['ro-0'] }, open), { now: null, back: null, by: [] });
});

test('of a node that another server has moved, the way back is what the rollout knows', (t) => {
  const open = rolloutsOf([{ state: 'open', on: ['2'], from: ['1'] }]);
  t.like(given(X, { now: Y }, open), { now: X });
  t.like(given(null, { now: Y }, open), { now: null });
  t.is(given(Z, { now: Y }, open), NO);
  t.is(given(X, { now: Z }, open), NO);
});

test('before decisions begin all goes as it went; of what was signed then, what nodes had counts', (t) => {
  t.deepEqual(given(Z, { now: X }, rolloutsOf([], null)), { now: Z, back: X, by: [] });
  t.deepEqual(given(Z, null, rolloutsOf([], null)), { now: Z });
  t.deepEqual(given(X, null, rolloutsOf([], [X])), { now: X });
  t.deepEqual(given(null, null, rolloutsOf([], [X])), { now: null });
  t.is(given(Y, null, rolloutsOf([], [X])), NO);
});

test('what is known of a node: by this signer, by the newer word of another, or by its own of before', (t) => {
  const last: Signed = {
    ...{ node: NODE, epoch: 5, digest: 'd', at: NOW, image: null, floor: null, wipe: null },
  };
  const shown = (epoch: number, digest = 'd') => ({ order: orderOf({ epoch, config: Y }), digest });
  t.deepEqual(configuredOf(null, null), { now: null });
  t.deepEqual(configuredOf(null, shown(1)), { now: Y });
  t.is(configuredOf(last, null), null);
  t.deepEqual(configuredOf(last, shown(5)), { now: Y });
  t.is(configuredOf(last, shown(5, 'e')), null);
  t.is(configuredOf(last, shown(4, 'e')), null);
  const configured = { now: X, back: null, by: ['ro-1'] };
  t.is(configuredOf({ ...last, configured }, shown(5)), configured);
  t.deepEqual(configuredOf({ ...last, configured }, shown(6)), { now: Y });
  const same = { ...configured, now: Y };
  t.is(
    configuredOf({ ...last, configured: same }, shown(6)),
    same,
    'the other one has changed something else',
  );
});
