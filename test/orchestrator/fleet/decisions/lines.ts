/** Lines as the log has them: of a few nodes and records, with numbers that meet, and of everything else. */
import fc from 'fast-check';
import {
  type Entry,
  sealBan,
  sealConfirmed,
  sealDecided,
  sealDenial,
  sealMembership,
} from '../../../../orchestrator/fleet/decisions/entry.ts';
import { SEALED } from '../../../../orchestrator/fleet/decisions/kept.ts';
import { ROLLOUTS_BEGUN, rolloutKey } from '../../../../orchestrator/fleet/decisions/rollouts.ts';

const by = { actor: 'operator:ann', reason: 'test' };
const at = fc.nat(5);
const number = fc.integer({ min: 1, max: 4 });
const PLACE = { name: 'web1', site: 'default', akName: 'ak', rack: null, role: null, labels: {}, hold: null };
const pin = { ...{ by: 'operator:eve', at: 1, reason: 'x', until: null }, image: '1.0' };

const place = fc.oneof(
  fc.constant(null),
  fc
    .record({ mode: fc.constantFrom('netboot' as const, 'installed' as const), pinned: fc.boolean() })
    .map(({ mode, pinned }) => ({ ...PLACE, mode, ...(pinned ? { pin } : {}) })),
);
const rollout = fc
  .record({ state: fc.constantFrom('planned', 'open', 'ended'), opened: fc.boolean() })
  .map((one) =>
    JSON.stringify({ ...one, of: 'image', on: ['2.0'], from: ['1.0'], joins: ['0.9'], setup: 'x' }),
  );
const begun = fc.constantFrom('1.0', '2.0').map((version) => JSON.stringify({ versions: [version] }));

export const entries: fc.Arbitrary<Entry> = fc.oneof(
  fc
    .record({ number, at, node: fc.constantFrom('a', 'b'), place })
    .map((one): Entry => sealMembership({ kind: 'membership', ...by, ...one })),
  fc
    .record({ epoch: number, at, key: fc.constantFrom(rolloutKey('r'), rolloutKey('s')), body: rollout })
    .map((one): Entry => sealDecided({ kind: 'record', ...by, ...one })),
  fc
    .record({ at, body: begun })
    .map((one): Entry => sealDecided({ kind: 'record', ...by, key: ROLLOUTS_BEGUN, epoch: 1, ...one })),
  fc
    .record({ at, nodes: fc.constantFrom('a', 'b').map((node) => [node]) })
    .map((one): Entry => sealBan({ kind: 'ban', ...by, name: null, serials: [], keys: [], ...one })),
  fc
    .record({ at, request: fc.constantFrom('p', 'q') })
    .map((one) => sealDenial({ kind: 'denial', ...by, ...one })),
  at.map((when) => sealConfirmed({ kind: 'confirmed', ...by, at: when })),
);

export const lines = fc.oneof(
  { weight: 10, arbitrary: entries.map(({ text }) => text) },
  { weight: 1, arbitrary: fc.constantFrom(SEALED, '{"kind":"ban","at":1', '{"kind":"later","at":1}') },
);
