import test from 'ava';
import { BootwaveError } from '../../../../base/error.ts';
import type { Fleet } from '../../../../orchestrator/fleet/fleet.ts';
import { createRollout } from '../../../../orchestrator/rollout/engine.ts';
import type { EngineEvent } from '../../../../orchestrator/rollout/event.ts';
import type { NodeStep, StepState } from '../../../../orchestrator/rollout/node-step.ts';
import { NEXT } from '../../../../orchestrator/rollout/run/ahead.ts';
import { Watch } from '../../../../orchestrator/rollout/run/watch.ts';
import { fleetOf, planOf } from '../fleet.ts';

/** A watch whose nodes never answer, over a rollout whose nodes are all in this state. */
function watchOver(count: number, state: StepState, active: number) {
  const plan = planOf(fleetOf(count, 4), { waves: [{ take: 'rest' }] });
  const rollout = createRollout(plan, { id: 'ro-1', author: 'operator:ann', at: 0 });
  for (const step of rollout.nodes.values()) {
    step.state = state;
    rollout.active.add(step.node);
  }
  const asked: string[] = [];
  const patience: number[] = [];
  const dropped: string[] = [];
  const told: EngineEvent[] = [];
  let looks = () => {};
  /** Resolves the look at the fleet that waits. */
  const seen = () => looks();
  const boots = { now: 'first' };
  const failing: ((_: Error) => void)[] = [];
  const stop = new AbortController();
  const watch = new Watch({
    pool: {
      request: (id: string, _: string, __: object, { timeout }: { timeout: number }) => {
        asked.push(id);
        patience.push(timeout);
        return new Promise<never>((_, reject) => {
          failing.push(reject);
        });
      },
      drop: (id: string) => void dropped.push(id),
      helloOf: () => null,
    },
    fleet: {
      redis: { hget: async () => '3', smembers: async () => [], sdiff: async () => [] },
      nodes: {
        ids: () =>
          new Promise((resolve) => {
            const before = looks;
            looks = () => {
              before();
              resolve([]);
            };
          }),
        getMany: async (ids: string[]) => ids.map((id) => ({ id, observed: { bootId: boots.now } })),
      },
    } as unknown as Fleet,
    times: { active, fleet: 60_000 },
    signal: stop.signal,
    tell: (event) => void told.push(event),
    versionOf: (config) => config,
    refuses: () => {},
    joiners: async () => [],
    remind: async () => false,
  });
  const fail = (error: Error) => {
    for (const reject of failing.splice(0)) reject(error);
  };
  return { watch, rollout, asked, patience, dropped, boots, told, seen, fail };
}

test('whoever takes a rollout over asks at once how those are that may have restarted', (t) => {
  const { watch, rollout, asked } = watchOver(300, 'activating', 60_000);
  watch.look(rollout);
  t.is(new Set(asked).size, 300);
  watch.look(rollout);
  t.is(asked.length, 300);
});

test('nodes that were just told to stage are not asked in the same breath, unless there is news of them', (t) => {
  const { watch, rollout, asked } = watchOver(300, 'staging', 60_000);
  watch.look(rollout);
  t.deepEqual(asked, []);
  watch.soon('n00007');
  watch.look(rollout);
  t.deepEqual(asked, ['n00007']);
});

test('their own turns come all the same', async (t) => {
  const { watch, rollout, asked } = watchOver(200, 'staging', 100);
  while (asked.length < 200) {
    watch.look(rollout);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  t.is(new Set(asked).size, 200);
});

test('nodes that only have the file wait for hours, and are asked no more often than those that have none', async (t) => {
  const { watch, rollout, asked, fail, seen } = watchOver(2, 'staged', 10);
  const [waits, restarts] = [...rollout.nodes.values()] as [NodeStep, NodeStep];
  restarts.slot = true;
  restarts.state = 'activating';
  for (let i = 0; i < 20; i += 1) {
    watch.look(rollout);
    seen();
    fail(new Error('away'));
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
  const times = (id: string) => asked.filter((one) => one === id).length;
  t.is(times(waits.node), 1);
  t.true(times(restarts.node) > 5, `${times(restarts.node)}`);
});

test('a machine that is too busy to answer in time has longer the next time, and no other has', async (t) => {
  const { watch, rollout, patience, fail } = watchOver(1, 'activating', 1);
  const silent = new BootwaveError({ code: 'LINK_TIMEOUT', what: 'no answer' });
  for (const [i, error] of [silent, new Error('away'), silent, silent, silent, silent].entries()) {
    while (patience.length <= i) {
      watch.look(rollout);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    fail(error);
  }
  t.deepEqual(patience, [10_000, 20_000, 20_000, 40_000, 80_000, 80_000]);
});

test('a handshake with a new boot is not thrown away because the node tells of that boot again', async (t) => {
  const { watch, rollout, asked, dropped, boots, fail } = watchOver(1, 'activating', 60_000);
  const [id = ''] = rollout.active;
  watch.look(rollout);
  // It enrols: the connection that looks open leads to the boot before.
  await watch.returned([id]);
  t.deepEqual([asked, dropped], [[id], [id]]);
  // All of it runs; the question to it is still on its way.
  await watch.returned([id]);
  t.is(dropped.length, 1);
  // Too early it was refused: the backoff of that attempt must not hold up the next one.
  fail(new Error('refused'));
  await new Promise(setImmediate);
  await watch.returned([id]);
  t.is(dropped.length, 2);
  watch.look(rollout);
  boots.now = 'second';
  await watch.returned([id]);
  t.deepEqual([asked.length, dropped.length], [2, 3], 'another boot, another connection');
});

test('what a look found that was out of date before it ended is not told; the next one is', async (t) => {
  const { watch, rollout, told, seen } = watchOver(4, 'done', 60_000);
  const around = () => told.filter(({ type }) => type === 'around');
  const look = async () => {
    watch.look(rollout);
    const before = performance.now();
    while (performance.now() - before < 50) {
      seen();
      await new Promise(setImmediate);
    }
  };
  watch.look(rollout);
  watch.again();
  await look();
  t.deepEqual(around(), []);
  await look();
  t.like(around(), [{ fence: 3, down: [], others: { site: {} } }]);
  await look();
  t.is(around().length, 1, 'it is not time yet');
  watch.again();
  await look();
  t.is(around().length, 2);
});

test('of those that wait with their file a few are asked, and who has restarted since', async (t) => {
  const { watch, rollout, asked, boots, seen } = watchOver(300, 'staged', 60_000);
  for (const step of rollout.nodes.values()) {
    step.bootId = 'first';
    rollout.active.add(step.node);
  }
  const looked = async () => {
    seen();
    for (let i = 0; i < 50; i += 1) await new Promise(setImmediate);
    watch.look(rollout);
  };
  watch.look(rollout);
  t.is(asked.length, 0);
  await looked();
  t.is(asked.length, NEXT);
  const first = [...asked];
  t.deepEqual(first.toSorted(), rollout.order[0]!.slice(0, NEXT).toSorted(), 'those whose turn is next');
  boots.now = 'second';
  for (let i = 0; i < 2; i += 1) {
    watch.again();
    watch.look(rollout);
    await looked();
  }
  t.is(new Set(asked).size, 300, 'each has enrolled in another boot');
  t.is(asked.length, 300);
  // After a failover only its own word shows what a node is.
  const other = watchOver(300, 'staged', 60_000);
  other.rollout.rollout.term = 1;
  other.watch.look(other.rollout);
  t.is(new Set(other.asked).size, 300);
});
