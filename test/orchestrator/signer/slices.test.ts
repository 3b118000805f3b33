/** Instances of slices in orders: whatever a rollout says, only what was decided about the slice itself is signed. */
import test from 'ava';
import { DecidedRollouts, rolloutKey } from '../../../orchestrator/fleet/decisions/rollouts.ts';
import { SLICE_TIMES, type Slice, sliceKey } from '../../../orchestrator/fleet/decisions/slices.ts';
import type { Served } from '../../../orchestrator/signer/served-sets.ts';
import { checkServices } from '../../../orchestrator/signer/services.ts';
import type { OrderedService } from '../../../protocol/order.ts';
import { NODE } from './orders.ts';

const NO = 'SIGNER_SERVICE_UNDECIDED';
const BYTES = { sha256: 'a'.repeat(64), size: 4096 };
const of = (text: string): OrderedService => {
  const [name = '', version = ''] = text.split(':');
  return { name, version, ...BYTES };
};
const SHOP = 'web/shop@probe:1.4';
const [EXPIRES, LATE] = [1_000, 1_000 + SLICE_TIMES.grace];
const SLICE: Slice = {
  ...{ name: 'probe', state: 'live', where: {}, count: 1, perSite: null, teams: ['web'], expires: EXPIRES },
  ...{ share: { cpu: 1, memory: 1, disk: 0, ports: [] }, services: [SHOP, 'fleet/dns@probe:1'] },
  ...{ template: null, said: 1, nodes: [NODE], reason: '', epoch: 1, by: 'x', at: 1 },
};

/** Asked for these by rollouts that bring exactly them, each one. */
function asked(texts: readonly string[], slice: Partial<Slice> | null, now = 1, had: readonly string[] = []) {
  const rollouts = new DecidedRollouts();
  if (slice !== null) {
    const body = JSON.stringify({ ...SLICE, ...slice });
    rollouts.add({ key: sliceKey('probe'), epoch: 1, at: 1, body });
  }
  const names = [...new Set([...texts, ...had].map((text) => text.split(':')[0]!))];
  for (const [i, name] of names.entries()) {
    const text = texts.find((one) => one.startsWith(`${name}:`));
    const bundle = text === undefined ? null : { version: text.split(':')[1]!, ...BYTES };
    const body = {
      ...{ state: 'open', opened: true, of: 'service', on: [`${name}:${bundle?.version ?? 'none'}`] },
      ...{ services: [{ name, bundle }], from: [], joins: [], setup: '' },
    };
    rollouts.add({ key: rolloutKey(`ro-${i}`), epoch: 1, at: 1, body: JSON.stringify(body) });
  }
  const served: Served = { now: had.map(of), ways: [] };
  const released = new Map(
    ['web/shop:1.4', 'web/shop:1.5', 'fleet/dns:1', 'evil/x:1'].map((key) => [key, BYTES]),
  );
  try {
    const grounds = { served, decided: { rollouts, places: new Map() }, released, now };
    return checkServices({ node: NODE, services: texts.map(of) }, grounds).now.length;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

test('what its owner said, in that version, on its nodes, as long as it is there', (t) => {
  t.is(asked([SHOP, 'fleet/dns@probe:1'], {}), 2);
  t.is(asked([SHOP], {}, EXPIRES + 1), 1, 'in its grace');
  t.is(asked([SHOP], {}, LATE), NO, 'it has expired');
  t.is(asked([SHOP], { state: 'ended' }), NO);
  t.is(asked([SHOP], null), NO, 'nobody has made it');
  t.is(asked([SHOP], { nodes: [] }), NO, 'the node is not of it');
  t.is(asked(['web/shop@probe:1.5'], {}), NO, 'another version than was said');
  t.is(
    asked(['evil/x@probe:1'], { services: ['evil/x@probe:1'] }),
    NO,
    'of an owner whose services it may not run',
  );
  t.is(asked(['web/shop@other:1.4'], {}), NO, 'of another slice');
  t.is(asked([SHOP], { teams: [] }), NO);
});

test('the fleet runs its own beside it; what a slice has goes whatever became of the slice', (t) => {
  t.is(asked(['web/shop:1.4', SHOP], {}), 2);
  t.is(asked(['web/shop:1.4'], null), 1);
  for (const slice of [{}, { state: 'ended' as const }, { nodes: [] }, null])
    t.is(asked([], slice, LATE, [SHOP]), 0);
  t.is(asked([SHOP], { state: 'ended' }, 1, [SHOP]), 1, 'it keeps what it had until that is taken');
});
