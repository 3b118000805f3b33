import test from 'ava';
import { Complaints } from '../../../../image/agent/member/complaints.ts';

test('the same reason is logged once, another one at once, and the same one again after it has worked', async (t) => {
  const logged: unknown[] = [];
  const complaints = new Complaints({
    info: () => {},
    warn: (fields, text) => logged.push([text, fields]),
  });
  const fails = (what: string, reason: string) =>
    complaints.attempt(what, () => Promise.reject(new Error(reason)));
  await fails('a', 'full');
  await fails('a', 'full');
  await fails('b', 'full');
  await fails('a', 'gone');
  await complaints.attempt('a', async () => {});
  await fails('a', 'gone');
  t.deepEqual(logged, [
    ['a', { reason: 'full' }],
    ['b', { reason: 'full' }],
    ['a', { reason: 'gone' }],
    ['a', { reason: 'gone' }],
  ]);
});
