import test from 'ava';
import fc from 'fast-check';
import { backoff } from '../../../base/backoff.ts';
import { clockFrom } from '../../../orchestrator/transport/clock.ts';
import { Gate } from '../../../orchestrator/transport/gate.ts';
import { type PaceLimits, Pacer } from '../../../orchestrator/transport/pace.ts';
import { HandClock, RunningClock, settle } from './clock.ts';

const LIMITS: PaceLimits = { rate: 10, burst: 3, concurrent: 100, perGroup: 100 };

/** Takes all that may start now. */
function drain(pacer: Pacer, now: number): string[] {
  const taken: string[] = [];
  for (let id = pacer.take(now); id !== null; id = pacer.take(now)) taken.push(id);
  return taken;
}

test('after the burst, no faster than the rate', (t) => {
  const pacer = new Pacer(LIMITS, 0);
  for (let i = 0; i < 20; i++) pacer.want(`n${i}`, 'site');
  t.deepEqual(drain(pacer, 0), ['n0', 'n1', 'n2']);
  t.deepEqual(drain(pacer, 99), []);
  t.is(pacer.wakeAt(99), 100);
  t.deepEqual(drain(pacer, 100), ['n3']);
  t.is(drain(pacer, 1_000_000).length, 3);
});

test('no more at a time than the limit, whatever time passes', (t) => {
  const pacer = new Pacer({ ...LIMITS, concurrent: 2 }, 0);
  for (let i = 0; i < 5; i++) pacer.want(`n${i}`, 'site');
  t.is(drain(pacer, 0).length, 2);
  t.is(drain(pacer, 60_000).length, 0);
  t.is(pacer.wakeAt(60_000), null);
  pacer.opened('site');
  t.deepEqual(drain(pacer, 60_000), ['n2']);
  t.is(pacer.opening, 2);
});

test('sites take turns, however long their queues are', (t) => {
  const pacer = new Pacer({ ...LIMITS, burst: 9 }, 0);
  for (let i = 0; i < 1000; i++) pacer.want(`a${i}`, 'a');
  for (let i = 0; i < 2; i++) pacer.want(`b${i}`, 'b');
  for (let i = 0; i < 2; i++) pacer.want(`c${i}`, 'c');
  t.deepEqual(drain(pacer, 0), ['a0', 'b0', 'c0', 'a1', 'b1', 'c1', 'a2', 'a3', 'a4']);
});

test('a site of dead nodes holds no more than its share', (t) => {
  const pacer = new Pacer({ ...LIMITS, burst: 100, concurrent: 8, perGroup: 5 }, 0);
  for (let i = 0; i < 100; i++) pacer.want(`dead${i}`, 'dead');
  t.is(drain(pacer, 0).length, 5);
  for (let i = 0; i < 100; i++) pacer.want(`live${i}`, 'live');
  t.deepEqual(drain(pacer, 0), ['live0', 'live1', 'live2']);
});

test('who leaves the line is not called; who asks twice stands once', (t) => {
  const pacer = new Pacer(LIMITS, 0);
  pacer.want('a', 's');
  pacer.want('a', 's');
  pacer.want('b', 's');
  pacer.leave('a', 's');
  pacer.leave('a', 's');
  t.is(pacer.waiting, 1);
  t.deepEqual(drain(pacer, 0), ['b']);
});

test('a clock that stands still or goes back gives nothing away', (t) => {
  const pacer = new Pacer(LIMITS, 1000);
  for (let i = 0; i < 10; i++) pacer.want(`n${i}`, 's');
  drain(pacer, 1000);
  t.deepEqual(drain(pacer, 0), []);
});

test('through anything: the limits hold, the counts are right, everyone is called once', (t) => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('want' as const), group: fc.nat(3) }),
    fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(2000) }),
    fc.record({ kind: fc.constant('opened' as const), pick: fc.nat(50) }),
  );
  const limits = fc.record({
    rate: fc.integer({ min: 1, max: 50 }),
    burst: fc.integer({ min: 1, max: 10 }),
    concurrent: fc.integer({ min: 1, max: 6 }),
    perGroup: fc.integer({ min: 1, max: 6 }),
  });
  fc.assert(
    fc.property(limits, fc.array(step, { maxLength: 80 }), (limit, steps) => {
      const pacer = new Pacer(limit, 0);
      const opening: string[] = [];
      const called = new Set<string>();
      let [now, wanted, started] = [0, 0, 0];
      const check = () => {
        for (const id of drain(pacer, now)) {
          if (called.has(id)) return false;
          called.add(id);
          opening.push(id.split('/')[0] ?? '');
          started += 1;
        }
        const perGroup = Object.values(Object.groupBy(opening, (group) => group)).map(
          (list) => list?.length ?? 0,
        );
        return (
          opening.length <= limit.concurrent &&
          perGroup.every((count) => count <= limit.perGroup) &&
          started <= limit.burst + (now / 1000) * limit.rate + 1e-6 &&
          pacer.opening === opening.length &&
          pacer.waiting === wanted - started
        );
      };
      for (const { kind, ...rest } of steps) {
        if (kind === 'want') {
          const { group } = rest as { group: number };
          pacer.want(`${group}/${wanted}`, String(group));
          wanted += 1;
        } else if (kind === 'pass') now += (rest as { ms: number }).ms;
        else if (opening.length > 0) {
          const [group] = opening.splice((rest as { pick: number }).pick % opening.length, 1);
          pacer.opened(group ?? '');
        }
        if (!check()) return false;
      }
      // Nobody is forgotten once there is time and room.
      while (wanted > started || opening.length > 0) {
        for (const group of opening.splice(0)) pacer.opened(group);
        now += 10_000;
        if (!check()) return false;
      }
      return true;
    }),
  );
  t.pass();
});

test('the gate wakes by its clock, lets in at the pace, and lets go who gives up', async (t) => {
  const clock = new HandClock();
  let room = true;
  const gate = new Gate({ ...LIMITS, burst: 1, concurrent: 2 }, clock, () => room);
  const entered: string[] = [];
  const stop = new AbortController();
  const enter = (id: string, signal = new AbortController().signal) =>
    gate.enter(id, 's', signal).then(() => entered.push(id));
  void enter('a');
  void enter('b');
  const gaveUp = t.throwsAsync(enter('c', stop.signal), { code: 'LINK_ABORTED' });
  void enter('d');
  await settle();
  t.deepEqual(entered, ['a']);
  await clock.pass(100);
  t.deepEqual(entered, ['a', 'b']);
  stop.abort();
  await gaveUp;
  await clock.pass(10_000);
  t.deepEqual(entered, ['a', 'b']);
  room = false;
  gate.leave('s');
  await settle();
  t.deepEqual(entered, ['a', 'b']);
  room = true;
  gate.pump();
  await settle();
  t.deepEqual(entered, ['a', 'b', 'd']);
  gate.leave('s');
  gate.leave('s');
  t.deepEqual([gate.waiting, gate.opening, clock.timers], [0, 0, 0]);
});

test('whatever time passes while the gate reads its clock, nobody is left at it without a wake-up', async (t) => {
  const step = fc.double({ min: 0, max: 40, noNaN: true });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async (steps) => {
      const clock = new RunningClock(steps);
      const gate = new Gate({ ...LIMITS, burst: 1 }, clock, () => true);
      let entered = 0;
      for (let i = 0; i < 6; i += 1) {
        void gate.enter(`n${i}`, 's', new AbortController().signal).then(() => {
          entered += 1;
          gate.leave('s');
        });
      }
      await settle();
      while (clock.timers > 0) await clock.pass(1_000);
      return entered === 6;
    }),
    // The first of two readings is too early, the second is not.
    { examples: [[[0, 0, 100 / 3]]] },
  );
  t.pass();
});

test('an alarm that rings early wakes nobody before its time', (t) => {
  let time = 0.25;
  let ring = () => {};
  const armed: number[] = [];
  const clock = clockFrom(
    () => time,
    (ms, call) => {
      armed.push(ms);
      ring = call;
      return () => {
        ring = () => {};
      };
    },
  );
  let called = 0;
  clock.after(10, () => {
    called += 1;
  });
  time = 10;
  ring();
  t.deepEqual([called, armed], [0, [10, 0.25]]);
  time = 10.25;
  ring();
  t.is(called, 1);
  const stop = clock.after(10, () => {
    called += 1;
  });
  time = 20;
  ring();
  stop();
  time = 30;
  ring();
  t.is(called, 1, 'taken back after it rang early');
});

test('backoff doubles up to its most, never below half', (t) => {
  const limits = { first: 1000, most: 60_000 };
  const range = (failures: number) => [backoff(failures, 0, limits), backoff(failures, 1, limits)];
  t.deepEqual(range(1), [500, 1000]);
  t.deepEqual(range(2), [1000, 2000]);
  t.deepEqual(range(7), [30_000, 60_000]);
  t.deepEqual(range(100_000), [30_000, 60_000]);
});
