import test from 'ava';
import { type RevocationFacts, refuseRevocation } from '../../../orchestrator/secure-boot/refuse.ts';

const FACTS: RevocationFacts = {
  version: '1.0',
  usable: ['1.1', '1.0'],
  nodes: [{ name: 'web1', runs: '1.1', wanted: '1.1' }],
  rollouts: [],
};
const refused = (change: Partial<RevocationFacts>) => refuseRevocation({ ...FACTS, ...change });

test('an image that nobody runs and a newer one follows may be revoked, also when it was withdrawn', (t) => {
  t.is(refused({}), null);
  t.is(refused({ usable: ['1.1'] }), null);
  t.is(refused({ nodes: [] }), null);
});

test('the newest that nodes may be given is not, however many older there are', (t) => {
  for (const usable of [['1.0', '0.9'], ['1.0'], [], ['1.0~rc1']]) {
    t.is(refused({ usable })?.code, 'SECURE_BOOT_NEWEST', usable.join());
  }
});

test('one that a node runs or shall run is not; some are named, and how many there are', (t) => {
  const error = refused({
    nodes: [
      { name: 'web1', runs: '1.0', wanted: '1.1' },
      { name: 'web2', runs: '1.1', wanted: '1.0' },
    ],
  });
  t.is(error?.code, 'SECURE_BOOT_IN_USE');
  t.is(error?.what, '2 nodes run 1.0 or shall run it: web1 (runs it), web2 (shall run it)');
  t.regex(error?.next ?? '', /roll a newer image out/);
  const many = Array.from({ length: 40 }, (_, i) => ({ name: `n${i}`, runs: '1.0', wanted: null }));
  t.regex(refused({ nodes: many })?.what ?? '', /^40 nodes .*n4 \(runs it\), and 35 more$/);
});

test('one that a rollout is bringing to nodes is not', (t) => {
  const error = refused({ rollouts: ['r7'] });
  t.is(error?.code, 'SECURE_BOOT_IN_USE');
  t.regex(`${error?.what} ${error?.next}`, /rollout r7 .*rollout abort r7/);
});
