import test from 'ava';
import { since } from '../../../cli/option.ts';

test('an age longer than all of time begins at the epoch', (t) => {
  t.is(since('9999999999999999d'), 0);
  t.is(since('1900-01-01'), 0);
  t.true(since('1h') > 0);
  t.throws(() => since('1w'));
});
