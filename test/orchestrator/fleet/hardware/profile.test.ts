import test from 'ava';
import fc from 'fast-check';
import { expectsSchema, learnt, shortfalls } from '../../../../orchestrator/fleet/hardware/profile.ts';
import type { Inventory } from '../../../../protocol/enrolment/inventory.ts';
import { inventory } from '../support.ts';

const GIB = 2 ** 30;

const disk = (size: number, rotational = false) => ({
  ...{ name: 'sda', size, model: 'x', serial: 'y', rotational },
});
const nic = (speed: number | null, driver = 'mlx5_core') => ({
  ...{ name: 'eth0', mac: '52:54:00:00:00:01', driver, speed },
});

const server = inventory(1, {
  memory: 64 * GIB,
  cpu: { model: 'EPYC', threads: 64 },
  disks: [disk(480 * GIB), disk(480 * GIB), disk(4000 * GIB, true)],
  nics: [nic(25_000), nic(25_000), nic(null, 'tg3')],
});

test('a good machine is learnt, and says in words of its own what another one lacks', (t) => {
  const expects = learnt(server);
  t.deepEqual(expects.disks, [
    { count: 2, size: 480 * GIB, rotational: false },
    { count: 1, size: 4000 * GIB, rotational: true },
  ]);
  t.deepEqual(expects.nics, [
    { count: 2, driver: 'mlx5_core', speed: 25_000 },
    { count: 1, driver: 'tg3' },
  ]);
  t.deepEqual(shortfalls(expects, server), []);
  const worn: Inventory = {
    ...server,
    memory: 62 * GIB,
    cpu: { model: 'Xeon', threads: 32 },
    disks: [disk(480 * GIB), disk(4000 * GIB)],
    nics: [nic(25_000), nic(1000), nic(null, 'tg3')],
    firmware: { ...server.firmware, kind: 'bios', version: '0' },
    tpm: null,
  };
  t.deepEqual(shortfalls(expects, worn), [
    'its CPU is Xeon, not EPYC',
    'it has 32 of 64 CPU threads',
    'it has 62 GiB of 64 GiB of memory',
    'it has 0 of 1 disks of 4000 GiB that turn',
    'it has 1 of 2 network interfaces of mlx5_core at 25000 Mb/s',
    'it boots by bios, not by uefi',
    'its firmware is 0, not 1',
    'it has no TPM',
  ]);
});

test('what kernels reserve, a slightly smaller disk of another maker, and an empty card reader are no fault', (t) => {
  const expects = learnt({ ...server, disks: [...server.disks, disk(0)] });
  const close = {
    ...server,
    memory: 63.5 * GIB,
    disks: [disk(476 * GIB), disk(500 * GIB), disk(3990 * GIB, true)],
  };
  t.deepEqual(shortfalls(expects, close), []);
});

test('a large disk that was taken for a small one is given back where the large one is needed', (t) => {
  const expects = {
    disks: [
      { count: 1, size: 100 },
      { count: 1, size: 1000, rotational: true },
      { count: 1, size: 50 },
    ],
  };
  t.deepEqual(shortfalls(expects, { ...server, disks: [disk(1000, true), disk(60), disk(100)] }), []);
  t.deepEqual(shortfalls(expects, { ...server, disks: [disk(1000, true), disk(60)] }).length, 1);
});

const some: fc.Arbitrary<Inventory> = fc
  .record({
    memory: fc.integer({ min: 1, max: 2 ** 50 }),
    threads: fc.integer({ min: 1, max: 512 }),
    disks: fc.array(fc.record({ size: fc.integer({ min: 0, max: 2 ** 45 }), rotational: fc.boolean() }), {
      maxLength: 20,
    }),
    nics: fc.array(
      fc.record({
        driver: fc.constantFrom('a', 'b', ''),
        speed: fc.option(fc.constantFrom(-1, 0, 1000, 25_000)),
      }),
      { maxLength: 12 },
    ),
    tpm: fc.boolean(),
  })
  .map(({ memory, threads, disks, nics, tpm }) =>
    inventory(1, {
      memory,
      cpu: { model: 'c', threads },
      disks: disks.map(({ size, rotational }) => disk(size, rotational)),
      nics: nics.map(({ driver, speed }) => nic(speed, driver)),
      ...(tpm ? {} : { tpm: null }),
    }),
  );

test('any machine fits what is learnt from it, with more and in any order too; without one of its parts it does not', (t) => {
  fc.assert(
    fc.property(some, some, fc.nat(), (one, more, pick) => {
      const expects = learnt(one);
      t.true(expectsSchema.safeParse(expects).success, JSON.stringify(expects));
      t.deepEqual(shortfalls(expects, one), []);
      const richer = {
        ...one,
        disks: [...more.disks, ...one.disks.toReversed()],
        nics: [...more.nics, ...one.nics],
      };
      t.deepEqual(shortfalls(expects, richer), []);
      const real = one.disks.filter(({ size }) => size > 0);
      if (real.length > 0)
        t.is(shortfalls(expects, { ...one, disks: real.toSpliced(pick % real.length, 1) }).length, 1);
      if (one.nics.length > 0)
        t.true(
          shortfalls(expects, { ...one, nics: one.nics.toSpliced(pick % one.nics.length, 1) }).length > 0,
        );
    }),
  );
});
