import test from 'ava';
import fc from 'fast-check';
import { countVersions, knownVersions, type NodeRuns } from '../../../orchestrator/usage/versions.ts';

const chrony = (version: string) => ({ name: 'fleet/chrony', version });
const shop = (version: string) => ({ name: 'web/shop', version });

test('nodes that run a version, nodes that are to, and those that have not said', (t) => {
  const nodes: NodeRuns[] = [
    { wanted: [chrony('4.10'), shop('1')], runs: [chrony('4.10'), shop('1')] },
    // The former version goes on until the new one can start.
    { wanted: [chrony('4.10')], runs: [chrony('4.9')] },
    { wanted: [chrony('4.10')], runs: [] },
    { wanted: [chrony('4.10')], runs: null },
    { wanted: [], runs: [shop('1')] },
    { wanted: [], runs: null },
  ];
  t.deepEqual(countVersions(nodes), [
    { ...chrony('4.10'), wanted: 4, runs: 1, unknown: 1 },
    { ...chrony('4.9'), wanted: 0, runs: 1, unknown: 0 },
    { ...shop('1'), wanted: 1, runs: 2, unknown: 0 },
  ]);
  t.deepEqual(countVersions([]), []);
});

test('nobody is counted twice or lost, in whatever order nodes come', (t) => {
  const list = fc
    .uniqueArray(fc.constantFrom('a/x', 'b/y', 'c/z'), { maxLength: 3 })
    .chain((names) =>
      fc.tuple(...names.map((name) => fc.constantFrom('1', '2').map((version) => ({ name, version })))),
    );
  const node = fc.record({ wanted: list, runs: fc.option(list) });
  fc.assert(
    fc.property(fc.array(node, { maxLength: 12 }), (nodes) => {
      const counts = countVersions(nodes);
      const sum = (of: (node: NodeRuns) => number) => nodes.reduce((all, one) => all + of(one), 0);
      const all = (of: 'wanted' | 'runs' | 'unknown') => counts.reduce((n, one) => n + one[of], 0);
      t.is(
        all('wanted'),
        sum(({ wanted }) => wanted.length),
      );
      t.is(
        all('runs'),
        sum(({ runs }) => runs?.length ?? 0),
      );
      t.is(
        all('unknown'),
        sum(({ wanted, runs }) => (runs === null ? wanted.length : 0)),
      );
      t.deepEqual(countVersions(nodes.toReversed()), counts);
    }),
  );
});

test('versions of which nodes alone speak are one line: no node makes up numbers without end', (t) => {
  const lies = Array.from({ length: 1000 }, (_, i) => ({
    wanted: [chrony('4.3')],
    runs: [chrony(`9.${i}`)],
  }));
  const counts = countVersions([{ wanted: [], runs: [chrony('4.2')] }, ...lies]);
  t.deepEqual(knownVersions(counts, [chrony('4.2')]), [
    { ...chrony('4.3'), wanted: 1000, runs: 0, unknown: 0 },
    { ...chrony('4.2'), wanted: 0, runs: 1, unknown: 0 },
    { ...chrony('other'), wanted: 0, runs: 1000, unknown: 0 },
  ]);
});
