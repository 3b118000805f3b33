/** The fleet's own mirror, built from Debian's package, contained as a node contains it, and asked over the wire. */
import { createHash } from 'node:crypto';
import { link, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { shareFiles, shareImage } from '../../../../../image/agent/root/services/share.ts';
import { buildBlock } from '../../../../../image/services/build.ts';
import { servedName } from '../../../../../protocol/release-target.ts';
import { MIRROR } from '../../../../../protocol/service/mirror.ts';
import { bundleUrlPath } from '../../../../../protocol/service/name.ts';
import { box } from './box.ts';
import { scratch } from './bundles.ts';

const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const content = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 31) & 0xff));
const image = { version: '2.0~rc1', sha256: digest(content), size: content.length };
const bundle = Buffer.from('a bundle');

test('it serves images and bundles of its node by ranges, and nothing else that is there', async (t) => {
  t.timeout(10 * 60_000);
  const folder = await scratch(t);
  const built = await buildBlock('image-mirror', join(folder, 'mirror.bundle'));
  t.true(built.size < 8e6, `${built.size} bytes`);
  t.log(`${built.size} bytes`);
  const { manifest } = built.custom;
  t.is(built.custom.service, MIRROR.service);
  t.deepEqual(
    manifest.ports.map(({ port }) => port),
    [MIRROR.port],
  );
  t.deepEqual(manifest.egress, []);
  const node = await box(t);
  const { exec, folder: at } = node;
  const places = {
    ...{ store: join(at, 'bundles'), shared: join(at, 'shared'), states: join(at, 'states') },
    ...{ downloads: join(at, 'downloads'), space: async () => ({ total: 2 ** 40, free: 2 ** 40 }) },
  };
  await mkdir(places.store, { mode: 0o700 });
  const path = bundleUrlPath(digest(bundle));
  await writeFile(join(places.store, digest(bundle)), bundle, { mode: 0o600 });
  await writeFile(join(places.store, `${digest(bundle)}.json`), 'what was released');
  await shareFiles(true, places);
  await shareImage(
    image,
    async function* () {
      yield content;
    },
    places,
  );
  // What never is there may be asked for all the same.
  await writeFile(join(places.shared, 'secret'), 'secret');
  await link(join(places.shared, 'secret'), join(places.shared, 'images/order.json'));
  await node.start('fleet/image-mirror', 7, built as never, manifest);

  await node.wire();
  const curl = async (target: string, ...more: string[]) => {
    const { stdout } = await exec(
      ...['ip', 'netns', 'exec', 'outside', 'curl', '--silent', '--max-time', '20', '--path-as-is'],
      ...['--output', join(at, 'got'), '--write-out', '%{http_code} %{size_download}', ...more],
      `http://10.93.0.1:${MIRROR.port}${target}`,
    );
    return stdout;
  };
  const url = `/images/${servedName(image.version, image.sha256)}`;
  t.is(await curl('/health', '--retry', '100', '--retry-all-errors', '--retry-delay', '1'), '204 0');
  t.is(await curl(url), `200 ${content.length}`);
  t.is((await exec('sha256sum', join(at, 'got'))).stdout.slice(0, 64), image.sha256);
  t.is(await curl(url, '--range', '100000-'), `206 ${content.length - 100_000}`);
  t.is(await curl(`/${path}`), `200 ${bundle.length}`);
  for (const other of [
    ...['/', '/images/', '/images', '/secret', '/images/order.json', `/${path}.json`, '/etc/nginx.conf'],
    ...[`/images/../secret`, `/images/%2e%2e/secret`, `/${path}/../../secret`, `//secret`, `/srv/secret`],
    ...[
      `/images/${'0'.repeat(64)}.bootwave_1.efi`,
      `/bundles/${'0'.repeat(64)}`,
      '/images/metadata/root.json',
    ],
  ])
    t.regex(await curl(other), /^40[04] /, other);
  for (const method of ['PUT', 'DELETE', 'POST', 'PROPFIND'])
    t.regex(await curl(url, '--request', method, '--data', 'x'), /^40[035] /, method);
  const pid = (await readFile(join(at, 'run/instances/fleet.image-mirror/pid'), 'utf8')).trim();
  const mounts = await readFile(`/proc/${pid}/mountinfo`, 'utf8');
  t.regex(mounts, / \/srv ro,nosuid,nodev,noexec,/);

  // The bundle leaves the node.
  await exec('rm', join(places.store, digest(bundle)));
  t.deepEqual(await shareFiles(true, places), [image.sha256]);
  t.regex(await curl(`/${path}`), /^404 /);
  await shareFiles(false, places);
  t.regex(await curl(url), /^404 /);
  await shareFiles(true, places);
  await shareImage(
    image,
    async function* () {
      yield content;
    },
    places,
  );
  t.is(await curl(url), `200 ${content.length}`, 'it finds what comes later');
});
