/** Each ground for a secret, broken once by itself. */
import test from 'ava';
import { isMember, STATES } from '../../../orchestrator/fleet/transitions.ts';
import { judgeSecrets, type SecretGrounds } from '../../../orchestrator/secrets/judge.ts';
import type { Order } from '../../../protocol/order.ts';
import { manifestOf } from '../../image/agent/root/services/any-manifest.ts';

const ID = `tpm-${'1'.repeat(64)}`;
const service = { name: 'web/shop', version: '1.4', sha256: 'a'.repeat(64) };
const ordered = { ...service, size: 8192 };
const order = (change: Partial<Order> = {}) => ({
  order: { node: ID, epoch: 5, services: [{ ...ordered, name: 'fleet/x' }, ordered], ...change } as Order,
  digest: 'd'.repeat(64),
});
const sound: SecretGrounds = {
  service,
  record: { id: ID, name: 'web1', state: 'healthy' },
  banned: false,
  verdict: { attested: 'ok', reason: 'as published', secureBoot: true },
  order: order(),
  why: '',
  newest: { epoch: 5, digest: 'd'.repeat(64) },
  released: { sha256: service.sha256, manifest: manifestOf({ secrets: ['db-password', 'tls.key'] }) },
};
const verdict = sound.verdict;

test('a member that shows what it should is given what the signed manifest of its ordered version names', (t) => {
  t.deepEqual(judgeSecrets(sound), ['db-password', 'tls.key']);
  const newer = { ...sound, newest: { epoch: 4, digest: 'e'.repeat(64) } };
  t.deepEqual(judgeSecrets(newer), ['db-password', 'tls.key'], 'another server has signed it');
  t.notThrows(() => judgeSecrets({ ...sound, newest: { epoch: 5, digest: null } }));
  for (const state of STATES.filter(isMember))
    t.notThrows(() => judgeSecrets({ ...sound, record: { ...sound.record!, state } }), state);
});

const broken: [what: string, code: string, change: Partial<SecretGrounds>][] = [
  ['no record', 'SECRETS_NODE', { record: null }],
  ...STATES.filter((state) => !isMember(state)).map((state): (typeof broken)[number] => [
    `a machine that is ${state}`,
    'SECRETS_NODE',
    { record: { ...sound.record!, state } },
  ]),
  ['a machine that is banned', 'SECRETS_NODE', { banned: true }],
  ['a node without a TPM', 'SECRETS_TPM', { record: { ...sound.record!, id: `dev-${'1'.repeat(64)}` } }],
  ...(['differs', 'mismatch', 'unknown'] as const).map((attested): (typeof broken)[number] => [
    `a quote that is ${attested}`,
    'SECRETS_NOT_ATTESTED',
    { verdict: { ...verdict, attested } },
  ]),
  ['no Secure Boot', 'SECRETS_SECURE_BOOT', { verdict: { ...verdict, secureBoot: false } }],
  ['no order that holds', 'SECRETS_ORDER', { order: null, why: 'the order expired' }],
  ['the order of another node', 'SECRETS_ORDER', { order: order({ node: `tpm-${'2'.repeat(64)}` }) }],
  ['an older order', 'SECRETS_ORDER', { newest: { epoch: 6, digest: 'd'.repeat(64) } }],
  ['another order of that epoch', 'SECRETS_ORDER', { newest: { epoch: 5, digest: 'e'.repeat(64) } }],
  ['an order without it', 'SECRETS_ORDER', { order: order({ services: [] }) }],
  [
    'an order of another version',
    'SECRETS_ORDER',
    { order: order({ services: [{ ...ordered, version: '1.3' }] }) },
  ],
  [
    'an order of another bundle',
    'SECRETS_ORDER',
    { order: order({ services: [{ ...ordered, sha256: 'b'.repeat(64) }] }) },
  ],
  [
    'an order of another service',
    'SECRETS_ORDER',
    { order: order({ services: [{ ...ordered, name: 'web/other' }] }) },
  ],
  ['nothing released', 'SECRETS_RELEASE', { released: null }],
  [
    'another bundle released',
    'SECRETS_RELEASE',
    { released: { ...sound.released!, sha256: 'b'.repeat(64) } },
  ],
  [
    'a manifest that names none',
    'SECRETS_NONE',
    { released: { ...sound.released!, manifest: manifestOf() } },
  ],
];
for (const [what, code, change] of broken)
  test(`refused: ${what}`, (t) => {
    const error = t.throws(() => judgeSecrets({ ...sound, ...change }), { code });
    t.is((error as unknown as { unchanged: string }).unchanged, 'nothing was given');
  });
