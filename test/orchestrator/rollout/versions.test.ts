import test from 'ava';
import fc from 'fast-check';
import { compareVersions } from '../../../formats/version.ts';
import { pathTo, type VersionFacts, type VersionGraph } from '../../../orchestrator/rollout/versions.ts';

const graph = (versions: VersionFacts[], floor: string | null = null): VersionGraph => ({
  versions,
  floor,
  compare: compareVersions,
});
const plain = (...versions: string[]) => versions.map((version) => ({ version }));

test('without facts in the way the path is one step', (t) => {
  t.deepEqual(pathTo(graph(plain('1', '2', '3')), '1', '3'), { ok: true, hops: ['3'] });
  t.deepEqual(pathTo(graph(plain('1', '2')), '2', '2'), { ok: true, hops: [] });
});

test('a barrier is passed through, every barrier', (t) => {
  const g = graph([
    ...plain('1', '4', '10'),
    { version: '2', barrier: true },
    { version: '5', barrier: true },
  ]);
  t.deepEqual(pathTo(g, '1', '10'), { ok: true, hops: ['2', '5', '10'] });
  t.deepEqual(pathTo(g, '2', '4'), { ok: true, hops: ['4'] });
  t.deepEqual(pathTo(g, '1', '2'), { ok: true, hops: ['2'] });
});

test('a minimum source is reached by the fewest steps', (t) => {
  const g = graph([...plain('1', '2', '3', '4'), { version: '5', minSource: '3' }]);
  t.deepEqual(pathTo(g, '1', '5'), { ok: true, hops: ['4', '5'] });
  t.deepEqual(pathTo(g, '3', '5'), { ok: true, hops: ['5'] });
  t.like(pathTo(graph([{ version: '5', minSource: '3' }]), '1', '5'), { ok: false, code: 'no-path' });
});

test('nothing goes to a dead end or through one, but a node may leave it', (t) => {
  const g = graph([
    ...plain('1', '3'),
    { version: '2', deadEnd: 'loses disks' },
    { version: '4', minSource: '2' },
  ]);
  t.like(pathTo(g, '1', '2'), { ok: false, code: 'dead-end' });
  t.deepEqual(pathTo(g, '1', '4'), { ok: true, hops: ['3', '4'] });
  t.deepEqual(pathTo(g, '2', '3'), { ok: true, hops: ['3'] });
  const blocked = graph([...plain('1', '3'), { version: '2', barrier: true, deadEnd: 'withdrawn' }]);
  t.like(pathTo(blocked, '1', '3'), { ok: false, code: 'no-path' });
});

test('never below the floor of the release or of the node', (t) => {
  const g = graph(plain('1', '2', '3'), '2');
  t.like(pathTo(g, '3', '1', { downgrade: true }), { ok: false, code: 'below-floor' });
  t.deepEqual(pathTo(g, '3', '2', { downgrade: true }), { ok: true, hops: ['2'] });
  t.like(pathTo(g, '3', '2', { downgrade: true, floor: '3' }), { ok: false, code: 'below-floor' });
});

test('going back is asked for, and never crosses a barrier', (t) => {
  const g = graph([...plain('1', '2', '4'), { version: '3', barrier: true }]);
  t.like(pathTo(g, '4', '3'), { ok: false, code: 'runs-newer' });
  t.deepEqual(pathTo(g, '4', '3', { downgrade: true }), { ok: true, hops: ['3'] });
  t.like(pathTo(g, '4', '2', { downgrade: true }), { ok: false, code: 'barrier-behind' });
  t.like(pathTo(g, '3', '2', { downgrade: true }), { ok: false, code: 'barrier-behind' });
});

test('unknown ends are refused', (t) => {
  t.like(pathTo(graph(plain('1')), '1', '9'), { ok: false, code: 'unknown-version' });
  t.like(pathTo(graph(plain('1')), null, '1'), { ok: false, code: 'unknown-source' });
});

test('versions are ordered as systemd orders them', (t) => {
  t.like(pathTo(graph(plain('1.9', '1.10')), '1.9', '1.10'), { ok: true });
  t.like(pathTo(graph(plain('1.0~rc1', '1.0')), '1.0', '1.0~rc1'), { ok: false, code: 'runs-newer' });
});

test('every path that is found keeps every rule', (t) => {
  const facts = fc.record({
    barrier: fc.boolean(),
    dead: fc.boolean(),
    min: fc.option(fc.integer({ min: 1, max: 8 })),
  });
  fc.assert(
    fc.property(
      fc.array(facts, { minLength: 2, maxLength: 8 }),
      fc.nat(7),
      fc.option(fc.integer({ min: 1, max: 8 })),
      (all, start, floor) => {
        const versions = all.map((fact, i) => ({
          version: String(i + 1),
          barrier: fact.barrier,
          ...(fact.dead ? { deadEnd: 'x' } : {}),
          ...(fact.min === null ? {} : { minSource: String(fact.min) }),
        }));
        const from = Math.min(start, all.length - 1) + 1;
        const path = pathTo(
          graph(versions, floor === null ? null : String(floor)),
          String(from),
          String(all.length),
        );
        if (!path.ok) return;
        let here = from;
        for (const hop of path.hops.map(Number)) {
          const fact = all[hop - 1]!;
          t.true(hop > here);
          t.false(fact.dead);
          t.true(floor === null || hop >= floor);
          t.true(fact.min === null || here >= fact.min);
          for (let between = here + 1; between < hop; between += 1) t.false(all[between - 1]!.barrier);
          here = hop;
        }
        t.is(here, all.length);
      },
    ),
  );
});
