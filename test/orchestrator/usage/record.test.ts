import test from 'ava';
import fc from 'fast-check';
import { recordOf, type UsageRecord, usageRecordSchema } from '../../../orchestrator/usage/record.ts';
import { type InstanceUsage, type Usage, usageSchema } from '../../../protocol/link/usage.ts';
import { usageOf } from '../../image/agent/member/link/handlers.ts';

const instance = (name: string, more: Partial<InstanceUsage> = {}): InstanceUsage => ({
  ...{ name, runs: '1', state: 'running', health: 'healthy', restarts: 0 },
  ...{ cpu: 1000, memory: 100, tasks: 1 },
  ...{ disk: { read: 0, written: 0 }, network: { received: 0, sent: 0 } },
  ...more,
});
const ALL = new Set(['a/x', 'b/y']);
const record = (usage: Usage, before: UsageRecord | null = null) => recordOf(usage, ALL, 5, before);

test('rates are of the time between two words, by the clock of the node that nobody sets', (t) => {
  const first = record(usageOf({ at: 60_000, cpu: 10_000, services: [instance('a/x')] }));
  t.deepEqual(first.rates, { cpu: null, disk: null, network: null }, 'nothing is known of the time before');
  const then = usageOf({
    ...{ at: 70_000, cpu: 25_000 },
    ...{ disk: { read: 6000, written: 2000 }, network: { received: 3000, sent: 14_000 } },
    services: [instance('a/x', { cpu: 1500 }), instance('b/y')],
  });
  const { rates, services } = record(then, first);
  t.deepEqual(rates, {
    cpu: 1.5,
    disk: { read: 500, written: 0 },
    network: { received: 0, sent: 1000 },
  });
  t.is(services['a/x']!.cpu, 0.05);
  t.deepEqual(services['b/y'], { cpu: null, disk: null, network: null }, 'it is new');
});

test('a counter that goes back began anew; another boot says nothing about this one', (t) => {
  const before = record(usageOf({ at: 60_000, services: [instance('a/x', { cpu: 90_000 })] }));
  const again = usageOf({ at: 70_000, services: [instance('a/x', { cpu: 2000 })] });
  t.is(record(again, before).services['a/x']!.cpu, 0.2);
  for (const odd of [{ bootId: 'other', at: 70_000 }, { at: 10 }])
    t.is(record({ ...again, ...odd }, before).rates.cpu, null, JSON.stringify(odd));
});

test('asked twice at once it is one word: what was known of its speed stays', (t) => {
  const first = record(usageOf({ at: 60_000, cpu: 0 }));
  const known = record(usageOf({ at: 70_000, cpu: 10_000 }), first);
  t.is(record(usageOf({ at: 70_999, cpu: 10_001 }), known), known);
  t.not(record(usageOf({ at: 71_000, cpu: 10_001 }), known), known);
});

test('more processors than there are is no answer; what cannot be read stays unknown', (t) => {
  const before = record(usageOf({ at: 60_000, cpu: 0, processors: 2 }));
  const rate = (cpu: number | null) => record(usageOf({ at: 70_000, cpu, processors: 2 }), before).rates.cpu;
  t.is(rate(20_100), 2);
  t.is(rate(30_000), null);
  t.is(rate(null), null);
});

test('services that the order does not name are nowhere, and none is there twice', (t) => {
  const told = usageOf({ services: [instance('a/x'), instance('evil/z'), instance('a/x', { cpu: 7 })] });
  const { usage, services } = record(told);
  t.deepEqual(
    usage.services.map(({ name, cpu }) => [name, cpu]),
    [['a/x', 1000]],
  );
  t.deepEqual(Object.keys(services), ['a/x']);
});

test('whatever a node says within its limits makes a record that is read again', (t) => {
  const counter = fc.oneof(fc.nat(), fc.constantFrom(0, Number.MAX_SAFE_INTEGER));
  const maybe = <T>(of: fc.Arbitrary<T>) => fc.option(of);
  const numbers = {
    cpu: maybe(counter),
    disk: maybe(fc.record({ read: counter, written: counter })),
    network: maybe(fc.record({ received: counter, sent: counter })),
  };
  const word = fc.record({
    ...numbers,
    bootId: fc.constantFrom('b', 'c'),
    at: counter,
    processors: fc.integer({ min: 1, max: 8192 }),
    memory: fc.constant(null),
    services: fc.array(
      fc
        .record({ name: fc.constantFrom('a/x', 'b/y', 'c/z'), ...numbers })
        .map((one) => instance(one.name, one)),
      { maxLength: 4 },
    ),
  });
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 3 }), (words) => {
      let last: UsageRecord | null = null;
      for (const one of words) {
        t.true(usageSchema.safeParse(one).success);
        last = record(one, last);
        t.deepEqual(usageRecordSchema.parse(JSON.parse(JSON.stringify(last))), last);
      }
    }),
  );
});
