/** Services in the release metadata: what the core team and a team release, what nodes believe, what is left on the disk. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { DataPaths } from '../../../base/paths.ts';
import { mustRun } from '../../../base/run.ts';
import { MetadataMemory } from '../../../image/agent/member/release/metadata-memory.ts';
import { releasedTarget } from '../../../image/agent/member/release/released.ts';
import { targetOfBundle } from '../../../image/publish/bundled.ts';
import { storedBundles } from '../../../image/publish/bundles.ts';
import { release, unrelease } from '../../../image/publish/publish.ts';
import { Released } from '../../../image/publish/released.ts';
import { readRepository } from '../../../image/publish/repository.ts';
import { releasedServices, releaseService, withdrawService } from '../../../image/publish/services.ts';
import { changeOfTeam, nextOfTeam, releaseOfTeam, signForTeam } from '../../../image/publish/team-release.ts';
import { delegate, undelegate } from '../../../image/publish/teams.ts';
import { keyLayout } from '../../../keys/layout.ts';
import { makeSecret, signingKey } from '../../../keys/release/key.ts';
import { bundleTarget } from '../../../protocol/service/name.ts';
import { sha256 } from '../services/oci.ts';
import { bundle } from './bundle.ts';
import { build, fleet, scratch, serve } from './support.ts';

const key = signingKey(makeSecret());
const WEB = { name: 'web', prefix: 'services/web', keys: [key.public], threshold: 1 };

async function nodeOf(t: ExecutionContext, paths: DataPaths) {
  const { url } = await serve(t, paths);
  const parts = {
    root: await readFile(keyLayout(paths.keys).release.root),
    memory: new MetadataMemory(await scratch(t)),
    machine: { architecture: 'x64', firmware: 'uefi' as const, product: 'R650' },
    images: () => url,
    now: Date.now,
  };
  return (name: string, version: string) =>
    releasedTarget(bundleTarget({ name, version }), { issuedAt: 0 }, parts, new AbortController().signal);
}

const shown = async (paths: DataPaths) =>
  (await releasedServices(paths)).map(({ name, version, by }) => `${by} ${name} ${version}`);

test('a service is released with all that a node has to know, beside the images and without touching them', async (t) => {
  const paths = await fleet(t);
  const image = await build(paths, '1.0.0');
  await release(image, { paths });
  const one = await bundle(paths, 'fleet/x', '1');
  await releaseService(one, { paths });
  const sees = await nodeOf(t, paths);
  const { target, role } = await sees('fleet/x', '1');
  t.is(role, 'targets');
  t.deepEqual(target.custom, { bootwave: one.custom });
  t.is(target.hashes.sha256, one.sha256);
  t.deepEqual(await readFile(join(paths.bundles, one.sha256)), Buffer.alloc(8192, 'fleet/x 1'));
  t.deepEqual([...(await new Released(paths.releases).images())!.keys()], ['1.0.0'], 'a service is no image');
  await release(await build(paths, '2.0.0'), { paths });
  await unrelease(['1.0.0'], { paths });
  t.deepEqual(await shown(paths), ['fleet fleet/x 1']);
  await t.notThrowsAsync(sees('fleet/x', '1'));
  t.like((await releasedServices(paths))[0], { by: 'fleet', stored: true, size: 8192 });
});

test('a field that came to manifests later makes no other content of what was released before', async (t) => {
  const paths = await fleet(t);
  const now = await bundle(paths, 'fleet/x', '1');
  const { dependsOn: _, ...before } = now.custom.manifest;
  const old = { ...now, custom: { ...now.custom, manifest: before as typeof now.custom.manifest } };
  await releaseService(old, { paths });
  await releaseService(await bundle(paths, 'fleet/x', '1'), { paths });
  t.true(await withdrawService({ name: 'fleet/x', version: '1' }, { paths }));
  await releaseService(await bundle(paths, 'fleet/x', '1'), { paths });
  t.deepEqual(await shown(paths), ['fleet fleet/x 1']);
});

test('a version means one content for ever; the same again is fine', async (t) => {
  const paths = await fleet(t);
  await releaseService(await bundle(paths, 'fleet/x', '1'), { paths });
  const version = (await readRepository(paths.releases))!.targets.signed.version;
  await releaseService(await bundle(paths, 'fleet/x', '1'), { paths });
  t.is((await readRepository(paths.releases))!.targets.signed.version, version, 'nothing was signed anew');
  const other = () => bundle(paths, 'fleet/x', '1', 'other');
  await t.throwsAsync(releaseService(await other(), { paths }), { code: 'RELEASE_CONFLICT' });
  const more = await bundle(paths, 'fleet/x', '1', 'fleet/x 1', 2 ** 25);
  await t.throwsAsync(releaseService(more, { paths }), { code: 'RELEASE_CONFLICT' }, 'another manifest');
  t.true(await withdrawService({ name: 'fleet/x', version: '1' }, { paths }));
  t.false(await withdrawService({ name: 'fleet/x', version: '1' }, { paths }));
  await t.throwsAsync(
    releaseService(await other(), { paths }),
    { code: 'RELEASE_CONFLICT' },
    'once released, also if withdrawn',
  );
  await releaseService(await bundle(paths, 'fleet/x', '1'), { paths });
  t.deepEqual(await shown(paths), ['fleet fleet/x 1']);
});

test('a withdrawn version is believed no more, and its bundle is gone unless another names it', async (t) => {
  const paths = await fleet(t);
  for (const version of ['1', '2'])
    await releaseService(await bundle(paths, 'fleet/x', version, 'same'), { paths });
  await releaseService(await bundle(paths, 'fleet/y', '1'), { paths });
  t.is((await storedBundles(paths.bundles)).length, 2);
  const sees = await nodeOf(t, paths);
  await sees('fleet/x', '1');
  await withdrawService({ name: 'fleet/x', version: '1' }, { paths });
  await t.throwsAsync(sees('fleet/x', '1'), { code: 'RELEASE_NOT_LISTED' });
  t.is((await storedBundles(paths.bundles)).length, 2, 'version 2 names it');
  await withdrawService({ name: 'fleet/x', version: '2' }, { paths });
  t.is((await storedBundles(paths.bundles)).length, 1);
  await rm(join(paths.bundles, (await storedBundles(paths.bundles))[0]!));
  await releaseService(await bundle(paths, 'fleet/z', '1'), { paths });
  t.deepEqual(await shown(paths), ['fleet fleet/z 1'], 'what nobody can fetch is not released');
});

test('a team releases its own services with its own key, and nothing else', async (t) => {
  const paths = await fleet(t);
  await release(await build(paths, '1.0.0'), { paths });
  await t.throwsAsync(delegate({ ...WEB, prefix: 'services/fleet' }, { paths }), { code: 'TEAM_INVALID' });
  await delegate(WEB, { paths });
  const adds = async (service: string, version: string, by = key) => {
    const one = await bundle(paths, service, version);
    return changeOfTeam('web', by, (released) => [...released, targetOfBundle(one)], { paths }, [one]);
  };
  await adds('web/shop', '1');
  await adds('web/shop', '2');
  t.deepEqual(await shown(paths), ['web web/shop 1', 'web web/shop 2'], 'what it had released stays');
  const sees = await nodeOf(t, paths);
  t.is((await sees('web/shop', '2')).role, 'web');
  for (const foreign of ['db/shop', 'fleet/chrony'])
    await t.throwsAsync(adds(foreign, '1'), { code: 'TEAM_RELEASE', message: /is not below services\/web/ });
  await t.throwsAsync(adds('web/shop', '3', signingKey(makeSecret())), {
    code: 'RELEASE_METADATA_SIGNATURE',
  });
  await t.throwsAsync(releaseService(await bundle(paths, 'web/shop', '9'), { paths }), {
    code: 'SERVICE_OWNER',
  });
  t.is((await storedBundles(paths.bundles)).length, 2, 'what was refused is not kept');
  await undelegate('web', { paths });
  await t.throwsAsync(sees('web/shop', '2'), { code: 'RELEASE_NOT_LISTED' });
  t.deepEqual(await shown(paths), []);
  t.deepEqual(await storedBundles(paths.bundles), []);
});

test('what a team says of a service has to be true and understood, and its bundle here', async (t) => {
  const paths = await fleet(t);
  await release(await build(paths, '1.0.0'), { paths });
  await delegate(WEB, { paths });
  const publishes = async (
    change: (custom: Awaited<ReturnType<typeof bundle>>['custom']) => object,
    brings = true,
    version = '1',
  ) => {
    const one = await bundle(paths, 'web/shop', version);
    const target = targetOfBundle(one);
    const changed = Object.assign(Object.create(Object.getPrototypeOf(target)), target, {
      unrecognizedFields: { custom: { bootwave: change(one.custom) } },
    });
    const last = (await readRepository(paths.releases))?.delegated.get('web')?.metadata ?? null;
    const bytes = signForTeam(nextOfTeam(last, [changed], Date.now()), key);
    return releaseOfTeam('web', bytes, { paths }, brings ? [one] : []);
  };
  for (const [what, change] of Object.entries({
    'another service': (custom: object) => ({ ...custom, service: 'fleet/chrony' }),
    'another version': (custom: object) => ({ ...custom, version: '2' }),
    'an unknown field': (custom: object) => ({ ...custom, more: 1 }),
    'a root hash that is none': (custom: object) => ({ ...custom, rootHash: 'x' }),
    'a manifest that is none': (custom: object) => ({ ...custom, manifest: {} }),
  }))
    await t.throwsAsync(
      publishes(change),
      { code: 'TEAM_RELEASE', message: /nothing that is understood/ },
      what,
    );
  await t.throwsAsync(
    publishes((custom) => custom, false),
    { code: 'BUNDLE_ABSENT' },
  );
  // In a rollout that is the end of a service.
  await t.throwsAsync(
    publishes((custom) => custom, true, 'none'),
    { code: 'TEAM_RELEASE' },
  );
  await publishes((custom) => custom);
  t.deepEqual(await shown(paths), ['web web/shop 1']);
});

test('metadata that nodes would not take is not published: too many services stay out, and images go on', async (t) => {
  const paths = await fleet(t);
  const one = await bundle(paths, 'fleet/x', '1');
  await releaseService(one, { paths });
  const env = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`V${i}`, 'x'.repeat(4000)]));
  const large = async (version: string) => {
    const made = await bundle(paths, 'fleet/large', version, 'large');
    return { ...made, custom: { ...made.custom, manifest: { ...made.custom.manifest, env } } };
  };
  const error = await t.throwsAsync(
    (async () => {
      for (let i = 0; i < 40; i += 1) await releaseService(await large(String(i)), { paths });
    })(),
  );
  t.is((error as { code?: string }).code, 'RELEASE_METADATA_OVERSIZED');
  await t.notThrowsAsync((await nodeOf(t, paths))('fleet/x', '1'));
});

test('killed at any moment of a publication: what was released is released, and the next one tidies up', async (t) => {
  const paths = await fleet(t);
  await releaseService(await bundle(paths, 'fleet/x', '1'), { paths });
  const child = join(import.meta.dirname, 'publish-child.ts');
  for (const delay of [0, 5, 20, 50, 100, 200, 400]) {
    const publisher = spawn(process.execPath, [child, paths.root], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(publisher.stdout, 'data');
    await new Promise((resolve) => setTimeout(resolve, delay));
    publisher.kill('SIGKILL');
    await once(publisher, 'close');
    for (const one of await releasedServices(paths)) {
      t.true(one.stored, `${one.name} ${one.version}`);
      t.is(sha256(await readFile(join(paths.bundles, one.sha256))), one.sha256);
    }
    t.true((await shown(paths)).includes('fleet fleet/x 1'));
  }
  await withdrawService({ name: 'fleet/x', version: '1' }, { paths });
  const named = (await releasedServices(paths)).map(({ sha256: digest }) => digest);
  t.deepEqual(
    (await readdir(paths.bundles)).filter((name) => !name.startsWith('making ')).sort(),
    named.sort(),
  );
});

test('a full disk during a publication leaves what was released', async (t) => {
  const paths = await fleet(t);
  await mkdir(paths.releases, { recursive: true });
  await mustRun('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'bootwave-test', paths.releases]);
  t.teardown(() => mustRun('umount', [paths.releases]));
  await releaseService(await bundle(paths, 'fleet/x', '1'), { paths });
  const error = await t.throwsAsync(
    (async () => {
      for (let i = 2; i < 100; i += 1)
        await releaseService(await bundle(paths, 'fleet/x', String(i)), { paths });
    })(),
  );
  t.is((error as NodeJS.ErrnoException).code, 'ENOSPC');
  const all = await releasedServices(paths);
  t.true(all.length > 0);
  t.true(all.every(({ stored }) => stored));
  await t.notThrowsAsync((await nodeOf(t, paths))('fleet/x', '1'));
});
