import test from 'ava';
import fc from 'fast-check';
import type { Life } from '../../../orchestrator/fleet/decisions/lives.ts';
import { affectedBy, type House, type Member, warningsFor } from '../../../orchestrator/services/affected.ts';
import { type Manifest, manifestSchema } from '../../../protocol/service/manifest.ts';
import { parseInstanceVersion } from '../../../protocol/service/name.ts';

const one = (text: string) => parseInstanceVersion(text)!;
const node = (site: string, wanted: string[], runs: string[] | null = null): Member => ({
  ...{ site, wanted: wanted.map(one) },
  runs: runs?.map(one) ?? null,
});
const manifest = (change: Partial<Manifest>) =>
  manifestSchema.parse({ command: ['/x'], limits: { memory: 2 ** 24, cpu: 1, tasks: 1 }, ...change });
const released = (text: string, by: string, dependsOn: string[] = []) => {
  const { name: service, version } = one(text);
  const custom = { format: 1 as const, service, version, rootHash: 'a'.repeat(64), dataBytes: 4096 };
  return { ...one(text), by, custom: { ...custom, manifest: manifest({ dependsOn }) } };
};
const life = (service: string, change: Partial<Life>): [string, Life] => [
  service,
  {
    ...{ service, state: 'deprecated', successor: null, on: null, template: null, reason: '', epoch: 1 },
    ...{ by: 'operator:ann', at: 1, ...change },
  },
];

const HOUSE: House = {
  members: [
    node('par', ['chrony:4.3', 'web/shop:1'], ['chrony:4.3']),
    node('par', ['chrony:4.3']),
    node('ams', ['chrony:4.4', 'web/shop:1'], ['chrony:4.3']),
    node('lon', ['unbound:1']),
  ],
  released: [
    released('chrony:4.3', 'fleet'),
    released('chrony:4.4', 'fleet', ['fleet/chrony']),
    released('ntpsec:1', 'fleet'),
    released('web/shop:1', 'web', ['fleet/chrony']),
  ],
  lives: new Map([life('fleet/chrony:4.2', { successor: 'fleet/chrony:4.3', on: 500 })]),
  rollouts: [
    { id: 'ro-1', text: '{"services":["chrony:4.3"]}' },
    { id: 'ro-2', text: '{"services":["chrony:4.4","fleet/chrony:4.31"]}' },
    { id: 'ro-3', text: 'no JSON chrony:4.3' },
  ],
  templates: [{ name: 'weekly', text: '{"then":[{"services":["fleet/chrony:4.3"]}]}' }],
};

test('nodes by site, whoever depends on it, rollouts and templates that name it', (t) => {
  t.deepEqual(affectedBy(one('chrony:4.3'), HOUSE), {
    owner: 'fleet',
    nodes: { wanted: 2, runs: 2, unknown: 1 },
    sites: [
      { site: 'ams', wanted: 0, runs: 1, unknown: 0 },
      { site: 'par', wanted: 2, runs: 1, unknown: 1 },
    ],
    dependants: [{ service: 'web/shop:1', by: 'web', nodes: 1 }],
    rollouts: ['ro-1'],
    templates: ['weekly'],
    replaces: ['fleet/chrony:4.2'],
  });
  t.like(affectedBy(one('chrony:9'), HOUSE), { owner: null, sites: [], nodes: { wanted: 0 } });
});

test('instances of slices count with their service', (t) => {
  const members = [node('par', ['chrony@probe:4.3', 'web/shop@probe:1']), node('par', ['web/shop@probe:1'])];
  const { nodes, dependants } = affectedBy(one('chrony:4.3'), { ...HOUSE, members });
  t.is(nodes.wanted, 1);
  t.like(dependants[0], { service: 'web/shop:1', nodes: 1 });
});

test('what is warned of before a version ends', (t) => {
  const warned = (successor: string | null, on: number | null, lives = HOUSE.lives) => {
    const house = { ...HOUSE, lives };
    return warningsFor(one('chrony:4.3'), { successor, on }, house, affectedBy(one('chrony:4.3'), house));
  };
  t.deepEqual(warned('fleet/chrony:4.4', 900), []);
  t.regex(warned(null, null).join(), /no successor/);
  t.regex(warned('fleet/chrony:4.4', 400).join(), /chrony:4\.2 are to be brought to it later/);
  const other = warned('fleet/ntpsec:1', 900).join('\n');
  t.regex(other, /no node runs ntpsec:1 yet/);
  t.regex(other, /web\/shop:1 of web depends on chrony, which ntpsec:1 is not/);
  t.regex(warned('fleet/chrony:9', 900).join(), /chrony:9 is not released/);
  const preview = new Map([life('fleet/chrony:4.4', { state: 'preview' })]);
  t.regex(warned('fleet/chrony:4.4', 900, preview).join(), /is in preview/);
});

test('any text of a rollout or a template is looked through', (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
      const house = { ...HOUSE, rollouts: [{ id: 'ro-9', text }], templates: [{ name: 'x', text }] };
      t.notThrows(() => affectedBy(one('chrony:4.3'), house));
    }),
  );
});
