import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { partOf } from './contents.ts';

/** Files and symbolic links of a data directory, below one of its folders, in the order of their names; without what is made again. */
export async function walk(root: string, folder = ''): Promise<string[]> {
  const found: string[] = [];
  for (const one of (await readdir(join(root, folder), { withFileTypes: true })).toSorted((a, b) =>
    a.name < b.name ? -1 : 1,
  )) {
    const path = folder === '' ? one.name : `${folder}/${one.name}`;
    if (one.isDirectory()) {
      if (partOf(`${path}/`).part !== 'made') found.push(...(await walk(root, path)));
    } else if (one.isFile() || one.isSymbolicLink()) found.push(path);
  }
  return found;
}
