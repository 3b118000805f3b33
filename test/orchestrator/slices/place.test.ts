/** Which nodes slices get, keep and lose. */
import test from 'ava';
import fc from 'fast-check';
import { explain } from '../../../orchestrator/slices/explain.ts';
import { type Host, placeSlices, seatsOf, type Wish } from '../../../orchestrator/slices/place.ts';
import { host, hostsOf, wish } from './support.ts';

const MIB = 2 ** 20;

function placed(wishes: readonly Wish[], hosts: readonly Host[]) {
  const seats = seatsOf(hosts);
  const all = placeSlices(wishes, seats);
  const of = (name: string) => all.get(name)!;
  const why = (one: Wish) => explain(one, of(one.name), seats);
  return { of, why, seats };
}

test('as many as asked for, spread over sites, at most so many per site, and none that is named', (t) => {
  const hosts = hostsOf(40, 4);
  const sites = (nodes: readonly string[]) => {
    const at = (id: string) => hosts.find((one) => one.id === id)!.site;
    return Object.fromEntries([...Map.groupBy(nodes, at)].map(([site, all]) => [site, all.length]));
  };
  t.deepEqual(sites(placed([wish('a', 8)], hosts).of('a').nodes), { s0: 2, s1: 2, s2: 2, s3: 2 });
  const two = placed([wish('a', 4, { perSite: 2, where: { site: ['s1', 's2'] } })], hosts).of('a');
  t.deepEqual(sites(two.nodes), { s1: 2, s2: 2 });
  const not = placed([wish('a', 30, { where: { not: ['n0000*'] } })], hosts).of('a');
  t.deepEqual([not.nodes.length, not.missing], [30, 0]);
  t.false(not.nodes.some((id) => id.startsWith('n0000')));
});

test('guarantees fit: by memory, by processors, by ports, beside what the fleet itself runs there', (t) => {
  const hosts = [
    host('a'),
    host('b', { free: { cpu: 30, memory: 1024 * MIB } }),
    host('c', { ports: new Set(['tcp/80']) }),
  ];
  const share = { cpu: 40, memory: 400 * MIB, disk: 0, ports: ['tcp/80'] };
  const [one, two] = [wish('one', 1, { share }), wish('two', 1, { share })];
  const { of, why } = placed([two, one], hosts);
  t.deepEqual(of('one').nodes, ['a']);
  t.is(of('two').missing, 1);
  const { lines, help } = why(two);
  t.deepEqual(Object.fromEntries(lines.map((line) => [line.node, line.why])), {
    a: 'port tcp/80 is that of slice one',
    b: '30 % cpu are left, and 40 are asked for',
    c: "port tcp/80 is that of one of the fleet's services",
  });
  t.deepEqual(help, ['without the ports tcp/80: 1 of 1 nodes', 'with --cpu 30 each: 1 of 1 nodes']);
});

test('no room: which constraint it was for each node, and what would help', (t) => {
  const hosts = [
    ...hostsOf(6, 2),
    host('far', { site: 'x', rack: 'r1' }),
    host('small', { site: 's0', free: { cpu: 300, memory: 32 * MIB } }),
    host('away', { site: 's1', closed: 'it is unreachable' }),
  ];
  const one = wish('a', 9, { perSite: 2, where: { site: ['s0', 's1'] } });
  const { of, why } = placed([one], hosts);
  t.deepEqual([of('a').nodes.length, of('a').missing], [4, 5]);
  const { help, lines } = why(one);
  t.deepEqual(help, ['with more than 2 per site: 6 of 9 nodes', 'without --site: 5 of 9 nodes']);
  t.like(
    lines.find(({ node }) => node === 'far'),
    { is: 'not', why: 'its site is x' },
  );
  t.is(lines.filter(({ why }) => why.endsWith('has 2 already')).length, 2);
  const wide = wish('a', 9, { where: { site: ['s0', 's1'] } });
  t.deepEqual(placed([wide], hosts).why(wide).help, [
    'without --site: 7 of 9 nodes',
    'when nodes that take nothing new now do so again: 7 of 9 nodes',
    'with --memory 32 each: 7 of 9 nodes',
  ]);
  t.deepEqual(placed([wish('a', 99)], []).why(wish('a', 99)).help, [
    'another selection, or more nodes: no single change is enough',
  ]);
});

test('what is there stays: a node that takes nothing new keeps it, one that is gone is replaced by one other', (t) => {
  const hosts = hostsOf(40, 4);
  const first = placed([wish('a', 10), wish('b', 10)], hosts);
  const [a, b] = [first.of('a').nodes, first.of('b').nodes];
  const again = [wish('a', 10, { nodes: a }), wish('b', 10, { nodes: b }), wish('0', 30)];
  const later = placed(
    again,
    hosts.map((one) =>
      one.id === a[0] ? { ...one, gone: 'it is retired' } : { ...one, closed: 'it is held' },
    ),
  );
  t.deepEqual(later.of('b').nodes, b);
  t.deepEqual([...later.of('a').leaves], [[a[0], 'gone']]);
  t.is(later.of('a').missing, 1, 'everybody else is closed');
  const mended = placed(
    again,
    hosts.filter((one) => one.id !== a[0]),
  );
  t.is(mended.of('a').missing, 0);
  t.deepEqual(
    mended.of('a').nodes.filter((id) => a.includes(id)),
    a.slice(1),
  );
  t.deepEqual(mended.of('b').nodes, b, 'and the other slice is not touched');
});

test('a selection that a node has left, and a smaller number, take it from the slice', (t) => {
  const hosts = hostsOf(6, 1, (i) => ({ labels: { ring: String(i % 2) } }));
  const nodes = hosts.map(({ id }) => id);
  const { of, why } = placed([wish('a', 2, { nodes, where: { labels: { ring: '1' } } })], hosts);
  t.is(of('a').nodes.length, 2);
  t.deepEqual([...of('a').leaves.values()], ['labels', 'labels', 'labels', 'many']);
  const leaving = why(wish('a', 2, { where: { labels: { ring: '1' } } })).lines.filter(
    ({ is }) => is === 'leaves',
  );
  t.is(leaving[0]?.why, 'its label ring is not 1');
});

test('a thousand slices and one bad node: what they have there moves, and nothing else', (t) => {
  const hosts = hostsOf(300, 10);
  const wishes = Array.from({ length: 1000 }, (_, i) =>
    wish(`slice-${i}`, 3, { share: { cpu: 1, memory: MIB, disk: 0, ports: [] } }),
  );
  const first = placed(wishes, hosts);
  const bad = hosts[7]!.id;
  const again = wishes.map((one) => ({ ...one, nodes: first.of(one.name).nodes, where: { not: [bad] } }));
  const later = placed(again, hosts);
  for (const { name, nodes } of again) {
    const now = later.of(name).nodes;
    t.is(now.length, 3);
    t.deepEqual(
      nodes.filter((id) => !now.includes(id)),
      nodes.includes(bad) ? [bad] : [],
    );
  }
});

const hostArb = fc.record({
  site: fc.constantFrom('s0', 's1', 's2'),
  memory: fc.integer({ min: 0, max: 300 }),
  cpu: fc.integer({ min: 0, max: 100 }),
  state: fc.constantFrom('open', 'open', 'closed', 'gone'),
});
const wishArb = fc.record({
  count: fc.integer({ min: 1, max: 12 }),
  perSite: fc.option(fc.integer({ min: 1, max: 4 })),
  memory: fc.integer({ min: 0, max: 150 }),
  cpu: fc.integer({ min: 0, max: 60 }),
  ports: fc.subarray(['tcp/80', 'udp/53']),
  site: fc.option(fc.subarray(['s0', 's1', 's2'], { minLength: 1 })),
});

test('any fleet and any slices: no node is promised twice, no rule is broken, nobody lacks what one more node would give', (t) => {
  fc.assert(
    fc.property(fc.array(hostArb, { maxLength: 25 }), fc.array(wishArb, { maxLength: 8 }), (fleet, asked) => {
      const hosts = fleet.map(({ site, memory, cpu, state }, i) =>
        host(`n${i}`, {
          ...{ site, all: { cpu: 100, memory: 300 }, free: { cpu, memory } },
          closed: state === 'closed' ? 'c' : null,
          gone: state === 'gone' ? 'g' : null,
        }),
      );
      const wishes = asked.map(({ count, perSite, site, ...share }, i) =>
        wish(`w${i}`, count, { perSite, where: site === null ? {} : { site }, share: { ...share, disk: 0 } }),
      );
      const seats = seatsOf(hosts);
      const all = placeSlices(wishes, seats);
      for (const { left } of seats.values()) if (left.cpu < 0 || left.memory < 0) t.fail('promised twice');
      const used = new Set<string>();
      for (const one of wishes) {
        const { nodes, missing } = all.get(one.name)!;
        t.is(nodes.length + missing, one.count);
        for (const id of nodes) {
          const { host } = seats.get(id)!;
          if (host.closed !== null || host.gone !== null) t.fail('a node that takes nothing');
          if (one.where.site?.includes(host.site) === false) t.fail('another site');
          for (const port of one.share.ports) {
            if (used.has(`${id} ${port}`)) t.fail('a port twice');
            used.add(`${id} ${port}`);
          }
        }
        const most = one.perSite ?? 99;
        const bySite = Map.groupBy(nodes, (id) => seats.get(id)!.host.site);
        if ([...bySite.values()].some((some) => some.length > most)) t.fail('too many per site');
        const { lines } = explain(one, all.get(one.name)!, seats);
        if (missing > 0 && lines.some(({ why }) => why === 'others were taken'))
          t.fail('a node was left over');
        t.is(lines.length, hosts.length);
      }
      const nodesOf = (of: typeof all) => wishes.map(({ name }) => of.get(name)!.nodes);
      const again = placeSlices(
        wishes.map((one) => ({ ...one, nodes: all.get(one.name)!.nodes })),
        seatsOf(hosts),
      );
      t.deepEqual(nodesOf(again), nodesOf(all), 'placed again nothing moves');
    }),
    { numRuns: 300 },
  );
});
