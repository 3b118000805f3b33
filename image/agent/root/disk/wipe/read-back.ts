/**
 * Whether what was on a disk is still there. What a program or a drive says of its own work is no evidence: the disk is read before
 * and after, and compared.
 */
import { createHash } from 'node:crypto';
import { BLOCK, type Region } from './regions.ts';

/** A disk, or what a test puts in its place. Reads and writes are whole, or fail. */
export type Target = {
  /** Bytes. */
  size: number;
  read(into: Buffer, at: number): Promise<void>;
  write(from: Buffer, at: number): Promise<void>;
  /** All writes are on the disk, and the next read asks the disk itself. */
  settle(): Promise<void>;
  /** The whole disk at once, by what the drive has for that. @throws Error what it says instead of success */
  discard(): Promise<void>;
};

/** Bytes read or written at once. */
export const PIECE = 2 ** 20;
/** Of a digest: two blocks that are not the same are taken for the same once in 2^64. */
const DIGEST = 8;

export type Sample = Region & { blocks: Buffer };
export type Survivor = { what: string; at: number };

/** Digests of what is there now, block by block; zeros for blocks with nothing to lose. */
export async function sample(target: Target, regions: readonly Region[]): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (const region of regions) {
    const digests: Buffer[] = [];
    await eachBlock(target, region, (block) => digests.push(digestOf(block)));
    samples.push({ ...region, blocks: Buffer.concat(digests) });
  }
  return samples;
}

/** Blocks that read as they did before. @param most that are looked for: the first ones say enough */
export async function survivors(target: Target, samples: readonly Sample[], most = 16): Promise<Survivor[]> {
  const found: Survivor[] = [];
  for (const { blocks, ...region } of samples) {
    let n = 0;
    await eachBlock(target, region, (block, at) => {
      const before = blocks.subarray(n * DIGEST, (n + 1) * DIGEST);
      n += 1;
      if (!before.equals(NOTHING) && digestOf(block).equals(before)) found.push({ what: region.what, at });
    });
    if (found.length >= most) return found.slice(0, most);
  }
  return found;
}

/** Blocks that are not what was written over all of it: zeros. */
export async function notZero(target: Target, regions: readonly Region[], most = 16): Promise<Survivor[]> {
  const found: Survivor[] = [];
  for (const region of regions) {
    await eachBlock(target, region, (block, at) => {
      if (!block.equals(ZEROS.subarray(0, block.length))) found.push({ what: region.what, at });
    });
    if (found.length >= most) return found.slice(0, most);
  }
  return found;
}

const NOTHING = Buffer.alloc(DIGEST);
const ZEROS = Buffer.alloc(BLOCK);

/** The same byte all over is what blank, discarded and overwritten disks read as. */
function digestOf(block: Buffer): Buffer {
  // Each byte is the one before it.
  if (block.subarray(1).equals(block.subarray(0, -1))) return NOTHING;
  return createHash('sha256').update(block).digest().subarray(0, DIGEST);
}

async function eachBlock(
  target: Target,
  { from, length }: Pick<Region, 'from' | 'length'>,
  see: (block: Buffer, at: number) => void,
): Promise<void> {
  const end = Math.min(from + length, target.size);
  for (let at = from; at < end; at += PIECE) {
    const piece = Buffer.alloc(Math.min(PIECE, end - at));
    await target.read(piece, at);
    for (let i = 0; i < piece.length; i += BLOCK) see(piece.subarray(i, i + BLOCK), at + i);
  }
}
