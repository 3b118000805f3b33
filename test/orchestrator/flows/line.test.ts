import test from 'ava';
import fc from 'fast-check';
import { ALL, AN_HOUR, type Hour, lineIn, lineOf } from '../../../orchestrator/flows/line.ts';
import { type Flows, flowsSchema } from '../../../protocol/link/flows.ts';
import { flowsOf } from '../../image/agent/member/link/handlers.ts';

const NOW = Date.parse('2026-03-01T12:00:00Z');
const fresh = (): Hour => ({ hour: 0, kept: new Map() });
const flow = (over: Partial<Flows['flows'][number]> = {}): Flows['flows'][number] => ({
  ...{ of: 0, way: 'sent', to: '192.0.2.1', protocol: 'tcp', port: 443, packets: 3, bytes: 180 },
  ...{ from: 10_000, until: 50_500 },
  ...over,
});
const instances = [{ name: 'web/shop', version: '1.2' }];

test("times are by the server's clock, whatever the node's says, and round outwards", (t) => {
  const line = lineOf(flowsOf({ instances, flows: [flow()], at: 65_000, from: 5_000 }), NOW, fresh());
  t.deepEqual(line, {
    ...{ heard: NOW, life: 'first', number: 1, from: NOW - 60_000, until: NOW - 5_000 },
    instances: [['web/shop', '1.2']],
    flows: [[0, 'sent', '192.0.2.1', 'tcp', 443, 3, 180, 55, 14]],
  });
  t.deepEqual(lineIn(JSON.stringify(line)), line);
});

test('a service that tells too much in an hour is summed up from then on; no other is, and the next hour begins anew', (t) => {
  const hour = fresh();
  const two = [...instances, { name: 'fleet/ntp', version: null }];
  const flood = Array.from({ length: 400 }, (_, i) => flow({ port: i }));
  const at = (heard: number) =>
    lineOf(flowsOf({ instances: two, flows: [...flood, flow({ of: 1 })] }), heard, hour);
  const lines = [NOW, NOW + 1, NOW + 2, NOW + 3600_000].map(at);
  const exact = lines.map(({ flows }) => flows.filter(([of, way]) => of === 0 && way === 'sent').length);
  t.deepEqual(exact, [400, 400, AN_HOUR.most - 800, 400]);
  t.deepEqual(lines[2]!.flows.at(-1)!.slice(0, 7), [0, 'wide', ALL, null, null, 176 * 3 + 0, 176 * 180]);
  t.true(lines.every(({ flows }) => flows.filter(([of]) => of === 1).length === 1));
});

test('whatever a node says, no packet is lost, and what is kept of an hour is bounded', (t) => {
  const name = fc.constantFrom('a/a', 'b/b', 'fleet/c');
  const answer = fc
    .record({
      life: fc.constant('x'),
      number: fc.integer({ min: 1, max: 9 }),
      from: fc.nat(1e6),
      until: fc.nat(1e6),
      at: fc.nat(1e6),
      more: fc.boolean(),
      instances: fc.array(fc.record({ name, version: fc.constantFrom('1', null) }), {
        minLength: 1,
        maxLength: 5,
      }),
      flows: fc.array(
        fc.record({
          of: fc.nat(6),
          way: fc.constantFrom('sent' as const, 'answered' as const, 'wide' as const),
          to: fc.ipV4(),
          protocol: fc.constantFrom('tcp' as const, 'udp' as const, null),
          port: fc.option(fc.nat(65_535)),
          packets: fc.nat(1e9),
          bytes: fc.nat(1e9),
          from: fc.nat(2e6),
          until: fc.nat(2e6),
        }),
        { maxLength: 300 },
      ),
    })
    .map((value) => flowsSchema.safeParse(value).data)
    .filter((value) => value !== undefined);
  fc.assert(
    fc.property(fc.array(answer, { maxLength: 5 }), fc.nat(4e12), (answers, heard) => {
      const hour = fresh();
      for (const one of answers) {
        const line = lineOf(one, heard, hour);
        t.is(
          line.flows.reduce((sum, [, , , , , packets]) => sum + packets, 0),
          one.flows.reduce((sum, { packets }) => sum + packets, 0),
        );
        t.deepEqual(lineIn(JSON.stringify(line)), line);
      }
      t.true([...hour.kept.values()].every((kept) => kept <= AN_HOUR.most));
    }),
    { numRuns: 100 },
  );
});

test('what a node says of half a second to come is read as it is kept', (t) => {
  const line = lineOf(
    flowsOf({ at: 1000, instances, flows: [flow({ from: 1500, until: 1500 })] }),
    5000,
    fresh(),
  );
  t.is(line.flows[0]![7], 0);
  t.deepEqual(lineIn(JSON.stringify(line)), line);
});

test('an answer out of order is none', (t) => {
  const good = flowsOf({ instances, flows: [flow()] });
  t.true(flowsSchema.safeParse(good).success);
  for (const [what, bad] of Object.entries({
    'of no instance': { flows: [flow({ of: 1 })] },
    'ends before it begins': { flows: [flow({ from: 60_000 })] },
    'known before it is asked': { until: 70_000 },
    'begins later': { from: 60_001 },
    'no service': { instances: [{ name: '../x', version: null }] },
    'no address': { flows: [flow({ to: '::1' })] },
    'a line of its own': { life: 'a\nb' },
    'below nothing': { flows: [flow({ packets: -1 })] },
    'too many': { flows: Array.from({ length: 501 }, () => flow()) },
  }))
    t.false(flowsSchema.safeParse({ ...good, ...bad }).success, what);
});
