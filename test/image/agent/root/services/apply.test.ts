/** From the order to what runs: what is believed, started, left alone and ended. */
import { lstat, mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { BootwaveError } from '../../../../../base/error.ts';
import { applyServices, type ServicePlaces } from '../../../../../image/agent/root/services/apply.ts';
import { SERVICE_OPERATIONS } from '../../../../../image/agent/root/services/operations.ts';
import { instanceUnit } from '../../../../../protocol/agent/units.ts';
import { manifestOf } from './any-manifest.ts';
import { makeBundle, released, releases, targetOf } from './bundles.ts';
import { DAY, ID, setUp } from './node.ts';

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

test('a bundle that the disk does not let go keeps nobody from starting, and goes later', async (t) => {
  const node = await setUp(t);
  const one = released('fleet/web', '1', await makeBundle(node.folder), manifestOf());
  await node.keys.publish(node.at('handed'), [targetOf(one)]);
  node.order(one);
  await node.fetch(one);
  const stays = join(node.at('store'), 'f'.repeat(64));
  await mkdir(join(stays, 'x'), { recursive: true });
  t.is((await node.apply())[0]!.state, 'starting');
  t.is(node.said.at(-1), `start ${instanceUnit(ID)}`);
  await rmdir(join(stays, 'x'));
  await rmdir(stays);
  await writeFile(stays, 'a file now');
  await node.apply();
  t.deepEqual(await node.stored(), [one.bundle.sha256]);
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
