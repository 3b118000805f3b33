import { getEventListeners } from 'node:events';
import test from 'ava';
import { aborted, atMost, untilAborted, within } from '../../base/wait.ts';

const never = new Promise<never>(() => {});

test('what is done in time is handed on with its result or its error', async (t) => {
  t.is(await within(Promise.resolve(null), 60_000), null);
  t.is(await atMost(Promise.resolve(1), 60_000), 1);
  await t.throwsAsync(within(Promise.reject(new Error('refused')), 60_000), { message: 'refused' });
});

test('what is late is null, or an error that says what was missed', async (t) => {
  t.is(await atMost(never, 1), null);
  await t.throwsAsync(within(never, 1000 / 1000), { message: 'no answer within 0.001 s' });
  await t.throwsAsync(within(never, 2, 'no whole file'), { message: 'no whole file within 0.002 s' });
});

test('a signal ends a wait with its reason, before and while it waits, and leaves no listener behind', async (t) => {
  const reason = new Error('given up');
  await t.throwsAsync(untilAborted(never, AbortSignal.abort(reason)), { message: 'given up' });
  await aborted(AbortSignal.abort());
  const stop = new AbortController();
  const [wait, told] = [untilAborted(never, stop.signal), aborted(stop.signal)];
  t.is(await untilAborted(Promise.resolve('done'), stop.signal), 'done');
  await new Promise((resolve) => setImmediate(resolve));
  t.is(getEventListeners(stop.signal, 'abort').length, 2);
  stop.abort(reason);
  await t.throwsAsync(wait, { message: 'given up' });
  await told;
  t.pass();
});
