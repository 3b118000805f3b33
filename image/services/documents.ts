/** What the documents of an image say: OCI image format 1.1, and what `docker save` wrote before it knew that. */
import { z } from 'zod';

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'is no SHA-256');

/** Image spec, "OCI Content Descriptors". */
const descriptorSchema = z.object({
  mediaType: z.string().max(256),
  digest,
  size: z.int().min(0),
  platform: z.object({ os: z.string(), architecture: z.string() }).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
});
export type Descriptor = z.infer<typeof descriptorSchema>;

export const indexSchema = z.object({ manifests: z.array(descriptorSchema).max(1000) });

export const manifestSchema = z.object({
  config: descriptorSchema,
  layers: z.array(descriptorSchema).min(1),
});

/** `manifest.json` of `docker save`. */
export const savedSchema = z.array(
  z.object({ Config: z.string(), Layers: z.array(z.string()), RepoTags: z.array(z.string()).nullish() }),
);

/** Image spec, "OCI Image Configuration": what is of use here. */
export const configSchema = z.object({
  architecture: z.string(),
  os: z.string(),
  /** RFC 3339. */
  created: z.string().nullish(),
  config: z
    .object({
      User: z.string().optional(),
      ExposedPorts: z.record(z.string(), z.unknown()).nullish(),
      Env: z.array(z.string()).nullish(),
      Entrypoint: z.array(z.string()).nullish(),
      Cmd: z.array(z.string()).nullish(),
      WorkingDir: z.string().optional(),
      StopSignal: z.string().optional(),
    })
    .nullish(),
  rootfs: z.object({ type: z.literal('layers'), diff_ids: z.array(digest) }),
});
export type ImageConfig = z.infer<typeof configSchema>;

/** As the image spec has them, by Node's names. */
export const ARCHITECTURES: Readonly<Record<string, string>> = { amd64: 'x64', arm64: 'arm64' };

export const architectureOf = ({ architecture }: Pick<ImageConfig, 'architecture'>): string =>
  ARCHITECTURES[architecture] ?? architecture;

export const INDEXES: readonly string[] = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];
export const MANIFESTS: readonly string[] = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];
export const CONFIGS: readonly string[] = [
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
];
/** How each is compressed. Layers that are to be fetched from elsewhere are not known here. */
export const LAYERS: Readonly<Record<string, 'gzip' | 'zstd' | null>> = {
  'application/vnd.oci.image.layer.v1.tar': null,
  'application/vnd.oci.image.layer.v1.tar+gzip': 'gzip',
  'application/vnd.oci.image.layer.v1.tar+zstd': 'zstd',
  'application/vnd.docker.image.rootfs.diff.tar': null,
  'application/vnd.docker.image.rootfs.diff.tar.gzip': 'gzip',
};
