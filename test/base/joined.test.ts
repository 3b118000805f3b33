import test from 'ava';
import { Joined } from '../../base/joined.ts';

test('who comes while a look waits shares it; who comes while one runs gets another, which begins after it', async (t) => {
  let now = 'old';
  let looks = 0;
  const open: (() => void)[] = [];
  const joined = new Joined(async () => {
    looks += 1;
    const seen = now;
    await new Promise<void>((go) => open.push(go));
    return seen;
  });
  const first = [joined.ask(), joined.ask()];
  await new Promise(setImmediate);
  now = 'new';
  const later = [joined.ask(), joined.ask()];
  open.shift()!();
  t.deepEqual(await Promise.all(first), ['old', 'old']);
  await new Promise(setImmediate);
  open.shift()!();
  t.deepEqual(await Promise.all(later), ['new', 'new']);
  t.is(looks, 2);
});

test('one that fails fails for those who shared it, and for nobody after', async (t) => {
  let fails = true;
  const joined = new Joined(async () => {
    if (fails) throw new Error('no');
    return 1;
  });
  await t.throwsAsync(joined.ask(), { message: 'no' });
  fails = false;
  t.is(await joined.ask(), 1);
});
