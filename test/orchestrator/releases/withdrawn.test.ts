/** Images that a rollout took back, or that a node failed on, are not given to new hardware. */
import test from 'ava';
import type { BootwaveError } from '../../../base/error.ts';
import type { Faults } from '../../../lab/sim/fault.ts';
import { defaultImage } from '../../../orchestrator/releases/default-image.ts';
import { setFloor } from '../../../orchestrator/releases/floor.ts';
import { readWithdrawn, reinstate, withdraw } from '../../../orchestrator/releases/withdrawn.ts';
import { advance } from '../../../orchestrator/rollout/engine.ts';
import { operate } from '../../../orchestrator/rollout/run/operate.ts';
import { readState } from '../../../orchestrator/rollout/run/stored.ts';
import { writeStep } from '../../../orchestrator/rollout/run/write.ts';
import { membersFor } from '../rollout/run/members.ts';
import { benchFor, hasEnded, IMAGES } from '../rollout/run/support.ts';

const ANN = { actor: 'operator:ann', at: 9 };
const store = (...versions: string[]) => ({
  list: async () => versions.map((version) => ({ version, revokes: [] }) as never),
});

/** A fleet that is older than releases. */
const anything = { images: async () => null };
const byAnybody = async () => true;

test('an image that is published and not released is given to nobody', async (t) => {
  const { redis } = await membersFor(t);
  const only = (...versions: string[]) => ({
    images: async () => new Map(versions.map((version) => [version, {} as never])),
  });
  t.is(await defaultImage(store('3.0', '2.0'), redis, only('2.0', '1.0'), byAnybody), '2.0');
  t.is(await defaultImage(store('3.0', '2.0'), redis, only(), byAnybody), null);
});

test('an image that another published one revokes at the firmware is given to nobody', async (t) => {
  const { redis } = await membersFor(t);
  const list = async () => [
    { version: '2.0', revokes: [] } as never,
    { version: '1.0', revokes: [] } as never,
    { version: '0.9', revokes: ['2.0', '0.8'] } as never,
  ];
  t.is(await defaultImage({ list }, redis, anything, byAnybody), '1.0');
});

test('who says in Redis that newer images are withdrawn has none given out that nobody decided', async (t) => {
  const { redis } = await membersFor(t);
  const images = store('4.0', '3.0', '2.0');
  // The newest by what is on the disk, and one that a rollout has brought.
  const decided = async (version: string) => ['4.0', '2.0'].includes(version);
  t.is(await defaultImage(images, redis, anything, decided), '4.0');
  await withdraw(redis, '4.0', 'it hangs', ANN);
  t.is(await defaultImage(images, redis, anything, decided), '2.0');
  await withdraw(redis, '2.0', 'as well', ANN);
  t.is(await defaultImage(images, redis, anything, decided), null);
});

test('new hardware gets the newest image that is not withdrawn, and nothing when all are', async (t) => {
  const { redis } = await membersFor(t);
  const images = store('3.0', '2.0');
  t.is(await defaultImage(images, redis, anything, byAnybody), '3.0');
  t.true(await withdraw(redis, '3.0', `it hangs ${'\ud83d'}`, ANN));
  t.false(await withdraw(redis, '3.0', 'again', ANN));
  t.is(await defaultImage(images, redis, anything, byAnybody), '2.0');
  await setFloor(redis, '3.0', ANN, { published: ['2.0', '3.0'], lower: false });
  t.is(await defaultImage(images, redis, anything, byAnybody), null, 'the one before is below the floor');
  await setFloor(redis, null, ANN, { published: ['2.0', '3.0'], lower: true });
  await withdraw(redis, '2.0', 'as well', ANN);
  t.is(await defaultImage(images, redis, anything, byAnybody), null);
  t.regex(await reinstate(redis, '3.0', ANN), /^it hangs/, 'the first reason stays');
  t.is(await defaultImage(images, redis, anything, byAnybody), '3.0');
  const error = await t.throwsAsync(reinstate(redis, '3.0', ANN));
  t.is((error as BootwaveError).code, 'IMAGE_NOT_WITHDRAWN');
  t.is(await defaultImage(store(), redis, anything, byAnybody), null);
});

test('a rollout that is taken back withdraws its image in the same step; one that reaches everybody gives it back', async (t) => {
  const { redis, fleet, member, start } = await membersFor(t);
  await member(1);
  const id = await start({});
  t.deepEqual(await readWithdrawn(redis), {});
  await operate(redis, id, { type: 'rollback', by: ANN.actor, why: 'it smells' });
  t.is((await readState(redis, id)).rollout.state, 'rolling-back');
  t.deepEqual(await readWithdrawn(redis), { '2.0': `taken back by ${id}: it smells` });
  const said = (await fleet.audit.read()).filter(({ action }) => action === 'withdraw');
  t.is(said.length, 1);

  // Another one brings it to every node after all.
  const state = await readState(redis, id);
  const step = advance(state, { at: 9, elapsed: 0, events: [] });
  const rollout = { ...state.rollout, rev: state.rollout.rev + 1, spent: null };
  t.is(
    (await writeStep(redis, state, { ...step, rollout: { ...rollout, state: 'partial' } }, IMAGES, 9)).result,
    'done',
  );
  t.is(Object.keys(await readWithdrawn(redis)).length, 1, 'reaching some is not enough');
  const partial = await readState(redis, id);
  const done = { ...rollout, rev: rollout.rev + 1, state: 'done' as const };
  t.is((await writeStep(redis, partial, { ...step, rollout: done }, IMAGES, 9)).result, 'done');
  t.deepEqual(await readWithdrawn(redis), {});
});

test('a step that loses against another one says nothing of its image', async (t) => {
  const { redis, member, start } = await membersFor(t);
  await member(1);
  const id = await start({});
  const state = await readState(redis, id);
  const events = [{ type: 'rollback', by: ANN.actor, why: '' } as const];
  const step = advance(state, { at: 9, elapsed: 0, events });
  await operate(redis, id, { type: 'pause', by: ANN.actor, why: '' });
  t.is((await writeStep(redis, state, step, IMAGES, 9)).result, 'conflict');
  t.deepEqual(await readWithdrawn(redis), {});
});

test.serial(
  'on the wire: a budget that is spent and nodes that refuse both withdraw the image',
  async (t) => {
    const faults: Faults = (node, version) => {
      if (version === '2.0') return 'unhealthy';
      return version === '3.0' && node < 2 ? 'panic' : null;
    };
    const bench = await benchFor(t, { count: 3, faults });
    bench.orchestrator();
    const failed = await bench.until(await bench.start({ waves: [{ take: 1 }, { take: 'rest' }] }), hasEnded);
    t.is(failed.rollout.state, 'failed', failed.rollout.why);
    t.regex((await readWithdrawn(bench.redis))['2.0'] ?? '', /1 failed in wave 1, 0 tolerated/);
    t.is(await defaultImage(store('2.0', '1.0'), bench.redis, anything, byAnybody), '1.0');

    const id = await bench.start({ image: '3.0', waves: [{}], budget: { wave: 2, whole: 2 } });
    const partial = await bench.until(id, hasEnded);
    t.is(partial.rollout.state, 'partial', partial.rollout.why);
    t.regex((await readWithdrawn(bench.redis))['3.0'] ?? '', /2 nodes refuse it: panicked/);
  },
);
