import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Fleet } from './fleet.ts';
import { HonestNode } from './node.ts';
import { SoftwareTpm } from './swtpm.ts';

/** Two honest machines, each with a software TPM of its own in the fleet's folder. `stop` comes before the fleet is removed. */
export async function twoMachines(fleet: Fleet) {
  const folders = [join(fleet.folder, 'a'), join(fleet.folder, 'b')] as const;
  for (const folder of folders) await mkdir(folder);
  const [software, otherSoftware] = [new SoftwareTpm(folders[0]), new SoftwareTpm(folders[1])];
  await Promise.all([software.start(), otherSoftware.start()]);
  const node = await HonestNode.withTpm(folders[0], software);
  const other = await HonestNode.withTpm(folders[1], otherSoftware);
  const stop = () => Promise.all([software.stop(), otherSoftware.stop()]);
  return { folders, software, otherSoftware, node, other, stop };
}
