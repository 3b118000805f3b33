import test from 'ava';
import { Turns } from '../../base/turns.ts';

test('work begins when what came before it has ended, also when that failed', async (t) => {
  const turns = new Turns();
  const seen: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = turns.take(async () => {
    seen.push('first begins');
    await gate.promise;
    seen.push('first ends');
    throw new Error('it failed');
  });
  const second = turns.take(async () => {
    seen.push('second');
    return 2;
  });
  await new Promise((resolve) => setImmediate(resolve));
  t.deepEqual(seen, ['first begins']);
  gate.resolve();
  await t.throwsAsync(first, { message: 'it failed' });
  t.is(await second, 2);
  t.deepEqual(seen, ['first begins', 'first ends', 'second']);
});
