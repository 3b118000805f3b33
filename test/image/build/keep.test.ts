import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { REPOSITORY } from '../../../image/build/cache.ts';
import { PROGRAM_PREFIXES, PROGRAMS } from '../../../image/build/keep.ts';

/** `run('name', ...)` and whatever ends in it: how the agent starts a program. */
const STARTED = /\b(?:run|mustRun|must|runner)\(\s*'([a-z][\w.-]*)'/gi;

test('every program that the agent starts is in the image', async (t) => {
  const folder = join(REPOSITORY, 'image/agent');
  const files = (await readdir(folder, { recursive: true })).filter(
    // What stands in a build.ts is compiled by whoever builds.
    (name) => name.endsWith('.ts') && !name.endsWith('/build.ts'),
  );
  const started = new Map<string, string>();
  for (const name of files)
    for (const [, program] of (await readFile(join(folder, name), 'utf8')).matchAll(STARTED))
      started.set(program!, name);
  t.true(started.size > 15, [...started.keys()].join(' '));
  const isThere = (name: string) =>
    PROGRAMS.has(name) || PROGRAM_PREFIXES.some((start) => name.startsWith(start));
  t.deepEqual(
    [...started].filter(([name]) => !isThere(name)),
    [],
  );
});
