import test from 'ava';
import type { NodeRecord } from '../../../orchestrator/fleet/record.ts';
import { nextStep, wantsInstall } from '../../../orchestrator/install/step.ts';
import type { Status } from '../../../protocol/link/messages.ts';

type Facts = { state?: NodeRecord['state']; mode?: 'netboot' | 'installed'; installedAt?: number | null };
const record = ({ state = 'healthy', mode = 'installed', installedAt = null }: Facts = {}) =>
  ({ state, installedAt, wanted: { mode, image: null, wipe: false } }) as NodeRecord;

const status = (more: Partial<Status> = {}): Status => ({
  node: 'tpm-1',
  running: { version: '1', kernel: '6', bootId: 'b', pcr11: null },
  mode: 'netboot',
  state: 'idle',
  order: null,
  slots: [],
  staging: null,
  refused: [],
  health: { healthy: true, reason: '' },
  ...more,
});
const slot = (booted: boolean): Status['slots'][number] => ({
  version: '1',
  file: 'bootwave_1.efi',
  state: 'good',
  triesLeft: null,
  triesDone: null,
  booted,
  reason: '',
});

test('who is installed: members that want it, are up, and that no rollout holds', (t) => {
  t.true(wantsInstall(record(), false));
  t.true(wantsInstall(record({ state: 'degraded' }), false));
  t.false(wantsInstall(record(), true));
  t.false(wantsInstall(record({ mode: 'netboot' }), false));
  t.false(wantsInstall(record({ mode: 'netboot', state: 'installing' }), false));
  for (const state of [
    'pending',
    'rejected',
    'enrolled',
    'unreachable',
    'quarantined',
    'retired',
    'updating',
  ] as const)
    t.false(wantsInstall(record({ state }), false), state);
});

test('an installation that was begun is ended, also when the disk is on record already', (t) => {
  t.true(wantsInstall(record({ state: 'installing', installedAt: 1 }), false));
  t.false(wantsInstall(record({ installedAt: 1 }), false), 'never again by itself');
});

test('disk, then record, then restart, then done: the boot server knows before the node restarts', (t) => {
  t.is(nextStep(record(), status()).do, 'stage');
  t.is(nextStep(record(), status({ mode: 'installed', slots: [slot(false)] })).do, 'record');
  const known = record({ state: 'installing', installedAt: 1 });
  t.is(nextStep(known, status({ mode: 'installed', slots: [slot(false)] })).do, 'activate');
  t.is(nextStep(known, status({ mode: 'installed', slots: [slot(true)] })).do, 'finish');
});

test('a node that is at work is left to it', (t) => {
  for (const state of ['installing', 'staging', 'restarting'] as const)
    t.is(nextStep(record(), status({ state })).do, 'nothing', state);
});
