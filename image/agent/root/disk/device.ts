/**
 * One disk, read by the programs that know partition tables and file systems, and compared with what the kernel sees.
 */
import { constants } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import * as z from 'zod/mini';
import { type RunResult, run } from '../../../../base/run.ts';
import type { DiskFacts, PartitionFacts } from './layout.ts';

const text = z.nullish(z.string());
const flag = z.nullish(z.union([z.boolean(), z.literal('0'), z.literal('1')]));
const number = z.union([z.number(), z.string()]);

/** The fields of lsblk's output. */
export const deviceSchema = z.object({
  name: z.string(),
  path: z.string(),
  type: z.string(),
  size: number,
  /** In units of 512 bytes, whatever the disk's own sectors are. */
  start: z.nullish(number),
  model: text,
  serial: text,
  wwn: text,
  tran: text,
  rm: flag,
  ro: flag,
  mountpoints: z.nullish(z.array(z.nullable(z.string()))),
  get children() {
    return z.nullish(z.array(deviceSchema));
  },
});
export type Device = z.infer<typeof deviceSchema>;

const wipefsSchema = z.object({ signatures: z.array(z.object({ device: z.string(), type: z.string() })) });

const partitionSchema = z.object({
  node: z.string(),
  start: z.number(),
  size: z.number(),
  type: z.string(),
  name: text,
  uuid: text,
});
const sfdiskSchema = z.object({
  partitiontable: z.object({
    sectorsize: z.number(),
    partitions: z.nullish(z.array(partitionSchema)),
  }),
});
type Entry = z.infer<typeof partitionSchema>;

/** sfdisk(8)'s message when it could read the disk and found no table; with any other failure nothing is known. */
const NO_TABLE = /does not contain a recognized partition table/;
const LIMIT = { timeout: 60_000, env: { ...process.env, LC_ALL: 'C' } };

/** @throws Error why this disk cannot be judged */
export async function probe(device: Device): Promise<DiskFacts> {
  const facts = await listedFacts(device);
  if (facts.size === 0) throw new Error('it has no size: there is no medium in it, or it does not answer');
  const { entries, sector } = await tableOf(device.path);
  const differs = otherThanTheKernel(entries, sector, device);
  const partitions: PartitionFacts[] = [];
  for (const entry of entries) {
    const seen = differs === null ? seenAs(entry, sector, device) : undefined;
    partitions.push({
      path: seen?.path ?? entry.node,
      type: entry.type.toLowerCase(),
      label: entry.name ?? '',
      uuid: (entry.uuid ?? '').toLowerCase(),
      signatures: seen === undefined ? [] : await signaturesOf(seen.path),
    });
  }
  const signatures = await signaturesOf(device.path);
  const hidden = await otherTable(device.path, facts.size);
  return {
    ...facts,
    odd: differs === null ? null : { kind: 'table', reason: differs },
    signatures: signatures.length === 0 ? hidden : signatures,
    partitions,
  };
}

/** A disk about which nothing is known except that it exists. */
export async function unread(
  named: { name: string; path: string },
  reason: string,
  device?: Device,
): Promise<DiskFacts> {
  const facts = device === undefined ? { ...NOTHING, ...pick(named) } : await listedFacts(device);
  return { ...facts, odd: { kind: 'unread', reason }, signatures: [], partitions: [] };
}

const NOTHING = {
  ...{ size: 0, model: '', serial: '', wwn: '', transport: '' },
  ...{ removable: false, readOnly: false, inUse: false, otherPaths: [] },
};
const pick = ({ name, path }: { name: string; path: string }) => ({ name, path });

async function listedFacts(device: Device): Promise<Omit<DiskFacts, 'odd' | 'signatures' | 'partitions'>> {
  return {
    ...pick(device),
    otherPaths: [],
    size: Number(device.size),
    model: (device.model ?? '').trim(),
    serial: (device.serial ?? '').trim(),
    wwn: await wwidOf(device),
    removable: device.rm === true || device.rm === '1',
    readOnly: device.ro === true || device.ro === '1',
    transport: device.tran ?? '',
    inUse: inUse(device),
  };
}

/**
 * The id from udev, or the kernel's own (sysfs-block-nvme, `wwid` of SCSI devices): without udev there is only that.
 */
async function wwidOf({ name, wwn }: Device): Promise<string> {
  if (wwn != null && wwn !== '') return wwn;
  for (const file of ['wwid', 'device/wwid']) {
    const own = await readFile(`/sys/block/${name}/${file}`, 'utf8').catch(() => '');
    if (own.trim() !== '') return own.trim();
  }
  return '';
}

/** Anything mounted, or anything but a partition on top of it: LVM, RAID, multipath, an open LUKS container. */
function inUse(device: Device): boolean {
  const mounted = (device.mountpoints ?? []).some((where) => where !== null && where !== '');
  const stacked = (device.children ?? []).some((child) => child.type !== 'part');
  return mounted || stacked || (device.children ?? []).some(inUse);
}

/** From the table on the disk; sfdisk uses the backup table when only that is valid. */
async function tableOf(path: string): Promise<{ entries: Entry[]; sector: number }> {
  const done = await run('sfdisk', ['--json', path], LIMIT);
  if (done.code !== 0 && NO_TABLE.test(done.stderr)) return { entries: [], sector: 512 };
  const { partitions, sectorsize } = understood('sfdisk', sfdiskSchema, done).partitiontable;
  return { entries: partitions ?? [], sector: sectorsize };
}

async function signaturesOf(path: string): Promise<string[]> {
  const done = await run('wipefs', ['--no-act', '--json', path], LIMIT);
  // Older versions print nothing when they find nothing.
  if (done.code === 0 && done.stdout.trim() === '') return [];
  return understood('wipefs', wipefsSchema, done).signatures.map(({ type }) => type);
}

function understood<S extends z.ZodMiniType>(tool: string, schema: S, done: RunResult): z.output<S> {
  const { code, stdout, stderr } = done;
  const words = stderr.trim().split('\n').at(-1) ?? '';
  if (code !== 0) throw new Error(words === '' ? `${tool} ended with exit code ${code}` : words);
  try {
    return schema.parse(JSON.parse(stdout));
  } catch (cause) {
    throw new Error(`the answer of ${tool} is not understood`, { cause });
  }
}

/** Partition types of an MBR that hold others; of these the kernel shows the first kilobyte. */
const EXTENDED = /^(?:5|f|85)$/;

function seenAs(entry: Entry, sector: number, device: Device): Device | undefined {
  return (device.children ?? []).find(
    ({ type, start, size }) =>
      type === 'part' &&
      Number(start) * 512 === entry.start * sector &&
      (EXTENDED.test(entry.type) || Number(size) === entry.size * sector),
  );
}

/**
 * Where the table and the kernel do not agree, a write to a partition would land elsewhere than the table says, or
 * there is nothing to write to. Examples: a broken primary table with a valid backup, a table for another sector size,
 * a table that was changed while in use, a table that only the kernel understands.
 */
function otherThanTheKernel(entries: readonly Entry[], sector: number, device: Device): string | null {
  const seen = (device.children ?? []).filter(({ type }) => type === 'part');
  if (entries.length === seen.length && entries.every((entry) => seenAs(entry, sector, device) !== undefined))
    return null;
  const count = (n: number) => (n === 1 ? 'one partition' : `${n === 0 ? 'no' : n} partitions`);
  return entries.length === seen.length
    ? `its partition table says ${count(entries.length)}, the kernel sees others`
    : `its partition table says ${count(entries.length)}, the kernel sees ${count(seen.length)}`;
}

const SECTOR_SIZES = [512, 1024, 2048, 4096] as const;

/**
 * A GPT that was written when the disk had sectors of another size (behind another controller, in another enclosure): the
 * tools look for it only where it would be with those of today (UEFI 2.10, 5.3.2).
 * @throws Error the disk's beginning or end cannot be read
 */
async function otherTable(path: string, size: number): Promise<string[]> {
  const handle = await open(path, constants.O_RDONLY);
  try {
    const isAt = async (offset: number) => {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(8), 0, 8, offset);
      return bytesRead === 8 && buffer.toString('latin1') === 'EFI PART';
    };
    for (const sector of SECTOR_SIZES)
      if ((await isAt(sector)) || (await isAt(size - sector))) return [`gpt (sectors of ${sector} bytes)`];
    return [];
  } finally {
    await handle.close();
  }
}
