/** What lies on an installed node's disk in a rack, read from outside while the node runs. */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { mustRun } from '../../base/run.ts';
import type { Sealed } from '../../image/agent/root/disk/seal.ts';
import type { Rack } from './rack.ts';

type Table = { partitiontable: { partitions: { start: number }[] } };

/** UUID of the state's container; made anew with it. Empty where it is none. */
export async function stateUuid(rack: Rack, node: string): Promise<string> {
  const header = await luksHeader(rack, node);
  return header.toString('latin1', 168, 208).replace(/\0.*$/, '');
}

/** What the container's key is sealed to. */
export async function seals(rack: Rack, node: string): Promise<Sealed[]> {
  const json = (await luksHeader(rack, node)).toString('utf8', 4096).replace(/\0.*$/s, '');
  const { tokens } = JSON.parse(json) as { tokens: Record<string, { sealed: Sealed }> };
  return Object.values(tokens).map(({ sealed: seal }) => seal);
}

/** Whether the node has its ESP mounted for writing: Linux marks a FAT32 as dirty meanwhile (`state` of its boot sector). */
export async function isEspWritten(rack: Rack, node: string): Promise<boolean> {
  return ((await beginningOf(rack, node, 0, 512))[0x41]! & 1) !== 0;
}

/** The first of the node's second partition (LUKS2 on-disk format, 2.1 and 3); no byte where it is not one. */
async function luksHeader(rack: Rack, node: string): Promise<Buffer> {
  const header = await beginningOf(rack, node, 1, 16 * 1024);
  return header.toString('hex', 0, 8) === '4c554b53babe0002' ? header : Buffer.alloc(0);
}

async function beginningOf(rack: Rack, node: string, partition: number, bytes: number): Promise<Buffer> {
  const disk = join(rack.lab.folder, 'nodes', node, 'disk.raw');
  const { stdout } = await mustRun('sfdisk', ['--json', disk]);
  const start = (JSON.parse(stdout) as Table).partitiontable.partitions[partition]!.start * 512;
  const found = Buffer.alloc(bytes);
  const handle = await open(disk, 'r');
  await handle.read(found, 0, bytes, start).finally(() => handle.close());
  return found;
}
