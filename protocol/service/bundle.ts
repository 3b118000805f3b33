/** What TUF's metadata says of a bundle beyond its length and digests (`custom`; 1.0.34, 4.5). */
// The mini build, because the agent's bundle holds this file.

import * as z from 'zod/mini';
import { sha256Hex } from '../../formats/digest.ts';
import { manifestSchema } from './manifest.ts';
import { serviceNameSchema, serviceVersionSchema } from './name.ts';

/**
 * A bundle is one file: a squashfs, filled up to a whole block, then the tree of hashes over it (dm-verity, version 1,
 * SHA-256, no superblock). These are the rest of what `veritysetup` must be told.
 */
export const VERITY = {
  /** Bytes of a block of data and of hashes. */
  block: 4096,
  /** Fixed, so that the same files give the same bytes. */
  salt: '00'.repeat(32),
} as const;

/** The same as options of `veritysetup`, which makes the tree and opens it. @param dataBytes of whole blocks */
export const verityOptions = (dataBytes: number): string[] => [
  ...['--no-superblock', '--format=1', '--hash=sha256'],
  ...[`--data-block-size=${VERITY.block}`, `--hash-block-size=${VERITY.block}`],
  ...[`--data-blocks=${dataBytes / VERITY.block}`, `--hash-offset=${dataBytes}`, `--salt=${VERITY.salt}`],
];

export const BUNDLE_LIMITS = {
  /** Bytes of the whole file. */
  bytes: 4 * 2 ** 30,
} as const;

export const bundleCustom = z.object({
  bootwave: z.strictObject({
    format: z.literal(1),
    service: serviceNameSchema,
    version: serviceVersionSchema,
    /** Of the tree, hex. The only root hash that a node ever opens a bundle with. */
    rootHash: sha256Hex,
    /** Bytes of the squashfs with its filling: where the tree begins. */
    dataBytes: z.int().check(z.gte(VERITY.block), z.lte(BUNDLE_LIMITS.bytes), z.multipleOf(VERITY.block)),
    manifest: manifestSchema,
  }),
});
export type BundleCustom = z.infer<typeof bundleCustom>['bootwave'];
