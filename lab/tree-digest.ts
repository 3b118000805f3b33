import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOf, digestOfTree, REPOSITORY } from '../image/build/cache.ts';

/** All that runs on a node or a server. */
const TREES = ['base', 'bootserver', 'cli', 'formats', 'image', 'keys', 'lab', 'orchestrator', 'protocol'];

/** SHA-256, hexadecimal, of what a saved lab of this checkout is made of, its machines apart. @param more further folders */
export async function treeDigest(more: readonly string[] = []): Promise<string> {
  return digestOf([
    await readFile(join(REPOSITORY, 'package-lock.json'), 'utf8'),
    ...(await Promise.all([...TREES, ...more].map((tree) => digestOfTree(join(REPOSITORY, tree))))),
  ]);
}
