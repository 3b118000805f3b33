import test from 'ava';
import { Probation } from '../../../../image/agent/member/probation.ts';
import type { Release } from '../../../../image/agent/member/release/handlers.ts';
import { TRIAL } from '../../../../image/agent/member/trial.ts';
import { UNKNOWN, type Vitals } from '../../../../image/agent/member/vitals.ts';

/** A node that was just refused, and what is done about it. */
async function setUp(more: { vitals?: Vitals; onTrial?: boolean; broken?: readonly string[] } = {}) {
  const done: string[] = [];
  const failed: string[] = [];
  const slow = { words: Promise.resolve() };
  const act = (what: string) => {
    done.push(what);
    if (more.broken?.includes(what)) throw new Error('broken');
  };
  const image = {
    afterBoot: async () => more.onTrial ?? true,
    async unhealthy() {
      await slow.words;
      act('unhealthy');
    },
    async refused() {
      act('refused');
      return { bad: 'bootwave_2+0-1.efi', reason: '' };
    },
  };
  const release = { image, state: 'idle', restart: async () => act('restart') };
  const probation = new Probation({
    release: release as unknown as Release,
    vitals: () => more.vitals ?? { ...UNKNOWN, barred: 'PCR 11 is wrong' },
    reachable: async () => true,
    reached: () => {},
    attempt: async (what, work) => {
      await work().catch(() => failed.push(what));
    },
    log: { info: () => {}, warn: () => {} },
    uptime: () => TRIAL.toBecomeHealthy,
    well: 0,
  });
  await probation.find();
  return { probation, done, failed, slow };
}

test('an image on trial that the fleet refuses is left at the first look: its reason is kept, its tries go, then it restarts', async (t) => {
  const { probation, done } = await setUp();
  await probation.look();
  t.deepEqual(done, ['unhealthy', 'refused', 'restart']);
});

test('whatever fails of it, the machine restarts', async (t) => {
  const { probation, done, failed } = await setUp({ broken: ['unhealthy', 'refused'] });
  await probation.look();
  t.deepEqual(done, ['unhealthy', 'refused', 'restart']);
  t.deepEqual(failed, ['its last words were not kept', 'its tries were not taken off it']);
});

test('a restart that failed is tried again', async (t) => {
  const { probation, done } = await setUp({ broken: ['restart'] });
  await probation.look();
  await probation.look();
  t.is(done.filter((what) => what === 'restart').length, 2);
});

test('a good image that is refused is not touched, and one that is only ill keeps its other tries', async (t) => {
  const good = await setUp({ onTrial: false });
  await good.probation.look();
  t.deepEqual(good.done, []);
  const ill = await setUp({ vitals: { ...UNKNOWN, failedUnits: ['broken.service'] } });
  await ill.probation.look();
  t.deepEqual(ill.done, ['unhealthy', 'restart']);
});

test('a slow disk is told once, however often is looked meanwhile', async (t) => {
  const { probation, done, slow } = await setUp();
  const { promise, resolve } = Promise.withResolvers<void>();
  slow.words = promise;
  const first = probation.look();
  await probation.look();
  resolve();
  await first;
  t.deepEqual(done, ['unhealthy', 'refused', 'restart']);
});
