/** A fleet's release keys and published images that are a few bytes each: all that publishing looks at. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { createLogger } from '../../../base/log.ts';
import { type DataPaths, dataPaths } from '../../../base/paths.ts';
import { type HttpServer, startHttp } from '../../../bootserver/http/server.ts';
import { imageFile, type Manifest, manifestFile } from '../../../image/build/manifest.ts';
import { metadataFolder } from '../../../image/publish/repository.ts';
import { initReleaseKeys } from '../../../keys/release/init.ts';
import { makeUki } from '../../bootserver/http/fixture.ts';

export const contentOf = (version: string): Buffer =>
  makeUki([{ name: '.linux', content: Buffer.alloc(3000, `image ${version} `) }]);

export async function scratch(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-publish-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** What `keys init` and `image build` leave, as far as releases go. */
export async function fleet(t: ExecutionContext, ...versions: string[]): Promise<DataPaths> {
  const paths = dataPaths(join(await scratch(t), 'data'));
  await mkdir(paths.images, { recursive: true });
  await initReleaseKeys(paths.keys);
  for (const version of versions) await build(paths, version);
  return paths;
}

export async function build(
  paths: DataPaths,
  version: string,
  content = contentOf(version),
): Promise<Manifest> {
  const manifest: Manifest = {
    version,
    size: content.length,
    sha256: createHash('sha256').update(content).digest('hex'),
    unsignedSha256: '0'.repeat(64),
    pcr11: createHash('sha256').update(`pcr ${version}`).digest('hex'),
    kernel: '6.1.0',
    parts: [],
    firmwareMissing: [],
    builtFrom: '0'.repeat(64),
    packages: [],
  };
  await writeFile(imageFile(paths.images, version), content);
  await writeFile(manifestFile(paths.images, version), JSON.stringify(manifest));
  return manifest;
}

/** The boot server's own HTTP. */
export async function serve(
  t: ExecutionContext,
  paths: DataPaths,
): Promise<{ server: HttpServer; url: string }> {
  const server = await startHttp({
    listen: { host: '127.0.0.1', port: 0 },
    images: paths.images,
    loaders: paths.loaders,
    metadata: metadataFolder(paths.releases),
    script: async () => undefined,
    log: createLogger('test', 'silent'),
  });
  t.teardown(() => server.stop());
  return { server, url: `http://127.0.0.1:${server.port}/images` };
}
