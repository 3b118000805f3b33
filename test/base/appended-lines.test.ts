import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { appendLine } from '../../base/append-line.ts';
import { AppendedLines } from '../../base/appended-lines.ts';

async function fileFor(t: ExecutionContext, options = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'bw-appended-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'log.jsonl');
  const file = new AppendedLines(path, options);
  const read = async () => {
    const seen: (string | boolean)[] = [];
    await file.read((lines, isWhole) => seen.push(isWhole, ...lines.map(({ line }) => line)));
    return seen;
  };
  return { path, file, read };
}

test('each line once; nothing new is not read', async (t) => {
  const { path, read } = await fileFor(t);
  t.deepEqual(await read(), [true], 'there is no file');
  await appendLine(path, '1');
  t.deepEqual(await read(), [true, '1']);
  t.deepEqual(await read(), []);
  await appendLine(path, '2');
  await appendFile(path, '3');
  t.deepEqual(await read(), [false, '2'], 'a line without an end is not there yet');
  await appendFile(path, '\n');
  t.deepEqual(await read(), [false, '3']);
});

test('what its reader refuses comes again', async (t) => {
  const { path, file, read } = await fileFor(t);
  await appendLine(path, '1');
  await read();
  await appendLine(path, '2');
  const refuse = () =>
    file.read(() => {
      throw new Error('no');
    });
  await t.throwsAsync(refuse, { message: 'no' });
  await t.throwsAsync(refuse, { message: 'no' });
  await appendLine(path, '3');
  t.deepEqual(await read(), [false, '2', '3']);
});

test('a copy of another state written into the same file is all new, whatever its length', async (t) => {
  const { path, read } = await fileFor(t);
  await writeFile(path, '10\n20\n30\n');
  await read();
  for (const text of ['11\n21\n31\n', '10\n', '12\n21\n31\n41\n', '']) {
    await writeFile(path, text);
    t.deepEqual(await read(), [true, ...text.split('\n').slice(0, -1)], text);
  }
});

test('who keeps what was read is told of a shorter or another file, not of what is written over it', async (t) => {
  const { path, read } = await fileFor(t, { keeps: true });
  await writeFile(path, '10\n20\n');
  await read();
  await writeFile(path, '1x\n2x\n30\n');
  t.deepEqual(await read(), [false, '30']);
  await writeFile(path, '1y\n');
  t.deepEqual(await read(), [true, '1y']);
  await rm(path);
  t.deepEqual(await read(), [true]);
});
