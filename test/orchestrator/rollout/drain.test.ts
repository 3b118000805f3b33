import test from 'ava';
import fc from 'fast-check';
import type { Retirement } from '../../../orchestrator/fleet/decisions/lives.ts';
import { parseDocument } from '../../../orchestrator/rollout/document.ts';
import {
  drainable,
  drainId,
  drainSpec,
  hasFailed,
  hindered,
  staying,
} from '../../../orchestrator/rollout/drain.ts';
import type { PlanNode } from '../../../orchestrator/rollout/node.ts';

const life = (service: string, successor: string): Retirement => ({
  ...{ service, successor, state: 'deprecated', on: 1, template: null, reason: '', epoch: 3 },
  ...{ by: 'operator:ann', at: 1 },
});
const node = (id: string, services: string[], state: PlanNode['state'] = 'healthy') => ({
  ...{ id, state, name: `node-${id}` },
  serving: Object.fromEntries(
    services.map((text) => {
      const [name = '', version = ''] = text.split(':');
      return [name, { version, sha256: 'a', size: 1 }];
    }),
  ),
});

test('of one retirement and one number there is one rollout', (t) => {
  const retires = fc.record({
    service: fc.constantFrom('a/x:1', 'a/x:2'),
    epoch: fc.integer({ min: 1, max: 9 }),
  });
  const one = fc.tuple(retires, fc.integer({ min: 1, max: 9 }));
  fc.assert(
    fc.property(one, one, (a, b) => {
      t.is(drainId(...a) === drainId(...b), JSON.stringify(a) === JSON.stringify(b));
      t.regex(drainId(...a), /^ro-[0-9a-f]{8}$/);
    }),
  );
});

test('those that are to run it and can be asked, without those that failed', (t) => {
  const nodes = [
    node('c', ['a/x:1', 'b/y:1']),
    node('a', ['a/x:1'], 'degraded'),
    node('d', ['a/x:2']),
    node('e', ['a/x:1'], 'unreachable'),
    node('f', []),
    { id: 'g', state: 'healthy' as const },
  ];
  t.deepEqual(drainable(nodes, life('a/x:1', 'a/x:2'), new Set(), {}), ['a', 'c']);
  t.deepEqual(drainable(nodes, life('a/x:1', 'a/x:2'), new Set(['a']), {}), ['c']);
  // Of another service: whoever has another version of that already is brought to none that nobody named.
  t.deepEqual(drainable(nodes, life('a/x:1', 'b/y:2'), new Set(), {}), ['a']);
  t.deepEqual(drainable(nodes, life('a/x:1', 'b/y:1'), new Set(), {}), ['a', 'c']);
  t.is(staying(nodes, life('a/x:1', 'b/y:2')), 1);
  t.is(staying(nodes, life('a/x:1', 'b/y:1')), 0);
  t.is(staying(nodes, life('a/x:1', 'a/x:2')), 0);
});

test('who cannot come because of other services stays, and keeps nobody else; machines that left the fleet are none of them', (t) => {
  const needs = { dependsOn: ['a/x'], architecture: 'x64', memory: 1 };
  const facts = {
    'c/z:1': needs,
    'b/y:2': { ...needs, dependsOn: ['d/w'] },
    'b/y:1': { ...needs, dependsOn: [] },
  };
  const nodes = [
    node('a', ['a/x:1', 'd/w:1']),
    node('b', ['a/x:1', 'c/z:1', 'd/w:1']),
    node('c', ['a/x:1']),
    node('d', ['a/x:1', 'd/w:1'], 'retired'),
  ];
  const [same, ends, lacks] = [life('a/x:1', 'a/x:2'), life('a/x:1', 'b/y:1'), life('a/x:1', 'b/y:2')];
  const ids = (one: Retirement) => drainable(nodes, one, new Set(), facts);
  t.deepEqual([ids(same), ids(ends), ids(lacks)], [['a', 'b', 'c'], ['a', 'c'], ['a']]);
  t.deepEqual(hindered(nodes, same, facts), { count: 0, why: '' });
  t.deepEqual(hindered(nodes, ends, facts), { count: 1, why: 'node-b: a/x: c/z depends on it' });
  t.like(hindered(nodes, lacks, facts), { count: 2 });
  // A node whose successor is there in another version is counted there alone.
  t.is(hindered([node('e', ['a/x:1', 'b/y:9', 'c/z:1'])], ends, facts).count, 0);
});

test('a failure of the version counts, one of anything else does not', (t) => {
  t.true(hasFailed({ failed: true, excused: null, state: 'rolled-back' }));
  t.true(hasFailed({ failed: false, excused: null, state: 'needs-recovery' }));
  t.false(hasFailed({ failed: true, excused: { kind: 'own-uplink' }, state: 'rolled-back' }));
  t.false(hasFailed({ failed: false, excused: null, state: 'skipped' }));
});

test('what it brings and to whom is as it was decided, whatever the template says', (t) => {
  const bad = { services: ['evil/x:1'], nodes: { all: true }, lateJoiners: 'tail', waves: [{ take: 2 }, {}] };
  for (const template of [null, JSON.stringify(bad)]) {
    const text = drainSpec(life('fleet/x:1', 'fleet/x:2'), ['n1', 'n2'], template);
    const parsed = parseDocument(text);
    if (!parsed.ok) return t.fail(JSON.stringify(parsed.refusals));
    const { spec } = parsed.parts[0];
    t.like(spec, {
      services: ['fleet/x:2'],
      nodes: { names: ['n1', 'n2'] },
      lateJoiners: 'ignore',
      name: 'end of x:1',
    });
    t.is(spec.waves.length, template === null ? 3 : 2);
    if (template === null) t.deepEqual(spec.gates, [{ kind: 'service', names: ['x'] }]);
  }
  const other = JSON.parse(drainSpec(life('fleet/x:1', 'web/a:2'), ['n1'], null)) as { services: string[] };
  t.deepEqual(other.services, ['fleet/x:none', 'web/a:2']);
});
