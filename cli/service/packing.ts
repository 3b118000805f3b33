/** What commands that make a bundle take and show. */
import { resolve } from 'node:path';
import type { Published } from '../../orchestrator/operations/service/acts.ts';
import { harmless, megabytes } from '../context.ts';
import { type Json, textOf } from '../option.ts';

export type Packing = Json & { oci: string; manifest?: string };

export const OCI = [
  '--oci <path>',
  "image: a tar of 'docker save' or 'podman save', an OCI archive, or a folder",
] as const;
export const MANIFEST = [
  '--manifest <file>',
  'what it needs and may do, in YAML or JSON (docs/services.md)',
] as const;

/** After something was taken out of the release metadata. */
export const GOES_ON =
  "no node is given it any more. Nodes that run it go on until they restart: 'bootwave service list' shows how many, a rollout ends it";

const manifestIn = async ({ manifest }: { manifest?: string }): Promise<string> =>
  manifest === undefined
    ? ''
    : textOf(manifest, {
        code: 'SERVICE_MANIFEST',
        what: `${manifest} cannot be read`,
        unchanged: 'nothing was packed or published',
      });

/** What the server is asked to pack, of what people gave. */
export const packing = async (service: string, options: Packing) => ({
  service,
  oci: resolve(options.oci),
  manifest: await manifestIn(options),
});

export function packedText({ sha256, size, custom, stripped }: Published): string {
  const lines = [`bundle     ${megabytes(size)}, SHA-256 ${sha256}`, `root hash  ${custom.rootHash}`];
  if (stripped.length > 0) lines.push(`setuid or setgid was taken off ${strippedText(stripped)}`);
  return lines.join('\n');
}

/** Names are the image's. */
function strippedText(paths: readonly string[]): string {
  const named = paths.slice(0, 4).map(harmless).join(', ');
  return paths.length > 4 ? `${named} and ${paths.length - 4} more` : named;
}
