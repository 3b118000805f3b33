import test from 'ava';
import fc from 'fast-check';
import { type ConditionHeaders, judge, type Verdict } from '../../../bootserver/http/conditions.ts';

const file = { etag: '"abc"', modified: Date.UTC(2026, 0, 2, 3, 4, 5, 678), size: 1000 };
const NOW = file.modified + 60_000;
const date = new Date(file.modified).toUTCString();
const earlier = new Date(file.modified - 5000).toUTCString();
const later = new Date(file.modified + 5000).toUTCString();
const ahead = new Date(NOW + 5000).toUTCString();
const part = (start: number, end: number): Verdict => ({ status: 206, start, end });

const cases: [title: string, ConditionHeaders, Verdict][] = [
  ['no headers', {}, { status: 200 }],
  ['first bytes', { range: 'bytes=0-99' }, part(0, 100)],
  ['one byte', { range: 'bytes=999-999' }, part(999, 1000)],
  ['to the end', { range: 'bytes=900-' }, part(900, 1000)],
  ['beyond the end is cut', { range: 'bytes=900-5000' }, part(900, 1000)],
  ['last bytes', { range: 'bytes=-100' }, part(900, 1000)],
  ['more last bytes than there are', { range: 'bytes=-5000' }, part(0, 1000)],
  ['unit without regard to case', { range: 'Bytes=0-0' }, part(0, 1)],
  ['starts at the end', { range: 'bytes=1000-' }, { status: 416 }],
  ['no last bytes', { range: 'bytes=-0' }, { status: 416 }],
  ['backwards is bad syntax', { range: 'bytes=5-4' }, { status: 200 }],
  ['several ranges', { range: 'bytes=0-1,5-6' }, { status: 200 }],
  ['another unit', { range: 'lines=0-1' }, { status: 200 }],
  ['no numbers', { range: 'bytes=-' }, { status: 200 }],
  ['not a number', { range: 'bytes=a-b' }, { status: 200 }],
  ['if-range, same tag', { range: 'bytes=5-', 'if-range': '"abc"' }, part(5, 1000)],
  ['if-range, weak tag never matches', { range: 'bytes=5-', 'if-range': 'W/"abc"' }, { status: 200 }],
  ['if-range, another tag', { range: 'bytes=5-', 'if-range': '"abd"' }, { status: 200 }],
  ['if-range, same date', { range: 'bytes=5-', 'if-range': date }, part(5, 1000)],
  ['if-range, later date is not the same', { range: 'bytes=5-', 'if-range': later }, { status: 200 }],
  ['if-range, nonsense', { range: 'bytes=5-', 'if-range': 'soon' }, { status: 200 }],
  ['if-none-match, same', { 'if-none-match': '"abc"' }, { status: 304 }],
  ['if-none-match, weak form of it', { 'if-none-match': '"x", W/"abc"' }, { status: 304 }],
  ['if-none-match, any', { 'if-none-match': '*' }, { status: 304 }],
  ['if-none-match, another', { 'if-none-match': '"x"' }, { status: 200 }],
  [
    'if-none-match wins over the date',
    { 'if-none-match': '"x"', 'if-modified-since': later },
    { status: 200 },
  ],
  ['if-modified-since, same second', { 'if-modified-since': date }, { status: 304 }],
  ['if-modified-since, earlier', { 'if-modified-since': earlier }, { status: 200 }],
  ['if-modified-since, later than the file', { 'if-modified-since': later }, { status: 304 }],
  ['if-modified-since, in the future', { 'if-modified-since': ahead }, { status: 200 }],
  ['if-modified-since, no HTTP-date', { 'if-modified-since': '2026-01-02T03:05:00Z' }, { status: 200 }],
  [
    'if-modified-since, as RFC 850',
    { 'if-modified-since': 'Friday, 02-Jan-26 03:04:05 GMT' },
    { status: 304 },
  ],
  ['if-modified-since, as asctime', { 'if-modified-since': 'Fri Jan  2 03:04:05 2026' }, { status: 304 }],
  ['if-unmodified-since, in the future', { 'if-unmodified-since': ahead }, { status: 200 }],
  ['if-unmodified-since, no HTTP-date', { 'if-unmodified-since': '2020-01-01' }, { status: 200 }],
  ['if-modified-since, nonsense', { 'if-modified-since': 'yesterday' }, { status: 200 }],
  ['if-match, same', { 'if-match': '"abc"' }, { status: 200 }],
  ['if-match, weak', { 'if-match': 'W/"abc"' }, { status: 412 }],
  ['if-match, another', { 'if-match': '"x"' }, { status: 412 }],
  ['if-unmodified-since, same', { 'if-unmodified-since': date }, { status: 200 }],
  ['if-unmodified-since, earlier', { 'if-unmodified-since': earlier }, { status: 412 }],
  [
    'a failed precondition comes before the range',
    { 'if-match': '"x"', range: 'bytes=0-1' },
    { status: 412 },
  ],
  ['not modified comes before the range', { 'if-none-match': '"abc"', range: 'bytes=0-1' }, { status: 304 }],
];

test('preconditions and ranges of RFC 9110', (t) => {
  for (const [title, headers, expected] of cases)
    t.deepEqual(judge('GET', headers, file, NOW), expected, title);
});

test('a date is no validator for a file that may have changed within its second', (t) => {
  const headers = { range: 'bytes=5-', 'if-range': date };
  t.deepEqual(judge('GET', headers, file, file.modified + 300), { status: 200 });
  t.deepEqual(judge('GET', headers, file, file.modified + 1000), part(5, 1000));
});

test('HEAD has no ranges', (t) => {
  t.deepEqual(judge('HEAD', { range: 'bytes=0-1' }, file, NOW), { status: 200 });
  t.deepEqual(judge('HEAD', { 'if-none-match': '"abc"' }, file, NOW), { status: 304 });
});

test('of an empty file every range is unsatisfiable', (t) => {
  for (const range of ['bytes=0-', 'bytes=0-0', 'bytes=-1']) {
    t.deepEqual(judge('GET', { range }, { ...file, size: 0 }, NOW), { status: 416 }, range);
  }
});

test('whatever the headers say, a partial answer is a piece of the file', (t) => {
  const text = fc.oneof(
    fc.string(),
    fc.constantFrom('"abc"', 'W/"abc"', '*', date, later),
    fc.tuple(fc.nat(2000), fc.constantFrom('-'), fc.nat(2000)).map(([a, dash, b]) => `bytes=${a}${dash}${b}`),
    fc.stringMatching(/^bytes=[0-9]{0,20}-[0-9]{0,20}$/),
  );
  const headers = fc.record(
    { range: text, 'if-range': text, 'if-match': text, 'if-none-match': text, 'if-modified-since': text },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(headers, fc.nat(3000), (given, size) => {
      const verdict = judge('GET', given, { ...file, size }, NOW);
      if (verdict.status !== 206) return;
      t.true(verdict.start >= 0 && verdict.start < verdict.end && verdict.end <= size);
    }),
    { numRuns: 2000 },
  );
});
