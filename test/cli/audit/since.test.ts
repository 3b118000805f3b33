import test from 'ava';
import { since, until } from '../../../cli/option.ts';

test('an age longer than all of time begins at the epoch', (t) => {
  t.is(since('9999999999999999d'), 0);
  t.is(since('1900-01-01'), 0);
  t.true(since('1h') > 0);
  t.throws(() => since('1w'));
});

test.serial('a date is UTC as all that is shown, wherever the command is typed', (t) => {
  const { TZ } = process.env;
  t.teardown(() => {
    process.env.TZ = TZ ?? '';
  });
  process.env.TZ = 'Europe/Berlin';
  t.not(Date.parse('2026-03-10T12:00'), Date.parse('2026-03-10T12:00Z'), 'it is another zone');
  for (const read of [since, until]) {
    t.is(read('2026-03-10T12:00'), Date.UTC(2026, 2, 10, 12));
    t.is(read('2026-03-10 12:00:30'), Date.UTC(2026, 2, 10, 12, 0, 30));
    t.is(read('2026-03-10T12:00+01:00'), Date.UTC(2026, 2, 10, 11));
    t.is(read('2026-03-10'), Date.UTC(2026, 2, 10));
  }
});
