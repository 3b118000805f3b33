import test from 'ava';
import fc from 'fast-check';
import {
  readEntry,
  sealConfirmed,
  sealDecided,
  sealMembership,
} from '../../../../orchestrator/fleet/decisions/entry.ts';
import { believed } from '../../../../orchestrator/fleet/decisions/place.ts';
import { type Decision, Standing } from '../../../../orchestrator/fleet/decisions/standing.ts';
import type { NodeRecord } from '../../../../orchestrator/fleet/record.ts';

const by = { actor: 'operator:ann', reason: 'test' };
const decision = fc.oneof(
  fc
    .record({ number: fc.integer({ min: 1, max: 4 }), at: fc.nat(3), node: fc.constantFrom('a', 'b') })
    .map((one): Decision => sealMembership({ kind: 'membership', ...by, ...one, place: null })),
  fc
    .record({
      epoch: fc.integer({ min: 1, max: 4 }),
      at: fc.nat(3),
      key: fc.constantFrom('k', 'l'),
      body: fc.constantFrom('x', 'y'),
    })
    .map((one): Decision => sealDecided({ kind: 'record', ...by, ...one })),
  fc.constant<Decision>(sealConfirmed({ kind: 'confirmed', ...by, at: 1 })),
);

test('in whatever order servers learn of decisions, and however often, they agree', (t) => {
  const fold = (entries: readonly Decision[]) => {
    const standing = new Standing();
    for (const entry of entries) standing.add(entry);
    return standing.entries.map(({ id }) => id).sort();
  };
  fc.assert(
    fc.property(
      fc
        .array(decision, { maxLength: 12 })
        .chain((all) =>
          fc.tuple(fc.constant(all), fc.shuffledSubarray([...all, ...all], { minLength: 2 * all.length })),
        ),
      ([all, again]) => t.deepEqual(fold(again), fold(all)),
    ),
  );
});

test('the highest number counts, of one number the later one', (t) => {
  const standing = new Standing();
  const one = (number: number, at: number) =>
    sealMembership({ kind: 'membership', ...by, node: 'a', number, at, place: null });
  t.true(standing.add(one(2, 5)));
  t.false(standing.add(one(2, 5)));
  t.false(standing.add(one(1, 9)));
  t.false(standing.add(one(2, 4)));
  t.true(standing.add(one(2, 6)));
  t.true(standing.add(one(3, 1)));
  t.is(standing.node('a')?.number, 3);
});

test('a place that a server of before pins wrote is that of a record without one; with one it is not', (t) => {
  const place = {
    name: 'web1',
    site: 'default',
    akName: 'ak',
    rack: null,
    role: null,
    labels: {},
    mode: 'netboot',
  };
  const text = JSON.stringify({
    ...{ kind: 'membership', ...by, at: 1, node: 'a', number: 1 },
    place: { ...place, hold: null },
  });
  const standing = new Standing();
  standing.add(readEntry(text) as Decision);
  const { mode, akName, ...rest } = place;
  const record = {
    ...{ ...rest, id: 'a', state: 'healthy', hold: null, pin: null, disks: [] },
    ...{ wanted: { mode }, identity: { akName } },
  } as unknown as NodeRecord;
  t.is(believed(record, standing.node('a')), record);
  const pin = { by: 'operator:eve', at: 1, reason: 'x', until: null, image: '1.0' };
  t.is(believed({ ...record, pin }, standing.node('a')).pin, null);
});
