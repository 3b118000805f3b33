import test from 'ava';
import fc from 'fast-check';
import { type Cause, describe } from '../../../orchestrator/causes/cause.ts';
import { type Change, guiltOf } from '../../../orchestrator/causes/guilt.ts';
import { illnessOf, type Patient } from '../../../orchestrator/causes/illness.ts';
import { blameOfNode, blameOfSigner, isOurs } from '../../../orchestrator/causes/refusal.ts';
import { type Happening, suspectsOf } from '../../../orchestrator/causes/suspects.ts';
import { ORDER_CODES } from '../../../protocol/order-envelope.ts';

const patient = (id: string, more: Partial<Patient> = {}): Patient => ({
  ...{ id, site: 'par', changed: false, ill: false, before: false },
  ...more,
});
const ill = patient('x', { changed: true, ill: true });

test('ill where nodes that did not change are well: the change', (t) => {
  t.is(illnessOf(ill, [ill, patient('a'), patient('b')]).kind, 'change');
  t.is(illnessOf(ill, [ill]).kind, 'change', 'nobody to compare with');
  const many = ['a', 'b', 'c'].map((id) => patient(id, { changed: true, ill: true }));
  t.is(illnessOf(ill, [ill, ...many, patient('d')]).kind, 'change');
});

test('ill where those that did not change are ill as well: the surroundings, of the site first', (t) => {
  const all = [ill, patient('a', { ill: true }), patient('b')];
  t.deepEqual(illnessOf(ill, all), { kind: 'surroundings', site: 'par' });
  const elsewhere = patient('c', { site: 'ams', ill: true });
  t.deepEqual(illnessOf(ill, [ill, elsewhere]), { kind: 'surroundings', site: null });
  t.is(illnessOf(ill, [ill, elsewhere, patient('d')]).kind, 'change', 'its own site is well');
  t.is(illnessOf(ill, [ill, patient('a', { ill: true, before: true })]).kind, 'change', 'ill all along');
  t.is(illnessOf({ ...ill, before: true }, [ill]).kind, 'ill-before');
});

test('every word of refusal is blamed on somebody, and no epoch on the version', (t) => {
  t.is(blameOfNode('ORDER_FROM_FUTURE'), 'clock');
  t.is(blameOfSigner('SIGNER_TIME'), 'clock');
  t.is(blameOfSigner('SIGNER_IMAGE_WITHDRAWN'), 'rules');
  t.is(blameOfSigner('SIGNER_EPOCH_JUMP'), 'number');
  t.is(blameOfNode('STAGE_UNREACHABLE'), 'fetch');
  t.is(blameOfNode('STAGE_NO_SPACE'), 'hardware');
  t.is(blameOfNode('INSTALL_DISK_ODD'), 'hardware');
  t.is(blameOfNode('STAGE_DIGEST'), 'change');
  for (const code of ORDER_CODES) t.not(blameOfNode(code), 'change', code);
});

test('whatever a node says, it never speaks for the signer', (t) => {
  const codes = fc.oneof(fc.string(), fc.constantFrom('SIGNER_FLOOR', 'SIGNER_EPOCH_JUMP', ...ORDER_CODES));
  fc.assert(fc.property(codes, (code) => !['rules', 'number'].includes(blameOfNode(code))));
  t.pass();
});

test('one node that refuses does so for its own reason; two and more than half for ours', (t) => {
  t.false(isOurs(1, 0));
  t.true(isOurs(2, 0));
  t.false(isOurs(2, 5));
});

test('each cause has words', (t) => {
  const causes: Cause[] = [
    { kind: 'own-uplink' },
    { kind: 'site', site: 's' },
    { kind: 'rack', site: 's', rack: 'r' },
    { kind: 'surroundings', site: 's' },
    { kind: 'surroundings', site: null },
    { kind: 'boot-server', site: 's' },
    { kind: 'own-clock' },
    { kind: 'node-clock' },
    { kind: 'rules' },
    { kind: 'orders' },
    { kind: 'disobeys' },
    { kind: 'hardware' },
    { kind: 'ill-before' },
    { kind: 'gone-alone' },
    { kind: 'change' },
  ];
  t.is(new Set(causes.map(describe)).size, causes.length);
});

const nodes = Array.from({ length: 100 }, (_, i) => `n${i}`);
const change = (id: string, from: number, to: number, at = 1_000): Change => ({
  id,
  at: new Map(nodes.slice(from, to).map((node) => [node, at])),
});

test('the change is named whose nodes are in trouble, not one that is where trouble is not', (t) => {
  const changes = [change('a', 0, 30), change('b', 20, 60), change('c', 60, 100)];
  const troubles = nodes.slice(20, 60).map((node) => ({ node, at: 2_000 }));
  t.is(guiltOf(nodes, changes, troubles)[0]?.change, 'b');
  t.deepEqual(guiltOf(nodes, changes, []), []);
  const before = troubles.map(({ node }) => ({ node, at: 500 }));
  t.deepEqual(guiltOf(nodes, changes, before), [], 'what was there before is nobody’s doing');
});

test('trouble that is spread evenly is no change’s', (t) => {
  const spread = nodes.filter((_, i) => i % 5 === 0).map((node) => ({ node, at: 2_000 }));
  t.deepEqual(guiltOf(nodes, [change('a', 0, 50), change('b', 50, 100)], spread), []);
});

test('from the history: the rollout is named whose nodes fell ill after they got it; what is well again counts for nothing', (t) => {
  const got = (change: string, from: number, to: number, at: number): Happening[] =>
    nodes.slice(from, to).map((node) => ({ at, node, to: 'activating', change }));
  const fell = (from: number, to: number, at: number, state = 'degraded'): Happening[] =>
    nodes.slice(from, to).map((node) => ({ at, node, to: state, change: null }));
  const history = [
    ...fell(0, 5, 10),
    ...got('old', 0, 50, 100),
    ...got('bad', 40, 60, 200),
    ...got('good', 60, 100, 200),
    ...fell(40, 58, 300),
    ...fell(70, 80, 300, 'unreachable'),
    ...fell(70, 80, 400, 'healthy'),
    { at: 400, node: 'n59', to: 'failed', change: 'bad' },
  ];
  const { suspects, troubled } = suspectsOf(nodes, history);
  t.is(troubled, 24);
  t.like(suspects[0], { change: 'bad', nodes: 20, troubled: 19 });
  t.false(suspects.some(({ change }) => change === 'good'));
  t.deepEqual(suspectsOf(nodes, got('bad', 0, 9, 1)), { suspects: [], troubled: 0 });
});
