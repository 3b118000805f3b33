import test from 'ava';
import fc from 'fast-check';
import { matchesPattern } from '../../../keys/release/path-pattern.ts';

/** The definition, without regard for time. */
function fits(path: string, pattern: string): boolean {
  if (pattern === '') return path === '';
  const rest = pattern.slice(1);
  if (pattern[0] === '*')
    return fits(path, rest) || (path !== '' && path[0] !== '/' && fits(path.slice(1), pattern));
  if (path === '' || (pattern[0] !== path[0] && (pattern[0] !== '?' || path[0] === '/'))) return false;
  return fits(path.slice(1), rest);
}

test('patterns fit what their definition says', (t) => {
  const text = (characters: string, maxLength: number) =>
    fc.string({ unit: fc.constantFrom(...characters), maxLength });
  fc.assert(
    fc.property(text('ab/*?', 8), text('ab/*?', 6), (path, pattern) => {
      return matchesPattern(path, pattern) === fits(path, pattern);
    }),
    { numRuns: 5000 },
  );
  t.pass();
});

test('a pattern that was made to take for ever does not', (t) => {
  const path = 'a'.repeat(5000);
  t.false(matchesPattern(path, `${'*a'.repeat(2000)}b`));
  t.true(matchesPattern(path, '*a'.repeat(2000)));
});
