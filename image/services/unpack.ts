/** Umoci makes files of layers that were judged. It is given a layout with nothing in it but them. */
import { createHash } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { mustRun } from '../../base/run.ts';
import { CONFIGS, INDEXES, LAYERS, MANIFESTS } from './documents.ts';
import type { Image } from './image.ts';
import { checkLayers } from './layers.ts';
import type { OciLimits } from './limits.ts';

const [INDEX, MANIFEST, CONFIG, LAYER] = [INDEXES[0], MANIFESTS[0], CONFIGS[0], Object.keys(LAYERS)[0]];

/**
 * @param work an empty folder on the same disk; what was written there in passing is removed
 * @returns the folder with the files @throws BootwaveError as `checkLayers`; `COMMAND_FAILED`
 */
export async function unpack(
  { config, layers }: Image,
  work: string,
  limits: OciLimits,
  signal?: AbortSignal,
): Promise<string> {
  const layout = join(work, 'layout');
  const blobs = join(layout, 'blobs/sha256');
  await mkdir(blobs, { recursive: true });
  const checked = await checkLayers(layers, blobs, limits, signal);
  const put = async (mediaType: string | undefined, bytes: Buffer) => {
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    await writeFile(join(blobs, sha256), bytes);
    return { mediaType, digest: `sha256:${sha256}`, size: bytes.length };
  };
  const json = (value: object) => Buffer.from(JSON.stringify(value));
  // Only what umoci needs of it: the rest was not judged.
  const { architecture, os, rootfs } = config;
  const manifest = await put(
    MANIFEST,
    json({
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: await put(CONFIG, json({ architecture, os, rootfs, config: {} })),
      layers: checked.map(({ diffId, size }) => ({ mediaType: LAYER, digest: `sha256:${diffId}`, size })),
    }),
  );
  const named = { ...manifest, annotations: { 'org.opencontainers.image.ref.name': 'it' } };
  await writeFile(
    join(layout, 'index.json'),
    json({ schemaVersion: 2, mediaType: INDEX, manifests: [named] }),
  );
  await writeFile(join(layout, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }));
  const root = join(work, 'root');
  // Folders that no layer names get their mode from the umask, and the same image must give the same bytes everywhere.
  const umask = ['-c', 'umask 022 && exec "$@"', 'sh'];
  await mustRun('sh', [...umask, 'umoci', 'raw', 'unpack', '--image', `${layout}:it`, root], {
    env: { ...process.env, HOME: work },
    ...(signal === undefined ? {} : { signal }),
  });
  await rm(layout, { recursive: true });
  return root;
}
