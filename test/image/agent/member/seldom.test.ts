import test from 'ava';
import { seldom } from '../../../../image/agent/member/seldom.ts';

test('asked again only when the answer has grown old, or was none', async (t) => {
  let time = 0;
  let asked = 0;
  let fails = true;
  const ask = seldom(
    100,
    async () => {
      asked += 1;
      if (fails) throw new Error('no');
      return asked;
    },
    () => time,
  );
  await t.throwsAsync(ask());
  fails = false;
  t.is(await ask(), 2);
  time = 99;
  t.is(await ask(), 2);
  time = 100;
  t.is(await ask(), 3);
});
