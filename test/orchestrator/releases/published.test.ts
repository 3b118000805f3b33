import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { manifestFile } from '../../../image/build/manifest.ts';
import { PublishedPcr11 } from '../../../orchestrator/releases/published.ts';

const manifest = (version: string, pcr11: string) => ({
  version,
  size: 1,
  sha256: '0'.repeat(64),
  unsignedSha256: '0'.repeat(64),
  pcr11,
  kernel: '6.1.0',
  parts: [],
  firmwareMissing: [],
  builtFrom: '0'.repeat(64),
  packages: [],
});

test('PCR 11 is what the manifest of that version says now', async (t) => {
  const images = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(images, { recursive: true, force: true }));
  const publish = async (version: string, text: string) => {
    await writeFile(`${manifestFile(images, version)}.new`, text);
    await rename(`${manifestFile(images, version)}.new`, manifestFile(images, version));
  };
  const published = new PublishedPcr11(images);
  t.is(await published.of('1.0'), null);
  await publish('1.0', JSON.stringify(manifest('1.0', 'a'.repeat(64))));
  t.is(await published.of('1.0'), 'a'.repeat(64));
  t.is(await published.of('1.0'), 'a'.repeat(64));
  await publish('1.0', JSON.stringify(manifest('1.0', 'b'.repeat(64))));
  t.is(await published.of('1.0'), 'b'.repeat(64), 'built again');
  await rm(manifestFile(images, '1.0'));
  t.is(await published.of('1.0'), null, 'withdrawn');
  await publish('2.0', '{"version":"2.0"}');
  for (const version of ['2.0', '../../etc/passwd', '', '\u0000', 'x'.repeat(4096)]) {
    t.is(await published.of(version), null, JSON.stringify(version.slice(0, 20)));
  }
});
