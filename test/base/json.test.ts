import test from 'ava';
import fc from 'fast-check';
import { defined } from '../../base/defined.ts';
import { isObject, jsonIn } from '../../base/json.ts';

test('any value that can be written as JSON is read back, and any other text is undefined', (t) => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) =>
      t.deepEqual(jsonIn(JSON.stringify(value)), JSON.parse(JSON.stringify(value))),
    ),
  );
  fc.assert(fc.property(fc.jsonValue(), (value) => t.is(jsonIn(`${JSON.stringify(value)} ,`), undefined)));
  t.is(jsonIn(''), undefined);
});

test('an object is neither a list nor null', (t) => {
  t.deepEqual([{}, { a: 1 }, [], null, 'x', 1, undefined].map(isObject), [
    true,
    true,
    false,
    false,
    false,
    false,
    false,
  ]);
});

test('a field that is undefined is absent; every other value stays, also an empty one', (t) => {
  const fields = defined({ a: undefined, b: null, c: '', d: 0, e: false });
  t.deepEqual(Object.keys(fields), ['b', 'c', 'd', 'e']);
  t.deepEqual(fields, { b: null, c: '', d: 0, e: false });
});
