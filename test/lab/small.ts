/** Labs of one small machine, for tests that need a power switch more than a system. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { createLab, type LabOptions } from '../../lab/create.ts';
import type { LabEvent } from '../../lab/events.ts';

export async function temporary(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** A lab of one small BIOS node that is taken down whatever the test does. */
export async function small(t: ExecutionContext, options: Partial<LabOptions> = {}) {
  const folder = join(await temporary(t), 'lab');
  const events: LabEvent[] = [];
  const lab = await createLab({
    folder,
    nodes: [{ name: 'n1', firmware: 'bios', memoryMiB: 256, diskGiB: 1 }],
    accelerator: 'tcg',
    onEvent: (event) => events.push(event),
    ...options,
  });
  t.teardown(() => lab.down().catch(() => {}));
  return { lab, folder, events };
}

/** A boot sector for the node's disk. */
export async function program(folder: string, code: number[]): Promise<void> {
  const sector = Buffer.alloc(512);
  sector.set(code);
  sector.writeUInt16LE(0xaa55, 510);
  await writeFile(join(folder, 'nodes/n1/disk.raw'), sector, { flag: 'r+' });
}

/** Stops and waits for an interrupt that does not come. */
export const HALT = [0xfa, 0xf4];
