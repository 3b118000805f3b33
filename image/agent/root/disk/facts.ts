import * as z from 'zod/mini';
import { BootwaveError } from '../../../../base/error.ts';
import { mustRun, run } from '../../../../base/run.ts';
import type { DiskFacts, PartitionFacts } from './layout.ts';

const text = z.nullish(z.string());
const flag = z.nullish(z.union([z.boolean(), z.literal('0'), z.literal('1')]));

const deviceSchema = z.object({
  name: z.string(),
  path: z.string(),
  type: z.string(),
  size: z.union([z.number(), z.string()]),
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
type Device = z.infer<typeof deviceSchema>;
const lsblkSchema = z.object({ blockdevices: z.array(deviceSchema) });

const wipefsSchema = z.object({ signatures: z.array(z.object({ device: z.string(), type: z.string() })) });

const sfdiskSchema = z.object({
  partitiontable: z.object({
    partitions: z.nullish(z.array(z.object({ node: z.string(), type: z.string(), name: text, uuid: text }))),
  }),
});

const COLUMNS = 'NAME,PATH,TYPE,SIZE,MODEL,SERIAL,WWN,TRAN,RM,RO,MOUNTPOINTS';
/** Names of block devices that are no disks although lsblk calls some of them so. */
const NOT_A_DISK = /^(?:ram|zram|loop|fd|sr|nbd|mtdblock|dm-|md)\d/;

const MINUTE = { timeout: 60_000 };

/**
 * Every disk of this machine as it is now: read from the disks themselves, not from udev's memory of them.
 * @param isDisk for tests, whose disks are not called like disks
 * @throws BootwaveError `DISK_FACTS` when a tool's answer cannot be understood; a disk that cannot be judged is not blank
 */
export async function readDisks(
  isDisk: (device: { name: string; type: string }) => boolean = ({ name, type }) =>
    type === 'disk' && !NOT_A_DISK.test(name),
): Promise<DiskFacts[]> {
  const { stdout } = await mustRun('lsblk', ['--json', '--bytes', '--output', COLUMNS], MINUTE);
  const disks: DiskFacts[] = [];
  for (const device of parse('lsblk', lsblkSchema, stdout).blockdevices)
    if (isDisk(device)) disks.push(await factsOf(device));
  return disks;
}

async function factsOf(device: Device): Promise<DiskFacts> {
  const parts = await partitionsOf(device.path);
  const partitions: PartitionFacts[] = [];
  for (const { node, type, name, uuid } of parts)
    partitions.push({
      path: node,
      type: type.toLowerCase(),
      label: name ?? '',
      uuid: (uuid ?? '').toLowerCase(),
      signatures: await signaturesOf(node),
    });
  return {
    name: device.name,
    path: device.path,
    size: Number(device.size),
    model: (device.model ?? '').trim(),
    serial: (device.serial ?? '').trim(),
    wwn: device.wwn ?? '',
    removable: device.rm === true || device.rm === '1',
    readOnly: device.ro === true || device.ro === '1',
    transport: device.tran ?? '',
    inUse: inUse(device),
    signatures: await signaturesOf(device.path),
    partitions,
  };
}

/** Anything mounted, or anything but a partition on top of it: LVM, RAID, an open LUKS container. */
function inUse(device: Device): boolean {
  const mounted = (device.mountpoints ?? []).some((where) => where !== null && where !== '');
  const stacked = (device.children ?? []).some((child) => child.type !== 'part');
  return mounted || stacked || (device.children ?? []).some(inUse);
}

/** From the table on the disk; sfdisk takes the backup table when a power cut left only that. */
async function partitionsOf(
  path: string,
): Promise<NonNullable<z.infer<typeof sfdiskSchema>['partitiontable']['partitions']>> {
  const { code, stdout } = await run('sfdisk', ['--json', path], MINUTE);
  // No table is an error to sfdisk; whether something else is there is wipefs' answer.
  if (code !== 0 || stdout.trim() === '') return [];
  return parse('sfdisk', sfdiskSchema, stdout).partitiontable.partitions ?? [];
}

async function signaturesOf(path: string): Promise<string[]> {
  const { stdout } = await mustRun('wipefs', ['--no-act', '--json', path], MINUTE);
  if (stdout.trim() === '') return [];
  return parse('wipefs', wipefsSchema, stdout).signatures.map(({ type }) => type);
}

function parse<S extends z.ZodMiniType>(tool: string, schema: S, stdout: string): z.output<S> {
  try {
    return schema.parse(JSON.parse(stdout));
  } catch (cause) {
    throw new BootwaveError({
      code: 'DISK_FACTS',
      what: `the answer of ${tool} about this machine's disks is not understood`,
      unchanged: 'nothing was written to any disk',
      next: 'report it with the output of lsblk --json, wipefs and sfdisk --json',
      cause,
    });
  }
}
