import test from 'ava';
import fc from 'fast-check';
import type { Pool } from '../../../bootserver/dhcp/free-addresses.ts';
import { LeaseTable } from '../../../bootserver/dhcp/leases.ts';

/** A pool of `size` addresses from 1 that counts how often an address of it is looked at. */
function counted(size: number, taken: ReadonlySet<number> = new Set()) {
  const looks = { count: 0 };
  const has = (ip: number) => {
    looks.count += 1;
    return taken.has(ip);
  };
  const pool: Pool = { from: 1, to: size, taken: { has } as unknown as ReadonlySet<number> };
  return { pool, looks };
}

const SIZE = 16_000;

test('16,000 offers cost each about the same, on fresh, on lapsed and on ended addresses', (t) => {
  const table = new LeaseTable();
  const { pool, looks } = counted(SIZE);
  const all = (who: string, now: number, lease: boolean) => {
    looks.count = 0;
    const got = new Set<number>();
    for (let n = 0; n < SIZE; n += 1) {
      const ip = table.choose(`${who}${n}`, undefined, [pool], now);
      if (ip === undefined) throw new Error(`no address for ${who}${n}`);
      got.add(ip);
      table.apply({ kind: 'offer', ip, key: `${who}${n}`, until: now + 15 });
      if (lease) table.apply({ kind: 'record', lease: { ip, key: `${who}${n}`, mac: '', until: now + 100 } });
    }
    t.is(got.size, SIZE, `${who}: no address twice`);
    return looks.count / SIZE;
  };
  const costs = [
    all('fresh', 0, false),
    all('lapsed', 20, false),
    all('bound', 40, true),
    all('ended', 200, true),
  ];
  for (const cost of costs) t.true(cost < 12, `${costs}`);
});

test('with every address in use a DISCOVER costs next to nothing', (t) => {
  const table = new LeaseTable();
  const { pool, looks } = counted(SIZE);
  for (let ip = 1; ip <= SIZE; ip += 1) {
    table.apply({ kind: 'record', lease: { ip, key: `k${ip}`, mac: '', until: 1000 } });
  }
  t.is(table.choose('new', undefined, [pool], 1), undefined);
  looks.count = 0;
  for (let n = 0; n < 100; n += 1) t.is(table.choose(`new${n}`, 5, [pool], 1), undefined);
  t.true(looks.count < 500, `${looks.count}`);
});

test('a client that renews without end does not fill the memory', (t) => {
  const table = new LeaseTable();
  const { pool } = counted(10);
  t.is(table.choose('a', undefined, [pool], 0), 1);
  for (let n = 0; n < 20_000; n += 1) {
    table.apply({ kind: 'record', lease: { ip: 1, key: 'a', mac: '', until: 1e9 + n } });
  }
  t.is(table.choose('b', undefined, [pool], 0), 2);
  t.is(table.choose('b', 1, [pool], 2e9), 1);
});

type Step = ['offer' | 'bind' | 'release' | 'withdraw' | 'sweep' | 'wait' | 'forget', number];
const steps = fc.array(
  fc.tuple(
    fc.constantFrom('offer', 'bind', 'release', 'withdraw', 'sweep', 'wait', 'forget'),
    fc.integer({ min: 0, max: 7 }),
  ) as fc.Arbitrary<Step>,
  { maxLength: 80 },
);

test('whatever happened before, an address is found exactly when one is free, and it is free', (t) => {
  const taken = new Set([2, 5]);
  fc.assert(
    fc.property(steps, (all) => {
      const table = new LeaseTable();
      const pools: Pool[] = [
        { from: 1, to: 3, taken },
        { from: 5, to: 7, taken },
      ];
      const given = [1, 3, 6, 7];
      let now = 0;
      for (const [what, n] of all) {
        const key = `k${n}`;
        if (what === 'wait') now += n * 5;
        else if (what === 'sweep') table.sweep(now);
        else if (what === 'forget') table.forgetPools();
        else if (what === 'withdraw') table.apply({ kind: 'withdraw', key });
        else if (what === 'release') {
          const lease = table.leaseOf(key);
          if (lease !== undefined) table.apply({ kind: 'record', lease: { ...lease, until: now } });
        } else {
          const mine = given.filter((one) => table.holder(one, now) === key);
          const free = given.filter((one) => table.holder(one, now) === undefined);
          const ip = table.choose(key, undefined, pools, now);
          if (ip === undefined) {
            if (free.length + mine.length > 0) throw new Error(`${free} are free`);
            continue;
          }
          if (!free.includes(ip) && !mine.includes(ip)) throw new Error(`${ip} is not free`);
          if (what === 'offer') table.apply({ kind: 'offer', ip, key, until: now + 15 });
          else table.apply({ kind: 'record', lease: { ip, key, mac: '', until: now + 20 + n } });
        }
      }
    }),
    { numRuns: 3000 },
  );
  t.pass();
});
