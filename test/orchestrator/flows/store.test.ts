import { appendFile, mkdir, readdir, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import type { Line } from '../../../orchestrator/flows/line.ts';
import { DAYS, FlowStore, MOST_A_DAY } from '../../../orchestrator/flows/store.ts';
import { scratch } from '../../image/agent/root/services/bundles.ts';

const DAY = 24 * 3600_000;
const NOW = Date.parse('2026-03-10T12:00:00Z');
const NODE = `tpm-${'a'.repeat(64)}`;
const never = new AbortController().signal;
const line = (heard: number, number = 1): Line => ({
  ...{ heard, life: 'x', number, from: heard - 300_000, until: heard },
  instances: [['web/shop', '1']],
  flows: [[0, 'sent', '192.0.2.1', 'tcp', 443, 1, 60, 9, 1]],
});

test('what is added is read, also of days that are compressed, up to the one that knows all', async (t) => {
  const folder = join(await scratch(t), 'flows');
  const store = new FlowStore(folder);
  const all = [0, 1, 2].map((n) => line(NOW - 2 * DAY + n * DAY, n + 1));
  for (const one of all) await store.add(NODE, one);
  t.deepEqual(await store.read(NODE, NOW - 2 * DAY - 1000, NOW, NOW), all);
  await store.tidy(NOW, never);
  t.deepEqual(await readdir(join(folder, '2026-03-09')), [`${NODE}.jsonl.zst`]);
  t.deepEqual(await readdir(join(folder, '2026-03-10')), [`${NODE}.jsonl`]);
  t.deepEqual(await store.read(NODE, NOW - 2 * DAY - 1000, NOW, NOW), all);
  t.deepEqual(
    await store.read(NODE, NOW - DAY - 1000, NOW - DAY - 500, NOW),
    [all[1]],
    'no more than is needed',
  );
  // A server that was away hears of it days later.
  t.deepEqual(await store.read(NODE, NOW - DAY + 1000, NOW - DAY + 2000, NOW), all.slice(1));
  t.deepEqual(await store.read(`tpm-${'b'.repeat(64)}`, NOW - DAY, NOW, NOW), []);
});

test('days that are too old go, others stay, and what is no day is left alone', async (t) => {
  const folder = await scratch(t);
  const store = new FlowStore(folder);
  for (const age of [0, 1, DAYS, DAYS + 1]) await store.add(NODE, line(NOW - age * DAY));
  await mkdir(join(folder, 'other'));
  await store.tidy(NOW, never);
  t.deepEqual((await readdir(folder)).toSorted(), ['2026-02-08', '2026-03-09', '2026-03-10', 'other']);
});

test('a line that a crash cut short, or a damaged one, costs itself and no other', async (t) => {
  const folder = await scratch(t);
  const store = new FlowStore(folder);
  const path = join(folder, '2026-03-10', `${NODE}.jsonl`);
  await store.add(NODE, line(NOW - 2000, 1));
  await appendFile(path, '{"heard": 1, "li');
  await store.add(NODE, line(NOW - 1000, 2));
  await appendFile(path, 'no JSON\n{"heard":"x"}\n');
  await store.add(NODE, line(NOW, 3));
  t.deepEqual(
    (await store.read(NODE, NOW - 3000, NOW, NOW)).map(({ number }) => number),
    [1, 2, 3],
  );
});

test('a node that tells without end fills its own day and no more', async (t) => {
  const folder = await scratch(t);
  const store = new FlowStore(folder);
  await store.add(NODE, line(NOW));
  const path = join(folder, '2026-03-10', `${NODE}.jsonl`);
  await truncate(path, MOST_A_DAY);
  await t.throwsAsync(store.add(NODE, line(NOW, 2)), { code: 'FLOWS_FULL' });
  t.is((await stat(path)).size, MOST_A_DAY);
  await t.notThrowsAsync(store.add(`dev-${'a'.repeat(64)}`, line(NOW)));
  await t.notThrowsAsync(store.add(NODE, line(NOW + DAY)));
});

test('no name of a node is a way out of the folder; a file that unpacks without end is not unpacked', async (t) => {
  const folder = await scratch(t);
  const store = new FlowStore(folder);
  for (const name of ['../x', 'a/b', '', '.x', 'x\0'])
    await t.throwsAsync(store.add(name, line(NOW)), { code: 'NODE_UNKNOWN' }, name);
  const { zstdCompressSync } = await import('node:zlib');
  await mkdir(join(folder, '2026-03-10'));
  await writeFile(
    join(folder, '2026-03-10', `${NODE}.jsonl.zst`),
    zstdCompressSync(Buffer.alloc(64 * 2 ** 20)),
  );
  await t.throwsAsync(store.read(NODE, NOW, NOW, NOW), { code: 'ERR_BUFFER_TOO_LARGE' });
});
