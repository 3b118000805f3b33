import { execFileSync } from 'node:child_process';
import {
  chmod,
  chown,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { BootwaveError } from '../../../../../base/error.ts';
import { copyTree } from '../../../../../image/agent/root/services/copy-tree.ts';
import { placeOf } from '../../../../../image/agent/root/services/place.ts';
import { RESERVE, spaceAt } from '../../../../../image/agent/root/services/space.ts';
import {
  dataFolder,
  prepareState,
  readyState,
  slotsOfStates,
} from '../../../../../image/agent/root/services/state.ts';
import { manifestOf } from './any-manifest.ts';
import { scratch } from './bundles.ts';

const NAME = 'fleet/db';
const PLACE = placeOf(11);

async function setUp(t: ExecutionContext) {
  const at = await scratch(t);
  const bounds: unknown[] = [];
  let space = { total: 2 ** 40, free: 2 ** 40 };
  const places = {
    ...{ states: join(at, 'states'), store: join(at, 'store'), downloads: join(at, 'downloads') },
    shared: join(at, 'shared'),
    space: async () => space,
    bound: async (...asked: unknown[]) => {
      bounds.push(asked);
    },
  };
  const data = dataFolder(places, NAME);
  return {
    places,
    bounds,
    data,
    folder: join(data, '..'),
    disk: (total: number, free = total) => {
      space = { total, free };
    },
    start: (version: string, migrates = false, bytes = 2 ** 20, name = NAME) =>
      prepareState(
        name,
        version,
        manifestOf({ state: { path: '/state', bytes, migrates }, user: { uid: 7, gid: 8 } }),
        PLACE,
        places,
      ),
    ready: (version: string, migrates = false, bytes = 2 ** 20) =>
      readyState(NAME, version, { path: '/state', bytes, migrates }, PLACE, places),
    text: () => readFile(join(data, 'f'), 'utf8').catch(() => ''),
  };
}

test('a state is its instance alone, bounded before anything is written, and outlives versions', async (t) => {
  const { start, data, bounds, places, text } = await setUp(t);
  await start('1');
  const stat = await lstat(data);
  t.deepEqual([stat.uid, stat.gid, stat.mode & 0o777], [PLACE.firstId + 7, PLACE.firstId + 8, 0o700]);
  t.deepEqual(bounds[0], [data, PLACE.project, 2 ** 20, 1024]);
  t.deepEqual(await slotsOfStates(places), new Map([[NAME, 11]]));
  await writeFile(join(data, 'f'), 'one');
  await start('2');
  await start('1');
  t.is(await text(), 'one');
});

test('where nothing can be bounded nothing starts, and the next mount is asked for quotas', async (t) => {
  const { places, start, folder } = await setUp(t);
  places.bound = async () => {
    throw new BootwaveError({ code: 'SERVICE_STATE_QUOTA', what: 'no quotas' });
  };
  await t.throwsAsync(start('1'), { code: 'SERVICE_STATE_QUOTA' });
  await t.throwsAsync(start('1'), { code: 'SERVICE_STATE_QUOTA' });
  t.true((await readdir(join(folder, '../..'))).includes('quotas-wanted'));
});

test('what states may take together, with one copy and what bundles take, leaves room for orders', async (t) => {
  const { start, disk, places, data } = await setUp(t);
  const gib = 2 ** 30;
  await start('1', false, gib);
  // A disk of three of them and the reserve.
  disk(3 * gib + RESERVE);
  await start('1', false, 2 * gib, 'fleet/other');
  await t.throwsAsync(start('1', false, 2 ** 20, 'fleet/third'), { code: 'SERVICE_STATE_SPACE' });
  t.deepEqual((await readdir(places.states)).toSorted(), ['fleet.db', 'fleet.other'], 'nothing is begun');
  await t.throwsAsync(start('2', false, gib + 2 ** 20), { code: 'SERVICE_STATE_SPACE' });
  await t.throwsAsync(start('2', true, gib), { code: 'SERVICE_STATE_SPACE' });
  t.true((await lstat(data)).isDirectory());
  // What is there goes on, also when bundles came in between.
  await mkdir(places.store);
  await writeFile(join(places.store, 'bundle'), 'x');
  await start('1', false, gib);
  disk(4 * gib + RESERVE);
  await t.throwsAsync(start('2', true, gib), { code: 'SERVICE_STATE_SPACE' }, 'the bundle counts');
  disk(4 * gib + RESERVE + 1);
  await start('2', true, gib);
  disk(5 * gib + RESERVE);
  await t.throwsAsync(
    start('1', false, gib, 'fleet/third'),
    { code: 'SERVICE_STATE_SPACE' },
    'a copy counts',
  );
});

test('a state from before bounds were noted goes on, and counts from its next start', async (t) => {
  const { start, disk, folder } = await setUp(t);
  await start('1', false, 2 ** 30);
  await rm(join(folder, 'bytes'));
  disk(RESERVE + 2 ** 30);
  await start('1', false, 2 ** 30);
  await t.throwsAsync(start('1', false, 2 ** 20, 'fleet/other'), { code: 'SERVICE_STATE_SPACE' });
});

test('the space of a real file system is read', async (t) => {
  const { total, free } = await spaceAt(await scratch(t));
  t.true(free > 0 && total > free, `${total} ${free}`);
});

test('a version that migrates leaves a way back: the former one finds what it had', async (t) => {
  const { start, data, folder, text } = await setUp(t);
  await start('1');
  await writeFile(join(data, 'f'), 'one');
  await start('2', true);
  t.is(await text(), 'one');
  await writeFile(join(data, 'f'), 'two');
  await start('2', true);
  t.is(await text(), 'two', 'a restart goes back to nothing');
  await start('1');
  t.is(await text(), 'one');
  t.deepEqual((await readdir(folder)).toSorted(), ['bytes', 'data', 'version']);
  // What was restored is not restored once more.
  await writeFile(join(data, 'f'), 'three');
  await start('1');
  await start('3');
  await start('1');
  t.is(await text(), 'three');
});

test('a kill at any point of it is continued', async (t) => {
  const { start, data, folder, text } = await setUp(t);
  await start('1');
  await writeFile(join(data, 'f'), 'one');
  await mkdir(join(folder, 'part'));
  await writeFile(join(folder, 'part/f'), 'half');
  await start('2', true);
  await writeFile(join(data, 'f'), 'two');
  // Killed after the data was removed, before the copy was back.
  await rm(data, { recursive: true });
  await start('1');
  t.is(await text(), 'one');
});

test('a way back that fails takes nothing: what is there is bounded as before, and the next try finds both', async (t) => {
  const { start, disk, places, bounds, data, folder, text } = await setUp(t);
  await start('1');
  await writeFile(join(data, 'f'), 'one');
  await start('2', true, 2 ** 21);
  await writeFile(join(data, 'f'), 'two');
  const { bound } = places;
  const fails = async (code: string) => {
    await t.throwsAsync(start('1'), { code });
    t.is(await text(), 'two');
    t.deepEqual((await readdir(folder)).toSorted(), ['bytes', 'copy-1', 'data', 'version']);
  };
  disk(2 ** 40, RESERVE);
  await fails('SERVICE_STATE_SPACE');
  disk(2 ** 40);
  bounds.length = 0;
  places.bound = async (...asked) => {
    if (asked[0] !== data) throw new BootwaveError({ code: 'SERVICE_STATE_QUOTA', what: 'no' });
    return bound(...asked);
  };
  await fails('SERVICE_STATE_QUOTA');
  t.deepEqual(bounds, [[data, PLACE.project, 2 ** 21, 1024]]);
  places.bound = bound;
  await start('2', true, 2 ** 21);
  t.is(await text(), 'two');
  // Killed between the two renames, and then the order was changed back.
  await rename(data, join(folder, 'former'));
  t.deepEqual(await slotsOfStates(places), new Map([[NAME, 11]]));
  await start('2', true, 2 ** 21);
  t.is(await text(), 'two');
});

test('a copy that was made comes back, also where its version may keep less than the one that it was made for', async (t) => {
  const { start, data, text } = await setUp(t);
  await start('1', false, 2 ** 20);
  await writeFile(join(data, 'f'), 'one');
  await writeFile(join(data, 'hole'), '');
  await truncate(join(data, 'hole'), 2 ** 24);
  await start('2', true, 2 ** 25);
  await writeFile(join(data, 'f'), 'two');
  await start('1', false, 2 ** 20);
  t.is(await text(), 'one');
  t.is((await lstat(join(data, 'hole'))).size, 2 ** 24);
});

test('a version for which nothing can be made ready is refused while the former one runs, and nothing changes', async (t) => {
  const { ready, start, disk, bounds, data, folder } = await setUp(t);
  await start('1');
  await writeFile(join(data, 'big'), Buffer.alloc(2 ** 19, 'x'));
  const before = bounds.length;
  disk(2 ** 40, RESERVE + 2 ** 18);
  await t.throwsAsync(ready('2', true), { code: 'SERVICE_STATE_SPACE' });
  disk(2 ** 40);
  await truncate(join(data, 'big'), 2 ** 22);
  await t.throwsAsync(ready('2', true), { code: 'SERVICE_STATE_COPY' });
  t.is(bounds.length, before, 'the one that runs is bounded as it was');
  t.deepEqual((await readdir(folder)).toSorted(), ['bytes', 'data', 'version']);
});

test('a copy that would take more than a state may is not made, and the state stays', async (t) => {
  const { start, data, text } = await setUp(t);
  await start('1');
  await writeFile(join(data, 'f'), 'one');
  await writeFile(join(data, 'hole'), '');
  await truncate(join(data, 'hole'), 2 ** 30);
  await t.throwsAsync(start('2', true), { code: 'SERVICE_STATE_COPY' });
  t.is(await text(), 'one');
  await rm(join(data, 'hole'));
  for (let i = 0; i < 1100; i += 1) await writeFile(join(data, `n${i}`), '');
  await t.throwsAsync(start('2', true), { code: 'SERVICE_STATE_COPY' });
});

test('a copy has owners, modes and links as they were, follows none, and leaves out what is no file', async (t) => {
  const folder = await scratch(t);
  const [from, to] = [join(folder, 'from'), join(folder, 'to')];
  await mkdir(join(from, 'sub'), { recursive: true });
  await mkdir(to);
  await writeFile(join(from, 'sub/f'), 'x');
  await chown(join(from, 'sub/f'), 5000, 6000);
  await chmod(join(from, 'sub/f'), 0o4751);
  await link(join(from, 'sub/f'), join(from, 'same'));
  await symlink('/etc/shadow', join(from, 'out'));
  execFileSync('mkfifo', [join(from, 'pipe')]);
  await copyTree(from, to, { bytes: 10, entries: 10 });
  t.deepEqual((await readdir(to)).toSorted(), ['out', 'same', 'sub']);
  const stat = await lstat(join(to, 'sub/f'));
  t.deepEqual([stat.uid, stat.gid, stat.mode & 0o7777, stat.nlink], [5000, 6000, 0o751, 2]);
  t.is(await readlink(join(to, 'out')), '/etc/shadow');
});
