import { appendFile, mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { dataPaths } from '../../../../base/paths.ts';
import { newestOf, type Seal, SealFile } from '../../../../orchestrator/fleet/audit/seals.ts';

test('the newest of years of seals is found: there may be one for each minute', (t) => {
  const seals = Array.from({ length: 1_000_000 }, (_, i) => ({ seq: (i * 7) % 1_000_003 }));
  t.is(newestOf({ seq: 0 }, seals).seq, 1_000_002);
  t.is(newestOf({ seq: 2_000_000 }, seals).seq, 2_000_000);
  t.is(newestOf({ seq: 3 }, []).seq, 3);
});

const sealed = (seq: number, more: Partial<Seal> = {}): Seal => ({
  ...{ seq, hash: seq.toString(16).padStart(64, '0'), key: `${seq}-0`, at: seq },
  ...more,
});
const lines = (...seals: Seal[]) => seals.map((seal) => `\n${JSON.stringify(seal)}\n`).join('');

async function fileFor(t: ExecutionContext) {
  const root = await mkdtemp(join(tmpdir(), 'bw-seals-'));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  const file = new SealFile(dataPaths(root));
  await mkdir(dirname(file.path), { recursive: true });
  /** What one that has read before says, and what one that reads all for the first time says: they must not differ. */
  const read = async () => {
    const known = await file.read();
    t.deepEqual(known, await new SealFile(dataPaths(root)).read());
    return { ...known, seals: known.seals.map(({ seq }) => seq) };
  };
  return { file, read, path: file.path };
}

test('whoever has read before sees what others append, and a line only when it is whole', async (t) => {
  const { file, read, path } = await fileFor(t);
  t.deepEqual((await read()).seals, []);
  await file.append(sealed(1));
  t.deepEqual((await read()).seals, [1]);
  await appendFile(path, lines(sealed(2)) + JSON.stringify(sealed(3)).slice(0, 20));
  t.deepEqual((await read()).seals, [1, 2]);
  // A crash cut it short; the next one closes it.
  await file.append(sealed(4));
  t.like(await read(), { seals: [1, 2, 4], unreadable: null });
  await appendFile(path, '\nnonsense\n');
  const { length } = (await readFile(path, 'utf8')).split('\n').slice(0, -1);
  t.is((await read()).unreadable, length);
  await file.append(sealed(5));
  t.like(await read(), { seals: [1, 2, 4, 5], unreadable: length });
  await file.append(sealed(6, { accepted: { by: 'ann', reason: 'x', loss: 'y' } }));
  await file.append(sealed(7));
  t.like(await read(), { base: { seq: 6 }, seals: [7] });
});

test('a file that was put in its place, cut, or written anew is read anew', async (t) => {
  const { read, path } = await fileFor(t);
  await writeFile(path, lines(sealed(1), sealed(2), sealed(3)));
  t.deepEqual((await read()).seals, [1, 2, 3]);
  await truncate(path, lines(sealed(1)).length);
  t.deepEqual((await read()).seals, [1]);
  // In place and longer, as a copy from a backup.
  await writeFile(path, lines(sealed(5), sealed(6), sealed(7), sealed(8)));
  t.deepEqual((await read()).seals, [5, 6, 7, 8]);
  await rm(path);
  t.deepEqual((await read()).seals, []);
  await writeFile(path, lines(sealed(9)));
  t.deepEqual((await read()).seals, [9]);
});

test('of years of them the newest stay, whatever their order, and the same as when all is read at once', async (t) => {
  const { file, read, path } = await fileFor(t);
  const all = Array.from({ length: 12_000 }, (_, i) => sealed(i + 1));
  await writeFile(path, lines(sealed(99_999), ...all.slice(0, 6_000)));
  t.is((await read()).seals[0], 99_999);
  await appendFile(path, lines(...all.slice(6_000)));
  const { seals } = await file.read();
  t.true(seals.length <= 10_001);
  t.is(newestOf(sealed(0), seals).seq, 99_999);
  t.is(seals.at(-1)?.seq, 12_000);
});
