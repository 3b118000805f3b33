import test from 'ava';
import fc from 'fast-check';
import { simUsage } from '../../../lab/sim/usage.ts';
import { usageSchema } from '../../../protocol/link/usage.ts';

test('a simulated node says what a real one could: within its limits, and counters only rise', (t) => {
  const services = Array.from({ length: 64 }, (_, i) => ({
    ...{ name: `fleet/s${i}`, version: '1', health: 'healthy' as const, restarts: 0 },
    state: i % 8 === 0 ? ('fetching' as const) : ('running' as const),
  }));
  fc.assert(
    fc.property(fc.nat(20_000), fc.nat(1e9), fc.nat(1e6), (number, at, later) => {
      const [a, b] = [at, at + later].map((when) => simUsage(number, { bootId: 'b', at: when }, services));
      t.deepEqual(usageSchema.parse(a), a);
      t.true(b!.cpu! >= a!.cpu! && b!.network!.sent >= a!.network!.sent);
      t.true(b!.services.every(({ cpu }, i) => cpu === null || cpu >= a!.services[i]!.cpu!));
      t.true(
        a!.services.every(({ memory }) => (memory ?? 0) <= 16 * 2 ** 20),
        'as little as any service is given',
      );
      t.true(a!.memory!.available <= a!.memory!.total);
    }),
  );
});
