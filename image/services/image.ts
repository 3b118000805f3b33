/** Which layers and which config an image has, from an OCI image layout or an archive of `docker save`. */
import { createHash } from 'node:crypto';
import type { z } from 'zod';
import { messageOf } from '../../base/error.ts';
import {
  ARCHITECTURES,
  CONFIGS,
  configSchema,
  type Descriptor,
  type ImageConfig,
  INDEXES,
  indexSchema,
  LAYERS,
  MANIFESTS,
  manifestSchema,
  savedSchema,
} from './documents.ts';
import { refused } from './failure.ts';
import type { OciLimits } from './limits.ts';
import { bytesOf, type Compression, compressionOf, type Piece, type Source } from './source.ts';

export type Layer = {
  piece: Piece;
  compression: Compression | null;
  /** SHA-256 of the bytes as they lie there, hex; null: nobody says. */
  digest: string | null;
  /** SHA-256 of the archive that is in it, hex. */
  diffId: string;
};

export type Image = { config: ImageConfig; layers: Layer[] };

/**
 * @param architecture as Node names it; null: whatever the one image in it is for
 * @throws BootwaveError `SERVICE_OCI`, `SERVICE_MEDIA_TYPE`, `SERVICE_DIGEST`, `SERVICE_TOO_LARGE`
 */
export async function readImage(
  source: Source,
  architecture: string | null,
  limits: OciLimits,
): Promise<Image> {
  // `docker save` of today writes both; this one names its layers without media types of its own.
  const saved = await source.piece('manifest.json');
  const image =
    saved === null ? await ofLayout(source, architecture, limits) : await ofSaved(source, saved, limits);
  const { config, layers } = image;
  if (config.os !== 'linux')
    throw refused('SERVICE_OCI', `${source.shown} is for ${JSON.stringify(config.os)}, not linux`);
  const found = ARCHITECTURES[config.architecture];
  if (found === undefined || (architecture !== null && found !== architecture))
    throw refused(
      'SERVICE_OCI',
      `${source.shown} is for machines of ${JSON.stringify(config.architecture)}${architecture === null ? '' : `, the manifest asks for ${architecture}`}`,
    );
  if (layers.length === 0 || layers.length > limits.layers)
    throw refused(
      'SERVICE_TOO_LARGE',
      `${source.shown} has ${layers.length} layers; 1 to ${limits.layers} can be`,
    );
  return image;
}

async function ofLayout(source: Source, architecture: string | null, limits: OciLimits): Promise<Image> {
  const marker = await source.piece('oci-layout');
  const index = await source.piece('index.json');
  if (marker === null || index === null)
    throw refused('SERVICE_OCI', `${source.shown} is no OCI image layout and no archive of 'docker save'`);
  const document = await documentIn(source, index, 'index.json', limits);
  const found = await manifestsIn(source, read(indexSchema, document, 'index.json').manifests, limits, 0);
  const isFor = ({ platform }: Descriptor) =>
    architecture === null || platform === undefined || ARCHITECTURES[platform.architecture] === architecture;
  const fitting = found.length === 1 ? found : found.filter(isFor);
  const [only, ...more] = fitting;
  if (only === undefined || more.length > 0)
    throw refused(
      'SERVICE_OCI',
      `${source.shown} holds ${fitting.length} images that it could be; one is needed`,
    );
  const manifest = read(manifestSchema, await blob(source, only, limits), 'the manifest of the image');
  mustBeOf(CONFIGS, manifest.config.mediaType, 'config');
  const configBytes = await blob(source, manifest.config, limits);
  const config = read(configSchema, configBytes, 'the config of the image');
  const layers: Layer[] = [];
  for (const [i, { mediaType, digest, size }] of manifest.layers.entries()) {
    mustBeOf(Object.keys(LAYERS), mediaType, `layer ${i + 1}`);
    const piece = await pieceOf(source, digest, size);
    const diffId = diffIdOf(config, i, manifest.layers.length);
    layers.push({ piece, compression: LAYERS[mediaType] ?? null, digest: digest.slice(7), diffId });
  }
  return { config, layers };
}

/** An index may name indexes: `docker save` and buildx write an image of several platforms so. */
async function manifestsIn(
  source: Source,
  descriptors: readonly Descriptor[],
  limits: OciLimits,
  depth: number,
): Promise<Descriptor[]> {
  const found: Descriptor[] = [];
  for (const one of descriptors) {
    // Attestations of a build, which buildx puts beside its images.
    if (one.platform?.os === 'unknown' || one.annotations?.['vnd.docker.reference.type'] !== undefined)
      continue;
    if (MANIFESTS.includes(one.mediaType)) found.push(one);
    else {
      mustBeOf(INDEXES, one.mediaType, 'what index.json names');
      if (depth > 0) throw refused('SERVICE_OCI', `${source.shown} has an index in an index in an index`);
      const document = await blob(source, one, limits);
      found.push(
        ...(await manifestsIn(source, read(indexSchema, document, 'an index').manifests, limits, depth + 1)),
      );
    }
  }
  return found;
}

async function ofSaved(source: Source, saved: Piece, limits: OciLimits): Promise<Image> {
  const document = await documentIn(source, saved, 'manifest.json', limits);
  const all = read(savedSchema, document, 'manifest.json');
  const [only, ...more] = all;
  if (only === undefined || more.length > 0)
    throw refused('SERVICE_OCI', `${source.shown} holds ${all.length} images; one is needed`);
  const piece = async (name: string) => {
    const found = await source.piece(name);
    if (found !== null) return found;
    throw refused(
      'SERVICE_OCI',
      `${source.shown} lacks ${JSON.stringify(name.slice(0, 200))}, which its manifest.json names`,
    );
  };
  const configBytes = await documentIn(source, await piece(only.Config), 'the config of the image', limits);
  const config = read(configSchema, configBytes, 'the config of the image');
  const layers: Layer[] = [];
  for (const [i, name] of only.Layers.entries()) {
    const at = await piece(name);
    const compression = at.size < 4 ? null : await compressionOf(at.path, at.start);
    layers.push({ piece: at, compression, digest: null, diffId: diffIdOf(config, i, only.Layers.length) });
  }
  return { config, layers };
}

function diffIdOf({ rootfs: { diff_ids } }: ImageConfig, i: number, layers: number): string {
  const found = diff_ids[i];
  if (found !== undefined && diff_ids.length === layers) return found.slice(7);
  throw refused('SERVICE_OCI', `the image has ${layers} layers, and its config names ${diff_ids.length}`);
}

async function pieceOf({ shown, piece }: Source, digest: string, size: number): Promise<Piece> {
  const found = await piece(`blobs/sha256/${digest.slice(7)}`);
  if (found === null) throw refused('SERVICE_OCI', `${shown} lacks ${digest}, which it names`);
  if (found.size === size) return found;
  throw refused(
    'SERVICE_DIGEST',
    `${digest} in ${shown} has ${found.size} bytes and is said to have ${size}`,
  );
}

async function blob(source: Source, { digest, size }: Descriptor, limits: OciLimits): Promise<Buffer> {
  const bytes = await documentIn(source, await pieceOf(source, digest, size), digest, limits);
  const is = createHash('sha256').update(bytes).digest('hex');
  if (digest === `sha256:${is}`) return bytes;
  throw refused('SERVICE_DIGEST', `${digest} in ${source.shown} has the SHA-256 ${is}`);
}

async function documentIn({ shown }: Source, piece: Piece, name: string, limits: OciLimits): Promise<Buffer> {
  if (piece.size > limits.document)
    throw refused(
      'SERVICE_TOO_LARGE',
      `${name} in ${shown} has ${piece.size} bytes; ${limits.document} at most can be`,
    );
  const parts: Uint8Array[] = [];
  for await (const part of bytesOf(piece)) parts.push(part);
  return Buffer.concat(parts);
}

function read<T>(schema: z.ZodType<T>, bytes: Buffer, name: string): T {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw refused('SERVICE_OCI', `${name} is not JSON: ${messageOf(cause)}`, cause);
  }
  const { data, error } = schema.safeParse(value);
  if (error === undefined) return data;
  const [first] = error.issues;
  throw refused('SERVICE_OCI', `${name} is not understood: ${first?.path.join('.')}: ${first?.message}`);
}

function mustBeOf(known: readonly string[], mediaType: string, what: string): void {
  if (known.includes(mediaType)) return;
  throw refused(
    'SERVICE_MEDIA_TYPE',
    `${what} has the media type ${JSON.stringify(mediaType)}, which is not known here`,
  );
}
