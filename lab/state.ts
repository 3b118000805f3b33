/**
 * What a lab has to remember so that another process can carry on, or clean up after it was killed: one file for the
 * rack, one per node for its power, one per service. Each is written whole or not at all.
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { BootwaveError } from '../base/error.ts';
import { exists } from '../base/files.ts';
import { BMC_KINDS } from './bmc/network.ts';
import { checkName, FIRMWARES } from './spec.ts';

const processId = z.object({ pid: z.number().int().positive(), startTime: z.string() });

export const labNode = z.object({
  name: z.string(),
  index: z.number().int().nonnegative(),
  firmware: z.enum(FIRMWARES),
  tpm: z.boolean(),
  secureBoot: z.boolean(),
  memoryMiB: z.number(),
  diskGiB: z.number(),
  disk: z.enum(['virtio', 'nvme']),
  mac: z.string(),
  pxeRom: z.enum(['plain', 'ipxe']),
  uuid: z.string(),
  serial: z.string(),
});

const labRecord = z.object({
  format: z.literal(1),
  name: z.string(),
  /** Written before the namespace is made, and unlike any other, so whoever finds this file may delete it. */
  namespace: z.string(),
  dataFolder: z.string(),
  accelerator: z.enum(['kvm', 'tcg']),
  nodes: z.array(labNode),
  /** What their BMCs speak; labs of earlier versions have none. */
  bmc: z.enum(BMC_KINDS).default('none'),
});
export type LabRecord = z.infer<typeof labRecord>;

/** What lasts of how a machine was switched on: whoever saves it must build the same one again. */
export const powerShape = z.object({
  boot: z.enum(['network', 'disk']).exactOptional(),
  kernel: z
    .object({ kernel: z.string(), initrd: z.string().exactOptional(), append: z.string().exactOptional() })
    .exactOptional(),
  memoryMiB: z.number().exactOptional(),
  extraArgs: z.array(z.string()).exactOptional(),
});
export type PowerShape = z.infer<typeof powerShape>;

const powerRecord = z.object({
  qemu: processId,
  tpm: processId.optional(),
  /** None in the record of an earlier version, which must still be taken down. */
  shape: powerShape.default({}),
  /** Where this power-on's output begins in the console log, bytes. */
  consoleFrom: z.number().int().nonnegative(),
  /** Where this power-on's words begin in QEMU's own log, bytes. */
  logFrom: z.number().int().nonnegative(),
  /** Milliseconds since the epoch. */
  since: z.number(),
});
export type PowerRecord = z.infer<typeof powerRecord>;

const serviceRecord = z.object({
  process: processId,
  /** What it was started with beside what every start of it has. */
  extraArgs: z.array(z.string()).exactOptional(),
});
export type ServiceRecord = z.infer<typeof serviceRecord>;

/** The folder of all labs: `BOOTWAVE_LAB`, else `/var/lib/bootwave-lab`. */
export function labsRoot(): string {
  return process.env.BOOTWAVE_LAB ?? '/var/lib/bootwave-lab';
}

export function labFolder(name: string): string {
  return join(labsRoot(), checkName(name, 'lab'));
}

const labFile = (folder: string) => join(folder, 'lab.json');
export const nodeFolder = (folder: string, node: string) => join(folder, 'nodes', node);
export const serviceFile = (folder: string, service: string) => join(folder, 'services', `${service}.json`);
export const serviceLog = (folder: string, service: string) => join(folder, `${service}.log`);

/**
 * Makes the folder the lab's. Only an absent or empty folder can become one, because `down` removes it whole.
 * @throws BootwaveError `LAB_EXISTS`
 */
export async function claimFolder(folder: string, record: LabRecord): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  if ((await readdir(folder)).length > 0) {
    const ours = (await exists(labFile(folder))) ? `there is a lab in ${folder} already` : undefined;
    throw new BootwaveError({
      code: 'LAB_EXISTS',
      what: ours ?? `the folder ${folder} is not empty`,
      unchanged: 'no lab was made',
      next:
        ours === undefined
          ? 'choose another folder'
          : `end it with 'bootwave lab down', or use another --name`,
    });
  }
  await mkdir(join(folder, 'services'));
  await replaceFile(labFile(folder), `${JSON.stringify(record, null, 2)}\n`);
}

export async function writeLab(folder: string, record: LabRecord): Promise<void> {
  await replaceFile(labFile(folder), `${JSON.stringify(record, null, 2)}\n`);
}

/** @throws BootwaveError `LAB_UNKNOWN`, `LAB_STATE` */
export async function readLab(folder: string): Promise<LabRecord> {
  const record = await readRecord(labFile(folder), labRecord);
  if (record !== undefined) return record;
  throw new BootwaveError({
    code: 'LAB_UNKNOWN',
    what: `there is no lab in ${folder}`,
    next: `see 'bootwave lab status' for those that are, or make one with 'bootwave lab up'`,
  });
}

export const labExists = (folder: string) => exists(labFile(folder));

/** Names of the labs below `labsRoot()`. */
export async function listLabs(): Promise<string[]> {
  const names = await readdir(labsRoot()).catch(() => []);
  const found: string[] = [];
  for (const name of names.sort()) if (await exists(labFile(join(labsRoot(), name)))) found.push(name);
  return found;
}

export const readPower = (path: string) => readRecord(path, powerRecord);
export const writePower = (path: string, record: PowerRecord) => replaceFile(path, JSON.stringify(record));
export const readService = (path: string) => readRecord(path, serviceRecord);
export const writeService = (path: string, record: ServiceRecord) =>
  replaceFile(path, JSON.stringify(record));

/** Everything in the folder but the record itself, which is the last to go: until then `down` can be run again. */
export async function removeContent(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name !== 'lab.json') await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** The service records' names. */
export async function listServices(folder: string): Promise<string[]> {
  const names = await readdir(join(folder, 'services')).catch(() => []);
  return names.filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -'.json'.length));
}

/** Whole or not at all for readers and for a killed writer. No fsync: what it tells of does not outlive the host. */
export async function replaceFile(path: string, content: string): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  await writeFile(temporary, content, { mode: 0o600 });
  await rename(temporary, path);
}

export async function readRecord<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new BootwaveError({
      code: 'LAB_STATE',
      what: `${path} cannot be understood`,
      unchanged: 'nothing was stopped or removed',
      next: 'it was edited, or written by another version; look at it and remove the lab by hand',
      cause,
    });
  }
}
