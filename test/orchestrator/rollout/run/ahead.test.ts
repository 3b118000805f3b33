/** Files ahead of the window, on the real wire. */
import test from 'ava';
import { operate } from '../../../../orchestrator/rollout/run/operate.ts';
import { benchFor, hasEnded } from './support.ts';

/** The hour from now on plus `hours`, every day. */
function hourFrom(hours: number) {
  const [from, to] = [hours, hours + 1].map((more) =>
    new Date(Date.now() + more * 3_600_000).toISOString().slice(11, 16),
  );
  return [{ zone: 'UTC', from, to }];
}

test.serial(
  'outside the window all get the file and none restarts; a rollback takes the files off again',
  async (t) => {
    const bench = await benchFor(t, { count: 6 });
    bench.orchestrator();
    const id = await bench.start({
      staging: 'ahead',
      windows: hourFrom(3),
      waves: [{ name: 'canary', take: 1, windows: [] }, { take: 'rest' }],
      limits: { whole: 2, site: '100%', rack: 50 },
      rollback: { limits: { whole: 1 } },
    });
    const staged = await bench.until(id, ({ waves }) => waves[1]?.counts.staged === 5);
    t.is(staged.waves[0]?.counts.done, 1);
    t.is(staged.rollout.inFlight.whole, 0);
    t.is(bench.nodes.filter(({ running }) => running === '2.0').length, 1, 'the canary alone');
    t.is(bench.nodes.filter(({ deeds }) => deeds.some(({ what }) => what === 'wrote')).length, 6);

    await operate(bench.redis, id, { type: 'rollback', by: 'operator:ann', why: 'second thoughts' });
    const end = await bench.until(id, hasEnded);
    t.is(end.rollout.state, 'aborted', end.rollout.why);
    t.is([...end.nodes.values()].filter(({ state }) => state === 'taken-back').length, 6);
    t.true(bench.nodes.every(({ running }) => running === '1.0'));
    const restarts = bench.nodes.map(({ deeds }) => deeds.filter(({ what }) => what === 'booted').length);
    t.deepEqual(restarts.filter((times) => times > 1).length, 1, 'nobody else has restarted');
  },
);
