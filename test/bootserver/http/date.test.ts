import test from 'ava';
import fc from 'fast-check';
import { parseHttpDate } from '../../../bootserver/http/date.ts';

const NOW = Date.UTC(2026, 5, 1);

test('the three forms of RFC 9110 5.6.7 are one time', (t) => {
  const time = Date.UTC(1994, 10, 6, 8, 49, 37);
  for (const text of [
    'Sun, 06 Nov 1994 08:49:37 GMT',
    'Sunday, 06-Nov-94 08:49:37 GMT',
    'Sun Nov  6 08:49:37 1994',
  ])
    t.is(parseHttpDate(text, NOW), time, text);
});

test('a year of two digits lies 50 years ahead at most', (t) => {
  t.is(parseHttpDate('Monday, 01-Jan-76 00:00:00 GMT', NOW), Date.UTC(2076, 0, 1));
  t.is(parseHttpDate('Monday, 01-Jan-77 00:00:00 GMT', NOW), Date.UTC(1977, 0, 1));
});

test('other ways to write a date, and days that do not exist, are ignored', (t) => {
  for (const text of [
    '',
    'tomorrow',
    '2026-01-02',
    '0',
    'Sun, 06 Nov 1994 08:49:37',
    'Sun, 06 Nov 1994 08:49:37 +0100',
    'sun, 06 nov 1994 08:49:37 gmt',
    'Sun, 6 Nov 1994 08:49:37 GMT',
    'Sun, 31 Feb 1994 08:49:37 GMT',
    'Sun, 06 Nov 1994 24:00:00 GMT',
    'Sun, 06 Nov 1994 08:60:00 GMT',
    ' Sun, 06 Nov 1994 08:49:37 GMT',
    'Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT',
  ]) {
    t.is(parseHttpDate(text, NOW), undefined, text);
  }
});

test('reads what Date writes, and nothing makes it throw', (t) => {
  fc.assert(
    fc.property(fc.nat(4_000_000_000), (seconds) => {
      t.is(parseHttpDate(new Date(seconds * 1000).toUTCString(), NOW), seconds * 1000);
    }),
  );
  fc.assert(fc.property(fc.string(), (text) => parseHttpDate(text, NOW) === undefined));
});
