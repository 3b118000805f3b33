/** Root's loop where something is in the way: no server, no disk, no room, a kill, what does not end. */
import { copyFile, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { RESERVE } from '../../../../../image/agent/root/services/space.ts';
import { instanceUnit } from '../../../../../protocol/agent/units.ts';
import { manifestOf } from './any-manifest.ts';
import { makeBundle, released, targetOf } from './bundles.ts';
import { DAY, ID, setUp } from './node.ts';

test('after a boot without a server, with metadata that has expired, what the order names starts; nothing new does', async (t) => {
  const node = await setUp(t);
  const one = released('fleet/web', '1', await makeBundle(node.folder), manifestOf());
  const two = released('fleet/two', '1', await makeBundle(node.folder, { x: '/etc/hosts' }), manifestOf());
  await node.keys.publish(node.at('handed'), [targetOf(one), targetOf(two)]);
  node.order(one, two);
  await node.fetch(one);
  await node.apply();
  // Power off, and on again a week later.
  await rm(node.at('run'), { recursive: true });
  node.active.clear();
  node.said.length = 0;
  await node.fetch(two);
  node.time({ now: Date.now() + 7 * DAY });
  const views = await node.apply();
  t.is(views[0]!.state, 'starting');
  t.is(views[1]!.state, 'refused');
  t.regex(views[1]!.why, /RELEASE_METADATA_EXPIRED/);
});

test('after a boot without a server, with metadata that had moved on, what ran starts; what is withdrawn does not', async (t) => {
  const node = await setUp(t);
  const one = released('fleet/web', '1', await makeBundle(node.folder), manifestOf());
  const same = released('fleet/same', '1', one.bundle, manifestOf());
  await node.keys.publish(node.at('handed'), [targetOf(one), targetOf(same)]);
  node.order(one);
  await node.fetch(one);
  await node.apply();
  // Only its timestamp came before the server was gone.
  const later = node.at('later');
  await node.keys.publish(later, [], Date.now() + 1000);
  await copyFile(join(later, 'timestamp.json'), join(node.at('handed'), 'timestamp.json'));
  await node.apply();
  await node.boot();
  node.order(one, same);
  const views = await node.apply();
  t.is(views[0]!.state, 'starting', views[0]!.why);
  t.regex(
    views[1]!.why,
    /RELEASE_METADATA/,
    'what was said of another service with this bundle is not known',
  );
  await node.boot();
  for (const name of await readdir(later)) await copyFile(join(later, name), join(node.at('handed'), name));
  t.regex((await node.apply())[0]!.why, /SERVICE_NOT_RELEASED/);
});

test('what was withdrawn goes on, is asked for its health, says so, and does not start again', async (t) => {
  const node = await setUp(t);
  const health = { check: { kind: 'tcp', port: 80 }, every: 5 };
  const one = released('fleet/web', '1', await makeBundle(node.folder), manifestOf({ health }));
  await node.keys.publish(node.at('handed'), [targetOf(one)]);
  node.order(one);
  await node.fetch(one);
  await node.apply();
  const [before] = await node.apply();
  t.like(before, { state: 'running', why: '' });
  await node.keys.publish(node.at('handed'), [], Date.now() + 1000);
  const [after] = await node.apply();
  t.like(after, { state: 'running', runs: '1', check: before!.check });
  t.like(after!.check, { health });
  t.regex(after!.why, /goes on.*\[SERVICE_NOT_RELEASED\]/);
  await node.boot();
  t.like((await node.apply())[0], { state: 'refused', runs: null, stored: true });
});

test('a helper that is killed between any two steps leaves nothing that the next one does not set right', async (t) => {
  const node = await setUp(t);
  const one = released('fleet/web', '1', await makeBundle(node.folder), manifestOf());
  await node.keys.publish(node.at('handed'), [targetOf(one)]);
  node.order(one);
  await node.fetch(one);
  await mkdir(node.at('store'));
  await writeFile(join(node.at('store'), `${one.bundle.sha256}.part`), 'half');
  // Of one that no order names any more.
  await writeFile(join(node.at('store'), `${'a'.repeat(64)}.part`), 'half');
  const { systemctl } = node.places;
  for (const verb of ['daemon-reload', 'reset-failed', 'start']) {
    node.places.systemctl = async (...args) => {
      if (args.includes(verb)) throw new Error('killed');
      return systemctl(...args);
    };
    await node.apply().catch(() => {});
    t.false(node.active.has(instanceUnit(ID)));
  }
  node.places.systemctl = systemctl;
  node.time({ uptime: 1_000_000 + 31_000 });
  await node.apply();
  node.time({ uptime: 1_000_000 + 700_000 });
  await node.apply();
  t.is((await node.apply())[0]!.state, 'running');
  t.deepEqual(await node.stored(), [one.bundle.sha256]);
  t.deepEqual(await readdir(node.at('downloads')), [`1_${one.bundle.sha256}.download`]);
});

test('a service that keeps something waits for its disk; nothing begins empty in its place', async (t) => {
  const node = await setUp(t);
  const keeps = { state: { path: '/state', bytes: 2 ** 20 } };
  const db = released('fleet/db', '1', await makeBundle(node.folder), manifestOf(keeps));
  const web = released('fleet/web', '1', db.bundle, manifestOf());
  await node.keys.publish(node.at('handed'), [targetOf(db), targetOf(web)]);
  node.order(db, web);
  await node.fetch(db);
  const look = async () =>
    (await node.apply()).map(({ state, why }) => `${state} ${/\[.*\]/.exec(why) ?? ''}`);
  node.keep(null);
  t.deepEqual(await look(), ['refused [SERVICE_STATE_ABSENT]', 'starting ']);
  // Ordered to run from a disk that it does not find.
  node.keep('memory');
  t.deepEqual(await look(), ['refused [SERVICE_STATE_ABSENT]', 'running ']);
  t.deepEqual(await readdir(node.at('states')).catch(() => []), []);
  node.mode('netboot');
  t.deepEqual(await look(), ['starting ', 'running ']);
});

test('what refuses a new version does so while the former one runs; what fails later starts that one again', async (t) => {
  const node = await setUp(t);
  const keeps = (bytes: number, more = {}) => manifestOf({ state: { path: '/state', bytes, ...more } });
  const first = released('fleet/web', '1', await makeBundle(node.folder), keeps(2 ** 20));
  const other = await makeBundle(node.folder, { more: '/etc/hostname' });
  const large = released('fleet/web', '2', other, keeps(2 ** 40));
  const third = released('fleet/web', '3', other, keeps(2 ** 20, { migrates: true }));
  await node.keys.publish(
    node.at('handed'),
    [first, large, third].map((one) => targetOf(one)),
  );
  node.order(first);
  await node.fetch(first);
  await node.apply();

  node.order(large);
  await node.fetch(large);
  node.said.length = 0;
  const [view] = await node.apply();
  t.deepEqual([view!.state, view!.runs], ['refused', '1']);
  t.regex(view!.why, /SERVICE_STATE_SPACE/);
  t.false(
    node.said.some((line) => line.startsWith('stop')),
    node.said.join(),
  );

  node.order(third);
  await node.fetch(third);
  const data = join(node.at('states'), ID, 'data');
  await writeFile(join(data, 'f'), 'x');
  const { systemctl } = node.places;
  let stops = 0;
  node.places.systemctl = async (...args) => {
    if (args[0] === 'stop') {
      stops += 1;
      // The last that it writes is more than a copy may have.
      for (let i = 0; i < 1100; i += 1) await writeFile(join(data, `n${i}`), '');
    }
    return systemctl(...args);
  };
  const [failed] = await node.apply();
  t.deepEqual([failed!.state, failed!.runs], ['refused', '1']);
  t.regex(failed!.why, /SERVICE_STATE_COPY/);
  t.true(node.active.has(instanceUnit(ID)));
  t.deepEqual((await node.config()).process.args, ['/bin/x']);
  t.true((await readdir(node.at('store'))).includes(first.bundle.sha256));
  for (let i = 0; i < 1100; i += 1) await rm(join(data, `n${i}`));
  const [later] = await node.apply();
  t.deepEqual([later!.state, later!.runs, later!.why], ['refused', '1', failed!.why]);
  t.is(stops, 1, 'it is not ended again at every look');
  node.places.systemctl = systemctl;
  node.time({ uptime: 1_000_000 + 600_000 });
  await node.apply();
  t.is((await node.apply())[0]!.runs, '3');
});

test('what does not end is not followed by another, and nothing is copied under it', async (t) => {
  const node = await setUp(t);
  const first = released('fleet/web', '1', await makeBundle(node.folder), manifestOf());
  const second = released('fleet/web', '2', first.bundle, manifestOf());
  await node.keys.publish(node.at('handed'), [targetOf(first), targetOf(second)]);
  node.order(first);
  await node.fetch(first);
  await node.apply();
  const { systemctl } = node.places;
  node.places.systemctl = async (...args) =>
    args[0] === 'stop' ? { code: 1, stdout: '', stderr: '' } : systemctl(...args);
  node.order(second);
  const [view] = await node.apply();
  t.regex(view!.why, /SERVICE_NOT_ENDED/);
  node.order();
  await node.apply();
  t.deepEqual(await readdir(join(node.at('run'), 'instances')), [ID], 'its record says that it runs');
  node.places.systemctl = systemctl;
  await node.apply();
  t.deepEqual(await readdir(join(node.at('run'), 'instances')), []);
});

test('a disk that fails refuses what it cannot keep; what is not ordered ends all the same', async (t) => {
  const node = await setUp(t);
  const first = released('fleet/web', '1', await makeBundle(node.folder), manifestOf());
  const bundle = await makeBundle(node.folder, { x: '/etc/hosts' });
  const second = released('fleet/two', '1', bundle, manifestOf());
  await node.keys.publish(node.at('handed'), [targetOf(first), targetOf(second)]);
  node.order(first);
  await node.fetch(first);
  await node.apply();
  node.order(second);
  await node.fetch(second);
  // The store fails: what is a folder cannot be written.
  await mkdir(join(node.at('store'), `${bundle.sha256}.part`, 'x'), { recursive: true });
  const [view] = await node.apply();
  t.regex(view!.why, /SERVICE_BUNDLE_STORE/);
  t.false(node.active.has(instanceUnit(ID)));
  node.order(first);
  await node.fetch(first);
  await node.apply();
  node.order(second);
  node.places.space = async () => {
    throw new Error('EIO');
  };
  await t.throwsAsync(node.apply(), { message: 'EIO' });
  t.false(node.active.has(instanceUnit(ID)));
});

test('a bundle for which there is no room twice is refused before it is fetched', async (t) => {
  const node = await setUp(t);
  const one = released('fleet/web', '1', await makeBundle(node.folder), manifestOf());
  await node.keys.publish(node.at('handed'), [targetOf(one)]);
  node.order(one);
  node.mode('netboot');
  node.keep('memory');
  node.places.freeMemory = () => RESERVE + 2 * one.service.size - 1;
  t.regex((await node.apply())[0]!.why, /SERVICE_NO_SPACE/);
  // What was fetched of another is removed before.
  await writeFile(join(node.at('downloads'), '0_x.download'), 'x');
  t.is((await node.apply())[0]!.state, 'fetching');
  node.places.space = async () => ({ total: 2 ** 40, free: RESERVE });
  t.regex((await node.apply())[0]!.why, /SERVICE_NO_SPACE/);
});
