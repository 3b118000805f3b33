/** Prints the test files that failed titles on standard input belong to: ava puts a file's path before its titles. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const titles = readFileSync(0, 'utf8').split('\n');
const files = globSync('**/*.test.ts', { cwd: import.meta.dirname });
for (const file of files) {
  const prefix = `${file.replace(/\.test\.ts$/, '').replaceAll('/', ' › ')} › `;
  if (titles.some((title) => title.startsWith(prefix))) console.log(join('test', file));
}
