/**
 * Prints the test files that failed titles on standard input belong to: ava puts a file's path before its titles. Nothing
 * when one belongs to none: a file that crashed has no title, and to run the others again would hide it.
 */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const titles = readFileSync(0, 'utf8')
  .split('\n')
  .filter((title) => title !== '');
const files = globSync('**/*.test.ts', { cwd: import.meta.dirname });
const found = new Set<string>();
let isEachKnown = true;
for (const title of titles) {
  const file = files.find((name) =>
    title.startsWith(`${name.replace(/\.test\.ts$/, '').replaceAll('/', ' › ')} › `),
  );
  if (file === undefined) isEachKnown = false;
  else found.add(join('test', file));
}
if (isEachKnown) for (const file of found) console.log(file);
