import test from 'ava';
import fc from 'fast-check';
import { inTurn, mirrorsOf } from '../../../orchestrator/mirrors/choose.ts';
import { MIRROR } from '../../../protocol/service/mirror.ts';

const neighbour = (n: number, ...shared: string[]) => ({
  ...{ node: `tpm-${n}`, address: `10.0.0.${n}` },
  shared: new Set(shared),
});

test('a few are named that have the file, never the node itself, and none that is not reached by IPv4', (t) => {
  const known = [
    ...[neighbour(1, 'a'), neighbour(2, 'a'), neighbour(3, 'b'), neighbour(4, 'a', 'b')],
    ...[
      { ...neighbour(5, 'a'), address: 'fd00::1' },
      { ...neighbour(6, 'a'), address: 'x/y' },
    ],
  ];
  t.deepEqual(mirrorsOf('tpm-1', 'a', known).sort(), ['10.0.0.2', '10.0.0.4']);
  t.deepEqual(mirrorsOf('tpm-9', 'c', known), []);
});

test('whoever asks, the list is short and of those that have it; those who come and go change no order', (t) => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.integer({ min: 1, max: 250 }), { maxLength: 60 }),
      fc.nat(250),
      fc.func(fc.boolean()),
      (nodes, asking, stays) => {
        const known = nodes.map((n) => neighbour(n, ...(n % 3 === 0 ? [] : ['a'])));
        const found = mirrorsOf(`tpm-${asking}`, 'a', known);
        t.true(found.length <= MIRROR.most);
        t.is(new Set(found).size, found.length);
        t.is(found.length, Math.min(MIRROR.most, nodes.filter((n) => n % 3 !== 0 && n !== asking).length));
        t.false(found.includes(`10.0.0.${asking}`));
        const all = inTurn(`tpm-${asking}`, known);
        t.deepEqual(
          inTurn(`tpm-${asking}`, known.filter(stays).toReversed()),
          all.filter((one) => known.filter(stays).includes(one)),
        );
      },
    ),
    { numRuns: 50 },
  );
});

test('two hundred nodes share twenty mirrors: none is the first of many', (t) => {
  const known = Array.from({ length: 20 }, (_, n) => neighbour(n, 'a'));
  const first = new Map<string, number>();
  for (let n = 100; n < 300; n += 1) {
    const [address = ''] = mirrorsOf(`tpm-${n}`, 'a', known);
    first.set(address, (first.get(address) ?? 0) + 1);
  }
  t.is(first.size, 20);
  t.true(Math.max(...first.values()) <= 25, `${Math.max(...first.values())}`);
});
