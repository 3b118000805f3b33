import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { NodeRecord } from '../../../orchestrator/fleet/record.ts';
import { keepNodes } from '../../../orchestrator/upkeep/nodes.ts';
import { until } from '../../support/until.ts';
import { redisFor, silent } from '../fleet/support.ts';

const node = (id: string) => ({ id, name: id }) as NodeRecord;

test('a node that fails waits for as long as it is told, and keeps no other one waiting', async (t) => {
  const { redis } = await redisFor(t);
  const stop = new AbortController();
  const waits: number[] = [];
  const worked: string[] = [];
  const running = keepNodes({
    redis,
    name: 'test',
    every: 5,
    atOnce: 1,
    log: silent,
    signal: stop.signal,
    find: async () => ['bad', 'good'].map(node),
    async work({ id }) {
      worked.push(id);
      if (id === 'bad') throw new Error('no');
    },
    async failed(_, __, waited) {
      waits.push(waited);
      return waited === 0 ? 1 : 3_600_000;
    },
  });
  await until(() => worked.filter((id) => id === 'good').length > 5);
  stop.abort();
  await running;
  t.deepEqual(waits, [0, 1]);
  t.is(worked.filter((id) => id === 'bad').length, 2);
});

test('no more nodes at once than is said, and none twice; it ends when what is under way has ended', async (t) => {
  const { redis } = await redisFor(t);
  const stop = new AbortController();
  const now = new Set<string>();
  let most = 0;
  let twice = false;
  let done = 0;
  const running = keepNodes({
    redis,
    name: 'test',
    every: 5,
    atOnce: 3,
    log: silent,
    signal: stop.signal,
    find: async () => Array.from({ length: 9 }, (_, i) => node(`n${i}`)),
    async work({ id }) {
      twice ||= now.has(id);
      now.add(id);
      most = Math.max(most, now.size);
      await sleep(20);
      now.delete(id);
      done += 1;
    },
    failed: async () => 0,
  });
  await until(() => done > 20);
  stop.abort();
  await running;
  t.is(now.size, 0);
  t.is(most, 3);
  t.false(twice);
});

test('of two orchestrators one looks', async (t) => {
  const { redis } = await redisFor(t);
  const stop = new AbortController();
  const looks = [0, 0];
  const one = (i: 0 | 1) =>
    keepNodes({
      redis,
      name: 'test',
      every: 5,
      atOnce: 1,
      log: silent,
      signal: stop.signal,
      find: async () => {
        looks[i] = (looks[i] ?? 0) + 1;
        return [];
      },
      work: async () => {},
      failed: async () => 0,
    });
  const both = [one(0), one(1)];
  await until(() => Math.max(...looks) > 10);
  stop.abort();
  await Promise.all(both);
  t.is(Math.min(...looks), 0);
});

test('whoever is done makes room for the next one of the same look: the next look may be far', async (t) => {
  const { redis } = await redisFor(t);
  const stop = new AbortController();
  const worked: string[] = [];
  const running = keepNodes({
    redis,
    name: 'test',
    every: 3_600_000,
    atOnce: 2,
    log: silent,
    signal: stop.signal,
    find: async () => Array.from({ length: 7 }, (_, i) => node(`n${i}`)),
    async work({ id }) {
      await sleep(1);
      worked.push(id);
      if (id === 'n5') stop.abort();
    },
    failed: async () => 0,
  });
  await running;
  t.deepEqual(worked.toSorted().slice(0, 6), ['n0', 'n1', 'n2', 'n3', 'n4', 'n5']);
});
