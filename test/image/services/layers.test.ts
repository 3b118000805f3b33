/** Images that are refused before anything is unpacked. */
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import { readImage } from '../../../image/services/image.ts';
import { checkLayers } from '../../../image/services/layers.ts';
import { OCI_LIMITS, type OciLimits } from '../../../image/services/limits.ts';
import { openSource } from '../../../image/services/source.ts';
import { folder, layout, type Made, sha256, tarOf } from './oci.ts';

async function check(
  t: ExecutionContext,
  path: string,
  limits: Partial<OciLimits> = {},
  architecture: string | null = null,
) {
  const all = { ...OCI_LIMITS, ...limits };
  const work = await folder(t);
  const image = await readImage(await openSource(path, work, all), architecture, all);
  const into = await folder(t);
  const checked = await checkLayers(image.layers, into, all);
  t.deepEqual((await readdir(into)).sort(), [...new Set(checked.map(({ diffId }) => diffId))].sort());
  return checked;
}

const good: Made[] = [
  { name: 'bin/', flag: '5', mode: 0o755 },
  { name: 'bin/x', content: 'x', mode: 0o755 },
];

test('layers as they are, with gzip and with zstd', async (t) => {
  const layers = [tarOf(good), tarOf([{ name: 'etc/y', content: 'y' }])];
  for (const gzip of [true, false])
    t.deepEqual(
      (await check(t, await layout(t, { layers, gzip }))).map(({ diffId }) => diffId),
      layers.map(sha256),
    );
  const packed = zstdCompressSync(layers[0]!);
  const zstd = await layout(t, {
    layers: [layers[0]!],
    manifest: (made: Record<string, object>) => ({
      ...made,
      layers: [
        {
          mediaType: 'application/vnd.oci.image.layer.v1.tar+zstd',
          digest: `sha256:${sha256(packed)}`,
          size: packed.length,
        },
      ],
    }),
  });
  await writeFile(join(zstd, 'blobs/sha256', sha256(packed)), packed);
  await t.notThrowsAsync(check(t, zstd));
});

test('what is in a layer is refused with its name and the layer', async (t) => {
  const layers = [
    tarOf(good),
    tarOf([
      { name: 'a', flag: '2', target: '/etc' },
      { name: 'a/passwd', content: 'root::0:0' },
    ]),
  ];
  await t.throwsAsync(check(t, await layout(t, { layers })), {
    code: 'SERVICE_LAYER',
    message: /"a\/passwd" of layer 2: its path goes through a, which is a symlink/,
  });
  const device = tarOf([{ name: 'dev/sda', flag: '4' }]);
  await t.throwsAsync(check(t, await layout(t, { layers: [device] })), {
    code: 'SERVICE_LAYER',
    message: /block device/,
  });
  await t.throwsAsync(check(t, await layout(t, { layers: [Buffer.from('no tar'.repeat(200))] })), {
    code: 'SERVICE_LAYER',
  });
});

test('more than there may be is refused while it is read', async (t) => {
  const many = tarOf(Array.from({ length: 50 }, (_, i) => ({ name: `f${i}` })));
  await t.throwsAsync(check(t, await layout(t, { layers: [many] }), { entries: 49 }), {
    code: 'SERVICE_LAYER',
    message: /more than 49 entries/,
  });
  // 20 MB of zeros in 20 kB.
  const bomb = tarOf([{ name: 'zeros', content: Buffer.alloc(20_000_000) }]);
  const path = await layout(t, { layers: [tarOf(good), bomb] });
  await t.throwsAsync(check(t, path, { bytes: 1_000_000 }), { code: 'SERVICE_TOO_LARGE' });
  const layers = Array.from({ length: 4 }, (_, i) => tarOf([{ name: `f${i}` }]));
  await t.throwsAsync(check(t, await layout(t, { layers }), { layers: 3 }), { code: 'SERVICE_TOO_LARGE' });
  await t.throwsAsync(check(t, await layout(t, { layers }), { document: 100 }), {
    code: 'SERVICE_TOO_LARGE',
  });
});

test('what is not as it is said to be is refused', async (t) => {
  const layers = [tarOf(good)];
  const changes: [string, (layer: { digest: string; size: number; mediaType: string }) => object, string][] =
    [
      ['another size', (layer) => ({ ...layer, size: layer.size + 1 }), 'SERVICE_DIGEST'],
      ['no such blob', (layer) => ({ ...layer, digest: `sha256:${'0'.repeat(64)}` }), 'SERVICE_OCI'],
      ['a path for a digest', (layer) => ({ ...layer, digest: 'sha256:../../index.json' }), 'SERVICE_OCI'],
      ['another algorithm', (layer) => ({ ...layer, digest: `md5:${'0'.repeat(32)}` }), 'SERVICE_OCI'],
      [
        'an unknown media type',
        (layer) => ({ ...layer, mediaType: 'application/x-executable' }),
        'SERVICE_MEDIA_TYPE',
      ],
      [
        'a layer of elsewhere',
        (layer) => ({ ...layer, mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip' }),
        'SERVICE_MEDIA_TYPE',
      ],
      [
        'gzip that is said to be none',
        (layer) => ({ ...layer, mediaType: 'application/vnd.oci.image.layer.v1.tar' }),
        'SERVICE_LAYER',
      ],
    ];
  for (const [what, change, code] of changes) {
    const manifest = (made: Record<string, never[]>) => ({ ...made, layers: [change(made.layers![0]!)] });
    await t.throwsAsync(check(t, await layout(t, { layers, manifest })), { code }, what);
  }
  const config = (made: Record<string, object>) => ({
    ...made,
    config: { ...made.config, mediaType: 'text/plain' },
  });
  await t.throwsAsync(check(t, await layout(t, { layers, manifest: config })), {
    code: 'SERVICE_MEDIA_TYPE',
  });
  // The layer of another image under the digest of this one; the size is right.
  const path = await layout(t, { layers });
  const packed = gzipSync(layers[0]!, { level: 1 });
  const forged = Buffer.from(packed);
  // The time in the head of gzip (RFC 1952, 2.3), which changes nothing of what is in it.
  forged[4]! ^= 1;
  await writeFile(join(path, 'blobs/sha256', sha256(packed)), forged);
  await t.throwsAsync(check(t, path), { code: 'SERVICE_DIGEST' });
});

test('another machine, no image, two images, no layout', async (t) => {
  const layers = [tarOf(good)];
  await t.throwsAsync(check(t, await layout(t, { layers, architecture: 's390x' })), {
    code: 'SERVICE_OCI',
    message: /s390x/,
  });
  await t.throwsAsync(check(t, await layout(t, { layers }), {}, 'arm64'), {
    code: 'SERVICE_OCI',
    message: /amd64/,
  });
  const two = await layout(t, { layers });
  const { manifests } = JSON.parse(await readFile(join(two, 'index.json'), 'utf8'));
  const index = (all: object[]) =>
    writeFile(join(two, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: all }));
  await index([manifests[0], manifests[0]]);
  await t.throwsAsync(check(t, two), { code: 'SERVICE_OCI', message: /holds 2 images/ });
  await index([
    manifests[0],
    { ...manifests[0], annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } },
  ]);
  await t.notThrowsAsync(check(t, two), 'what a builder says of its image is no image');
  await index([]);
  await t.throwsAsync(check(t, two), { code: 'SERVICE_OCI' });
  await writeFile(join(two, 'index.json'), '{');
  await t.throwsAsync(check(t, two), { code: 'SERVICE_OCI', message: /not JSON/ });
  await t.throwsAsync(check(t, await folder(t)), { code: 'SERVICE_OCI' });
  await t.throwsAsync(check(t, '/nowhere'), { code: 'SERVICE_OCI' });
  await t.throwsAsync(check(t, '/dev/null'), { code: 'SERVICE_OCI' });
});

test('an archive of docker save: links to layers, and what is no archive', async (t) => {
  const layer = tarOf(good);
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [layer, layer].map((one) => `sha256:${sha256(one)}`) },
  });
  const saved = (layers: string[]) =>
    JSON.stringify([{ Config: 'c.json', RepoTags: ['x:1'], Layers: layers }]);
  const archive = async (entries: Made[]) => {
    const path = join(await folder(t), 'saved.tar');
    await writeFile(path, tarOf(entries));
    return path;
  };
  const parts: Made[] = [
    { name: 'c.json', content: config },
    { name: 'one/layer.tar', content: layer },
    { name: 'two/layer.tar', flag: '2', target: '../one/layer.tar' },
  ];
  const layers = ['one/layer.tar', 'two/layer.tar'];
  await t.notThrowsAsync(
    check(t, await archive([...parts, { name: 'manifest.json', content: saved(layers) }])),
  );
  await t.throwsAsync(
    check(t, await archive([...parts, { name: 'manifest.json', content: saved(['one/layer.tar']) }])),
    { code: 'SERVICE_OCI' },
  );
  await t.throwsAsync(
    check(
      t,
      await archive([...parts, { name: 'manifest.json', content: saved(['one/layer.tar', '/etc/passwd']) }]),
    ),
    {
      code: 'SERVICE_OCI',
    },
  );
  const twice = [...parts, parts[0]!, { name: 'manifest.json', content: saved(layers) }];
  await t.throwsAsync(check(t, await archive(twice)), { code: 'SERVICE_OCI', message: /twice/ });
  const cut = await archive([...parts, { name: 'manifest.json', content: saved(layers) }]);
  await truncate(cut, 2000);
  await t.throwsAsync(check(t, cut), { code: 'SERVICE_OCI' });
  const packed = join(await folder(t), 'saved.tar.gz');
  await writeFile(packed, gzipSync(tarOf([...parts, { name: 'manifest.json', content: saved(layers) }])));
  await t.notThrowsAsync(check(t, packed), 'with gzip around it');
  await t.throwsAsync(check(t, packed, { bytes: 1000 }), { code: 'SERVICE_TOO_LARGE' });
});
