import { setImmediate as turn } from 'node:timers/promises';
import test from 'ava';
import { SmartWatch } from '../../../../image/agent/member/smart.ts';

test('root is asked once an hour; nobody waits, and an answer that does not come is none', async (t) => {
  const disk = { disk: 'sda', failing: null, why: 'it says nothing' };
  let [now, asked, broken] = [0, 0, false];
  const watch = new SmartWatch(
    async () => {
      asked += 1;
      if (broken) throw new Error('no root');
      return { disks: [disk] };
    },
    () => now,
  );
  t.is(watch.now(), undefined);
  await turn();
  t.deepEqual(watch.now(), [disk]);
  now = 3_599_000;
  watch.now();
  t.is(asked, 1);
  broken = true;
  now = 3_600_000;
  watch.now();
  await turn();
  t.is(watch.now(), undefined);
  t.is(asked, 2);
});
