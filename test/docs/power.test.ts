import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { pageAt, REPOSITORY } from './pages.ts';

const codesIn = (text: string, mark: string): string[] =>
  [...text.matchAll(new RegExp(`${mark}((?:BMC|POWER)_[A-Z_]+)${mark}`, 'g'))].map(([, code]) => code!);

test('the table of docs/power.md has each code of BMCs and of power, and no other', async (t) => {
  const [, section = ''] = (await pageAt('docs/power.md')).text.split('## When it fails\n');
  const rows = section
    .split('\n## ')[0]!
    .split('\n')
    .filter((line) => line.startsWith('|'));
  const told = rows.flatMap((row) => codesIn(row.split('|')[1]!, '`'));
  const thrown: string[] = [];
  for await (const file of glob('{orchestrator,cli,keys,base}/**/*.ts', { cwd: REPOSITORY }))
    thrown.push(...codesIn(await readFile(join(REPOSITORY, file), 'utf8'), "'"));
  t.deepEqual(told.toSorted(), [...new Set(thrown)].sort());
});
