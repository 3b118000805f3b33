import test from 'ava';
import {
  type DbNode,
  refuseActivation,
  refuseDistrust,
  refuseRetirement,
  withoutCertificate,
} from '../../../orchestrator/secure-boot/refuse-db.ts';

const [OLD, NEW] = ['a'.repeat(16), 'b'.repeat(16)];
const node = (name: string, change: Partial<DbNode> = {}): DbNode => ({
  ...{ name, secureBoot: true, holds: [OLD, NEW], retired: [], netboot: false, runs: '2.0', wanted: '2.0' },
  ...change,
});

test('a key signs only what every node with Secure Boot has shown to start', (t) => {
  t.is(refuseActivation(NEW, []), null);
  t.is(refuseActivation(NEW, [node('n1'), node('n2', { holds: [NEW] })]), null);
  t.is(refuseActivation(NEW, [node('n1', { secureBoot: false, holds: [OLD] })]), null, 'it refuses nothing');
  for (const holds of [[OLD], [], null]) {
    const error = refuseActivation(NEW, [node('n1'), node('n2', { holds })]);
    t.is(error?.code, 'SECURE_BOOT_DB_BEHIND');
    t.true(error!.what.startsWith(`1 nodes have not shown a db with ${NEW}: n2 (`), error!.what);
    t.false(error!.next!.includes('boots from the network'));
    t.deepEqual(withoutCertificate([node('n1'), node('n2', { holds })], NEW), [node('n2', { holds })]);
  }
});

test('a refusal names a few, and says what is to be done with nodes that boot from the network', (t) => {
  const many = Array.from({ length: 7 }, (_, i) => node(`n${i}`, { holds: [OLD], netboot: i === 0 }));
  const error = refuseActivation(NEW, many);
  t.true(error!.what.includes(`n0 (holds ${OLD}, boots from the network)`), error!.what);
  t.true(error!.what.endsWith(', and 2 more'), error!.what);
  t.regex(error!.next!, /no rollout brings lists: give it mode installed, or clear the Secure Boot keys/);
});

test('a certificate is not retired while a node or a rollout needs what it signed', (t) => {
  const signers = new Map([
    ['1.0', OLD],
    ['2.0', NEW],
  ]);
  const facts = { id: OLD, nodes: [node('n1')], signers, rollouts: [{ id: 'r1', version: '2.0' }] };
  t.is(refuseRetirement(facts), null);
  const runs = refuseRetirement({ ...facts, nodes: [node('n1'), node('n2', { runs: '1.0' })] });
  t.is(runs?.code, 'SECURE_BOOT_DB_IN_USE');
  t.true(runs!.what.endsWith('n2 (runs 1.0)'), runs!.what);
  const wanted = refuseRetirement({ ...facts, nodes: [node('n2', { wanted: '1.0' })] });
  t.true(wanted?.what.endsWith('n2 (shall run 1.0)'), wanted?.what);
  t.is(refuseRetirement({ ...facts, nodes: [node('n2', { runs: '1.0', secureBoot: false })] }), null);
  t.is(refuseRetirement({ ...facts, nodes: [node('n2', { wanted: null })] }), null);
  const rollout = refuseRetirement({ ...facts, rollouts: [{ id: 'r2', version: '1.0' }] });
  t.is(rollout?.code, 'SECURE_BOOT_DB_IN_USE');
  t.true(rollout!.what.includes('r2'), rollout!.what);
});

test('nobody who still shows a retired certificate is made a stranger', (t) => {
  const has = (change: Partial<DbNode>) => refuseDistrust([OLD], [node('n1', { holds: [NEW], ...change })]);
  t.is(has({}), null);
  t.is(has({ holds: null }), null, 'without a log it is judged by other things');
  t.is(has({ holds: [OLD], secureBoot: false }), null);
  t.is(has({ holds: [OLD, NEW] })?.code, 'SECURE_BOOT_DB_BEHIND', 'not heard since');
  const started = has({ retired: ['started what a retired key signed'] });
  t.true(started?.what.endsWith('n1 (started what a retired key signed)'), started?.what);
});
