/**
 * The tree of hashes that dm-verity reads beside a file (Linux, Documentation/admin-guide/device-mapper/verity.rst): hash
 * type 1, SHA-256, blocks of 4096 bytes, no superblock. Each digest is that of salt and block; 128 digests fill a block
 * of the level above, the last one filled up with zeros. In the file the highest level comes first.
 */
import { hash } from 'node:crypto';

const BLOCK = 4096;
const DIGEST = 32;

/** Bytes of the tree over so many bytes of data, which fill whole blocks. */
export function treeBytes(data: number): number {
  let bytes = 0;
  for (let blocks = data / BLOCK; blocks > 1; ) {
    blocks = Math.ceil((blocks * DIGEST) / BLOCK);
    bytes += blocks * BLOCK;
  }
  return bytes;
}

/** Takes the data in order, and tells the tree over it. */
export class VerityTree {
  readonly #salted: Buffer;
  readonly #salt: number;
  readonly #level = new Level();
  #rest: Buffer = Buffer.alloc(0);

  /** @param salt hex */
  constructor(salt: string) {
    const bytes = Buffer.from(salt, 'hex');
    this.#salt = bytes.length;
    this.#salted = Buffer.concat([bytes, Buffer.alloc(BLOCK)]);
  }

  /** @param data of any length; all of it together fills whole blocks */
  add(data: Buffer): void {
    const bytes = this.#rest.length === 0 ? data : Buffer.concat([this.#rest, data]);
    let at = 0;
    for (; at + BLOCK <= bytes.length; at += BLOCK)
      this.#level.add(this.#digest(bytes.subarray(at, at + BLOCK)));
    this.#rest = Buffer.from(bytes.subarray(at));
  }

  /** @returns the tree's bytes as they stand in a file, and the root hash, hex @throws RangeError without whole blocks */
  end(): { tree: Buffer; root: string } {
    if (this.#rest.length > 0 || this.#level.digests === 0)
      throw new RangeError('the data does not fill whole blocks');
    const levels: Buffer[] = [];
    let below = this.#level;
    while (below.digests > 1) {
      levels.unshift(...below.blocks);
      const above = new Level();
      for (const block of below.blocks) above.add(this.#digest(block));
      below = above;
    }
    return {
      tree: Buffer.concat(levels),
      root: below.blocks[0]!.toString('hex', 0, DIGEST),
    };
  }

  #digest(block: Buffer): Buffer {
    block.copy(this.#salted, this.#salt);
    return hash('sha256', this.#salted, 'buffer');
  }
}

/** Digests side by side in whole blocks. */
class Level {
  readonly blocks: Buffer[] = [];
  digests = 0;

  add(digest: Buffer): void {
    const at = (this.digests * DIGEST) % BLOCK;
    if (at === 0) this.blocks.push(Buffer.alloc(BLOCK));
    digest.copy(this.blocks.at(-1)!, at);
    this.digests += 1;
  }
}
