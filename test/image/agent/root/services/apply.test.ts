/** Root's loop with a systemd that only notes what it is told; bundles, metadata and files are real. */
import { copyFile, lstat, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { BootwaveError } from '../../../../../base/error.ts';
import { applyServices, type ServicePlaces } from '../../../../../image/agent/root/services/apply.ts';
import { SERVICE_OPERATIONS } from '../../../../../image/agent/root/services/operations.ts';
import { RESERVE } from '../../../../../image/agent/root/services/space.ts';
import { instanceUnit } from '../../../../../image/agent/root/services/units.ts';
import type { Order } from '../../../../../protocol/order.ts';
import { manifestOf } from './any-manifest.ts';
import { makeBundle, type Released, released, releases, scratch, targetOf } from './bundles.ts';

const DAY = 24 * 3600_000;
const ID = 'fleet.web';

async function setUp(t: ExecutionContext) {
  const folder = await scratch(t);
  const keys = await releases(folder);
  const at = (name: string) => join(folder, name);
  const active = new Map<string, 'active' | 'failed'>();
  const said: string[] = [];
  let services: Order['services'] = [];
  let issuedAt = Date.now();
  let now = issuedAt;
  let uptime = 1_000_000;
  let mode: Order['mode'] = 'installed';
  let keptOn: 'disk' | 'memory' | null = 'disk';
  const places: ServicePlaces = {
    ...{
      run: at('run'),
      units: at('units'),
      networks: '/run/netns',
      store: at('store'),
      states: at('states'),
    },
    ...{ believed: at('believed'), handed: at('handed'), downloads: at('downloads') },
    ...{ releaseRoot: keys.root, architecture: 'x64', memory: 2 ** 32 },
    bound: async () => {},
    space: async () => ({ total: 2 ** 40, free: 2 ** 40 }),
    order: async () => ({ services, issuedAt, mode }) as unknown as Order,
    keptOn: async () => keptOn,
    freeMemory: () => 2 ** 32,
    uptime: () => uptime,
    now: () => now,
    async systemctl(...args) {
      const [verb = '', ...rest] = args.filter((arg) => !arg.startsWith('--'));
      if (verb !== 'show') said.push([verb, ...rest].join(' '));
      if (verb === 'start') for (const unit of rest) active.set(unit, 'active');
      if (verb === 'stop') for (const unit of rest) active.delete(unit);
      const blocks = rest.map((unit) => `Id=${unit}\nActiveState=${active.get(unit) ?? 'inactive'}`);
      return { code: 0, stdout: verb === 'show' ? blocks.join('\n\n') : '', stderr: '' };
    },
  };
  for (const name of ['units', 'downloads']) await mkdir(at(name));
  return {
    ...{ folder, at, keys, places, said, active },
    apply: (...healthy: string[]) => applyServices(new Set(healthy), places),
    order(...all: Released[]) {
      services = all.map(({ service }) => service);
    },
    /** Bundles, and parts of them. */
    stored: async () => (await readdir(at('store'))).filter((name) => !name.endsWith('.json')),
    boot: async () => {
      await rm(at('run'), { recursive: true });
      active.clear();
    },
    keep(on: typeof keptOn) {
      keptOn = on;
    },
    mode(which: Order['mode']) {
      mode = which;
    },
    services(all: Order['services']) {
      services = all;
    },
    time(change: { now?: number; issuedAt?: number; uptime?: number }) {
      now = change.now ?? now;
      issuedAt = change.issuedAt ?? issuedAt;
      uptime = change.uptime ?? uptime;
    },
    fetch: ({ bundle, service }: Released) =>
      copyFile(bundle.file, join(at('downloads'), `${service.version}_${bundle.sha256}.download`)),
    config: async () => JSON.parse(await readFile(join(at('run'), 'instances', ID, 'config.json'), 'utf8')),
  };
}

test('from the order to a unit that runs, to another version, to nothing; what is right is left alone', async (t) => {
  const node = await setUp(t);
  const keeps = { state: { path: '/state', bytes: 2 ** 20 } };
  const first = released('fleet/web', '1', await makeBundle(node.folder), manifestOf(keeps));
  const other = await makeBundle(node.folder, { more: '/etc/hostname' });
  const second = released('fleet/web', '2', other, manifestOf({ ...keeps, command: ['/two'] }));
  await node.keys.publish(node.at('handed'), [targetOf(first), targetOf(second)]);

  t.deepEqual(await node.apply(), [], 'nothing ordered, nothing done');
  t.deepEqual(node.said, []);
  node.order(first);
  t.is((await node.apply())[0]!.state, 'fetching');
  await node.fetch(first);
  t.is((await node.apply())[0]!.state, 'starting');
  t.is(node.said.at(-1), `start ${instanceUnit(ID)}`);
  const units = await readdir(node.at('units'));
  t.is(units.length, 3);
  const bundle = await readFile(
    join(node.at('units'), units.find((name) => name.includes('bundle'))!),
    'utf8',
  );
  t.true(bundle.includes(` ${first.bundle.rootHash}\n`));
  t.true(bundle.includes(join(node.at('store'), first.bundle.sha256)));
  const { process, linux } = await node.config();
  t.deepEqual(process.args, ['/bin/x']);
  const stat = await lstat(join(node.at('states'), ID, 'data'));
  t.is(stat.uid, linux.uidMappings[0].hostID);

  const before = node.said.length;
  const [view] = await node.apply();
  t.deepEqual([view!.state, view!.runs], ['running', '1']);
  t.is(node.said.length, before, 'asked twice, done once');

  node.order(second);
  await node.fetch(second);
  await node.apply();
  t.deepEqual((await node.config()).process.args, ['/two']);
  t.deepEqual((await node.config()).linux.uidMappings, linux.uidMappings, 'the ids stay with the state');
  t.deepEqual(await node.stored(), [other.sha256]);
  t.is((await node.apply())[0]!.runs, '2');

  node.order();
  t.deepEqual(await node.apply(), []);
  t.deepEqual(await readdir(node.at('units')), []);
  t.deepEqual(await readdir(join(node.at('run'), 'instances')), []);
  t.deepEqual(await readdir(node.at('store')), []);
  t.deepEqual(await readdir(node.at('states')), [ID], 'what it kept stays');
  t.is(node.active.size, 0);
});

test('two services share nothing but their bundle', async (t) => {
  const node = await setUp(t);
  const bundle = await makeBundle(node.folder);
  const [a, b] = ['fleet/web', 'shop/web'].map((name) => released(name, '1', bundle, manifestOf()));
  await node.keys.publish(node.at('handed'), [targetOf(a!), targetOf(b!)]);
  node.order(a!, b!);
  await node.fetch(a!);
  await node.apply();
  const read = async (id: string) =>
    JSON.parse(await readFile(join(node.at('run'), 'instances', id, 'config.json'), 'utf8'));
  const [one, two] = [await read('fleet.web'), await read('shop.web')];
  t.not(one.linux.uidMappings[0].hostID, two.linux.uidMappings[0].hostID);
  t.notDeepEqual(one.linux.namespaces, two.linux.namespaces);
  t.is(one.root.path, two.root.path);
  node.order(b!);
  await node.apply();
  t.deepEqual(await node.stored(), [bundle.sha256], 'the other one still needs it');
});

test('nothing starts that is not exactly what was released; the others go on', async (t) => {
  const node = await setUp(t);
  const good = released('fleet/good', '1', await makeBundle(node.folder), manifestOf());
  const bundle = await makeBundle(node.folder, { x: '/etc/hostname' });
  const bad = (name: string) => released(`fleet/${name}`, '1', bundle, manifestOf());
  const targets = [
    targetOf(good),
    targetOf(bad('other-service'), { service: 'fleet/stranger' }),
    targetOf(bad('other-version'), { version: '2' }),
    targetOf(bad('other-root'), { rootHash: 'c'.repeat(64) }),
    targetOf(bad('new-words'), { privileged: true }),
    targetOf(bad('new-manifest'), { manifest: { ...manifestOf(), privileged: true } }),
    targetOf(bad('differs')),
  ];
  await node.keys.publish(node.at('handed'), targets);
  const names = ['other-service', 'other-version', 'other-root', 'new-words', 'new-manifest', 'absent'];
  const differs = { ...bad('differs').service, sha256: good.bundle.sha256 };
  node.services([good.service, ...names.map((name) => bad(name).service), differs]);
  await node.fetch(good);
  await node.fetch(bad('x'));
  const views = new Map((await node.apply()).map((view) => [view.name, view]));
  const codes = {
    'other-service': 'SERVICE_TARGET',
    'other-version': 'SERVICE_TARGET',
    'other-root': 'SERVICE_BUNDLE_VERITY',
    'new-words': 'SERVICE_TARGET',
    'new-manifest': 'SERVICE_TARGET',
    absent: 'SERVICE_NOT_RELEASED',
    differs: 'SERVICE_DIFFERS',
  };
  for (const [name, code] of Object.entries(codes)) {
    t.is(views.get(`fleet/${name}`)?.state, 'refused', name);
    t.true(views.get(`fleet/${name}`)!.why.includes(`[${code}]`), views.get(`fleet/${name}`)!.why);
  }
  t.is(views.get('fleet/good')?.state, 'starting');
  t.is(node.said.filter((line) => line.startsWith('start')).length, 1);
});

test('root believes no metadata of strangers, none that is older than it has seen, and only a signed order', async (t) => {
  const node = await setUp(t);
  const one = released('fleet/web', '1', await makeBundle(node.folder), manifestOf());
  node.order(one);
  await node.fetch(one);
  t.regex((await node.apply())[0]!.why, /RELEASE_METADATA_ABSENT/);
  const strangers = await releases(join(node.folder, 'strangers'));
  await strangers.publish(node.at('handed'), [targetOf(one)]);
  t.regex((await node.apply())[0]!.why, /RELEASE_METADATA_SIGNATURE/);
  await node.keys.publish(node.at('handed'), [targetOf(one)], Date.now());
  node.services([]);
  await node.apply();
  node.order(one);
  t.is((await node.apply())[0]!.state, 'starting');
  await node.keys.publish(node.at('handed'), [], Date.now() - DAY);
  const two = released('fleet/two', '1', await makeBundle(node.folder, { x: '/etc/hosts' }), manifestOf());
  node.order(one, two);
  t.regex((await node.apply())[1]!.why, /RELEASE_METADATA_ROLLBACK/);

  const places: ServicePlaces = {
    ...node.places,
    order: async () => {
      throw new BootwaveError({ code: 'ORDER_NONE', what: 'none' });
    },
  };
  const said = node.said.length;
  await t.throwsAsync(applyServices(new Set(), places), { code: 'ORDER_NONE' });
  t.is(node.said.length, said, 'what runs goes on');
});

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

test('a health command runs in what runs, and nowhere else', async (t) => {
  const node = await setUp(t);
  const check = { health: { check: { kind: 'exec', command: ['/ok', 'a b\n'] } } };
  const one = released('fleet/web', '1', await makeBundle(node.folder), manifestOf(check));
  await node.keys.publish(node.at('handed'), [targetOf(one)]);
  const ask = () =>
    SERVICE_OPERATIONS['services-check']({ operation: 'services-check', name: 'fleet/web' }, node.places);
  await t.throwsAsync(ask(), { code: 'SERVICE_NOT_HERE' });
  node.order(one);
  await node.fetch(one);
  await node.apply();
  t.deepEqual(await ask(), { healthy: true });
  t.is(node.said.at(-1), 'start bootwave-check-fleet.web.service');
  const file = await readFile(join(node.at('run'), 'instances', ID, 'check.json'), 'utf8');
  t.deepEqual(JSON.parse(file).args, ['/ok', 'a b\n']);
});
