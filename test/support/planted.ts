/** Something on a node's disk that somebody could find there again, in the file that is the disk. */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { mustRun } from '../../base/run.ts';
import type { Rack } from './rack.ts';

const MIB = 2 ** 20;
const LINE = 'what somebody left on this disk\n';
/** In each of its lines once, so that a part of it is found, too. */
const PATTERN = Buffer.from(LINE.repeat(MIB / 32));

const disk = (rack: Rack, node: string) => join(rack.lab.folder, 'nodes', node, 'disk.raw');

/** In room that no file of the node has: near the end of its state, and between its files on the ESP. */
export async function plant(rack: Rack, node: string): Promise<void> {
  const { stdout } = await mustRun('sfdisk', ['--json', disk(rack, node)]);
  const { partitions } = (
    JSON.parse(stdout) as { partitiontable: { partitions: { start: number; size: number }[] } }
  ).partitiontable;
  const handle = await open(disk(rack, node), 'r+');
  try {
    for (const { start, size } of partitions)
      await handle.write(PATTERN, 0, PATTERN.length, (start + size) * 512 - 3 * MIB);
  } finally {
    await handle.close();
  }
}

/** How many pieces of the disk hold some of it. */
export async function found(rack: Rack, node: string): Promise<number> {
  const handle = await open(disk(rack, node), 'r');
  const piece = Buffer.alloc(16 * MIB);
  try {
    let count = 0;
    for (let at = 0; ; at += piece.length) {
      const { bytesRead } = await handle.read(piece, 0, piece.length, at);
      if (bytesRead === 0) return count;
      if (piece.subarray(0, bytesRead).includes(LINE.trim())) count += 1;
    }
  } finally {
    await handle.close();
  }
}
