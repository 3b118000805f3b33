/** The kernel's own files, of this machine and as captured, and what else might stand in them. */
import { readFileSync, statSync } from 'node:fs';
import os from 'node:os';
import test from 'ava';
import fc from 'fast-check';
import { run } from '../../../../../base/run.ts';
import {
  deviceNumber,
  disks,
  interfaces,
  keyed,
  memory,
  processors,
  single,
  used,
} from '../../../../../image/agent/member/usage/kernel-text.ts';

/** Linux 6.1. */
const IO = [
  '7:0 rbytes=1 wbytes=0 rios=1 wios=0 dbytes=0 dios=0',
  '254:1 rbytes=3 wbytes=0 rios=1 wios=0 dbytes=0 dios=0',
  '254:0 rbytes=4096 wbytes=81920 rios=1 wios=20 dbytes=9 dios=1',
  '',
].join('\n');

test('io.stat: the one device counts, not those that lie below and on top of it', (t) => {
  t.deepEqual(used(IO, '254:0'), { read: 4096, written: 81_920 });
  t.deepEqual(used(IO, '8:0'), { read: 0, written: 0 }, 'not used yet');
  t.deepEqual(used('', '254:0'), { read: 0, written: 0 });
  t.is(used('254:0 rios=1\n', '254:0'), null);
});

test('cpu.stat, memory.stat and files of one number', (t) => {
  const stat = 'usage_usec 123456\nuser_usec 100000\nsystem_usec 23456\n';
  t.is(keyed(stat, 'usage_usec'), 123_456);
  t.is(keyed('inactive_file_x 1\ninactive_file 4096\n', 'inactive_file'), 4096);
  t.is(keyed(stat, 'usage'), null);
  t.is(single('4096\n'), 4096);
  for (const text of ['max\n', '', '-1', '1e3', '99999999999999999999']) t.is(single(text), null, text);
});

test('a processor that idles or waits for a disk is not busy; guests are counted once', (t) => {
  const text = 'cpu  10 20 30 4000 500 6 7 80 10 20\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5 6\n';
  t.deepEqual(processors(text), { processors: 2, cpu: (10 + 20 + 30 + 6 + 7) * 10 });
  t.deepEqual(processors(''), { processors: 1, cpu: null });
});

test('the files of this machine say what others read of them', (t) => {
  const proc = (name: string) => readFileSync(`/proc/${name}`, 'utf8');
  const { processors: count, cpu } = processors(proc('stat'));
  t.is(count, os.cpus().length);
  // Node reads the same file, and counts no softirqs.
  const theirs = os
    .cpus()
    .reduce((all, { times }) => all + times.user + times.nice + times.sys + times.irq, 0);
  t.true(Math.abs(cpu! - theirs) / theirs < 0.2, `${cpu} ${theirs}`);
  t.is(memory(proc('meminfo'))!.total, os.totalmem());
  t.true(memory(proc('meminfo'))!.available <= os.totalmem());
  t.deepEqual([...interfaces(proc('net/dev')).keys()].includes('lo'), true);
  disks(proc('diskstats'));
});

test('a device has the number that stat(1) shows', async (t) => {
  for (const path of ['/', '/proc', '/dev']) {
    const { stdout } = await run('stat', ['--format=%Hd:%Ld', path]);
    t.is(deviceNumber(statSync(path).dev), stdout.trim(), path);
  }
  // makedev(0x12345, 0x6789a), as glibc packs it.
  t.is(deviceNumber(0x120006783459a), `${0x12345}:${0x6789a}`);
});

test('whatever stands in them is read as numbers that JSON carries, or as unknown', (t) => {
  const line = fc.oneof(
    fc.string(),
    fc.constantFrom('cpu  1 2 3 4', 'usage_usec x', 'MemTotal:  9 kB', ' eth0: 1', '8:0 rbytes=1 wbytes=z'),
    fc
      .tuple(fc.constantFrom('cpu ', 'eth0:', '8:0', '8 0 sda'), fc.array(fc.bigInt()))
      .map(([head, numbers]) => `${head} ${numbers.join(' ')}`),
  );
  const fits = (value: unknown): boolean =>
    value === null ||
    (typeof value === 'object'
      ? Object.values(value!).every(fits)
      : Number.isSafeInteger(value) && Number(value) >= 0);
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      const text = lines.join('\n');
      for (const read of [
        memory(text),
        used(text, '8:0'),
        single(text),
        keyed(text, 'usage_usec'),
        processors(text),
      ])
        t.true(fits(read), JSON.stringify([text, read]));
      for (const one of [...interfaces(text).values(), ...disks(text).values()]) t.true(fits(one));
    }),
  );
});
