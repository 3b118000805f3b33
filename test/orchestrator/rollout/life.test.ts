import test from 'ava';
import type { Life } from '../../../orchestrator/fleet/decisions/lives.ts';
import { refuseLife, warnLife } from '../../../orchestrator/rollout/life.ts';

const NOW = 1_000;
const life = (service: string, change: Partial<Life>): [string, Life] => [
  service,
  {
    ...{ service, state: 'current', successor: null, on: null, template: null, reason: '', epoch: 1 },
    ...{ by: 'operator:ann', at: 1, ...change },
  },
];
const LIVES = new Map([
  life('fleet/chrony:1', { state: 'deprecated', successor: 'fleet/chrony:3', on: NOW }),
  life('fleet/chrony:2', { state: 'deprecated', successor: 'fleet/chrony:3', on: NOW + 1 }),
  life('fleet/chrony:4', { state: 'preview' }),
]);
const refused = (services: string[] | undefined, preview = false) =>
  refuseLife({ services, preview }, { lives: LIVES }, NOW).map(({ field, reason }) => `${field} ${reason}`);
const warned = (...services: string[]) => warnLife({ services }, { lives: LIVES }, [], NOW);

test('no plan brings an obsolete version; one that is deprecated is warned of', (t) => {
  t.regex(
    refused(['unbound:1', 'chrony:1'])[0] ?? '',
    /^services\[1\] chrony:1 is obsolete; its successor is chrony:3/,
  );
  t.deepEqual(refused(['chrony:2']), []);
  t.deepEqual(warned('unbound:1', 'chrony:2'), ['chrony:2 is deprecated; its successor is chrony:3']);
  t.deepEqual(warned('chrony:3'), []);
});

test('a preview is brought by a rollout that says so, and by no other', (t) => {
  t.regex(refused(['chrony:4']).join(), /services\[0\] chrony:4 is in preview: say "preview": true/);
  t.deepEqual(refused(['chrony:4'], true), []);
  t.regex(refused(['chrony:1'], true).join(), /obsolete/);
});

test('what ends, what nobody spoke of, and rollouts of anything else', (t) => {
  t.deepEqual(refused(['chrony:none', 'chrony:9']), []);
  t.deepEqual(refused(undefined), []);
  t.deepEqual(refuseLife({ services: ['chrony:1'], preview: false }, {}, NOW), []);
});

test('what depends on a version that ends is warned of where it goes', (t) => {
  const needs = { 'web/shop:1': { dependsOn: ['fleet/chrony'], architecture: 'x64', memory: 1 } };
  const node = (version: string) => ({ serving: { 'fleet/chrony': { version, sha256: 'a', size: 1 } } });
  const nodes = [node('2'), node('2'), node('3'), node('1'), {}];
  const said = (services: string[]) => warnLife({ services }, { lives: LIVES, needs }, nodes, NOW);
  t.deepEqual(said(['web/shop:1']), [
    'web/shop:1 depends on chrony:2, which is deprecated, on 2 nodes',
    'web/shop:1 depends on chrony:1, which is obsolete, on 1 nodes',
  ]);
  t.deepEqual(said(['web/shop:1', 'chrony:3']), [], 'it comes with it');
});
