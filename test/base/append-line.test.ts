import { mkdtemp, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { appendLine, readLines } from '../../base/append-line.ts';

async function file(t: ExecutionContext) {
  const folder = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'deeper', 'words.jsonl');
  const lines = async () => (await readLines(path)).map(({ line }) => line);
  const cut = async (bytes: number) => truncate(path, (await stat(path)).size - bytes);
  return { path, lines, cut };
}

test('what was appended is read; what a crash cut short is not, whoever appends after it', async (t) => {
  const { path, lines, cut } = await file(t);
  t.deepEqual(await lines(), []);
  await appendLine(path, '{"n":1}');
  await appendLine(path, '{"n":2,"of":{"m":1}}');
  const { size } = await stat(path);
  for (const bytes of [1, 2, 3, 8, 15]) {
    await cut(bytes);
    t.deepEqual(await lines(), ['{"n":1}'], `${bytes} bytes less`);
    await appendLine(path, '{"n":3}');
    t.deepEqual(
      await lines(),
      bytes === 1 ? ['{"n":1}', '{"n":2,"of":{"m":1}}', '{"n":3}'] : ['{"n":1}', '{"n":3}'],
    );
    await truncate(path, 0);
    await appendLine(path, '{"n":1}');
    await appendLine(path, '{"n":2,"of":{"m":1}}');
    t.is((await stat(path)).size, size);
  }
});

test('a line that lost its end after it was acknowledged is not taken for one that never was', async (t) => {
  const { path } = await file(t);
  await appendLine(path, '{"n":1}');
  await writeFile(path, '\n{"n":1}\n\n{"n":\n\n{"n":3}\n');
  await appendLine(path, '{"n":4}');
  t.deepEqual(await readLines(path), [
    { number: 2, line: '{"n":1}' },
    { number: 4, line: '{"n":' },
    { number: 6, line: '{"n":3}' },
    { number: 8, line: '{"n":4}' },
  ]);
});
