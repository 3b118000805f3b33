import test from 'ava';
import fc from 'fast-check';
import { placeOf, RANGE, SLOTS, slotFor } from '../../../../../image/agent/root/services/place.ts';
import { instanceId, nameOfInstance } from '../../../../../protocol/agent/units.ts';

test('no two places share an id, an address, a project or an interface', (t) => {
  const places = Array.from({ length: SLOTS }, (_, slot) => placeOf(slot));
  const distinct = new Set(
    places.flatMap(({ gateway, address, project, interface: name }) => [
      gateway,
      address,
      `${project}`,
      name,
    ]),
  );
  t.is(distinct.size, 4 * SLOTS);
  for (const [i, { firstId }] of places.entries()) t.is(firstId, places[0]!.firstId + i * RANGE);
  // UIDS-GIDS.md of systemd: container ranges.
  t.true(places[0]!.firstId >= 524_288);
  t.true(places.at(-1)!.firstId + RANGE - 1 <= 1_879_048_191);
  t.true(places.every(({ interface: name }) => name.length <= 15));
});

test('a name keeps its place, and gets none that another has, until all are taken', (t) => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.stringMatching(/^[a-z]{1,6}\/[a-z]{1,6}$/), { maxLength: 60 }), (names) => {
      const taken = new Map<string, number>();
      for (const name of names) taken.set(name, slotFor(name, taken)!);
      t.is(new Set(taken.values()).size, names.length);
      for (const name of names) t.is(slotFor(name, taken), taken.get(name)!);
      // Its name alone says it, where nobody is in its way.
      for (const name of names) t.is(slotFor(name, new Map()), slotFor(name, new Map()));
    }),
    { numRuns: 30 },
  );
  const full = new Map(Array.from({ length: SLOTS }, (_, i): [string, number] => [`a/${i}`, i]));
  t.is(slotFor('b/b', full), null);
});

test('an id names one service', (t) => {
  t.is(instanceId('fleet/node-exporter'), 'fleet.node-exporter');
  t.is(nameOfInstance(instanceId('web/shop')), 'web/shop');
  for (const id of ['', 'x', 'a.b.c.d']) t.is(nameOfInstance(id), null);
});
