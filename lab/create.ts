import { join } from 'node:path';
import { BootwaveError } from '../base/error.ts';
import { exists } from '../base/files.ts';
import type { BmcKind } from './bmc/network.ts';
import { Lab, type OpenOptions } from './lab.ts';
import { type Accelerator, checkFolder, HOST_FILES } from './machine.ts';
import { checkName, type NodeSpec, placeNodes } from './spec.ts';
import { claimFolder, type LabRecord, labFolder } from './state.ts';

export type LabOptions = OpenOptions & {
  /** As a node's name. Default `lab`. */
  name?: string;
  /** Default: a folder of this name below `BOOTWAVE_LAB`, else below `/var/lib/bootwave-lab`. Removed by `down`. */
  folder?: string;
  nodes: readonly NodeSpec[];
  /** The boot server's data directory; default `data` in the lab's folder. Elsewhere it is never removed. */
  dataFolder?: string;
  /** What their BMCs speak; default: they have none. */
  bmc?: BmcKind;
  /** Default: proved. */
  accelerator?: Accelerator;
};

/**
 * Makes a lab with all its nodes off.
 * @throws BootwaveError `LAB_EXISTS`, `LAB_NAME`, `LAB_SPEC`, `LAB_FOLDER`, `LAB_HOST`; nothing is left behind then
 */
export async function createLab(options: LabOptions): Promise<Lab> {
  const name = checkName(options.name ?? 'lab', 'lab');
  const folder = options.folder ?? labFolder(name);
  checkFolder(folder);
  const nodes = placeNodes(name, options.nodes);
  await checkHost();
  options.signal?.throwIfAborted();
  const record: LabRecord = {
    format: 1,
    name,
    namespace: newNamespace(name),
    dataFolder: options.dataFolder ?? join(folder, 'data'),
    accelerator: options.accelerator ?? 'tcg',
    nodes,
    bmc: options.bmc ?? 'none',
  };
  return buildLab(folder, record, options, (lab) => lab.make(options.accelerator));
}

/** @internal for `createLab` and `restoreLab` */
export async function buildLab(
  folder: string,
  record: LabRecord,
  options: OpenOptions,
  work: (lab: Lab) => Promise<void>,
): Promise<Lab> {
  await claimFolder(folder, record);
  const lab = new Lab(folder, record, options);
  try {
    await work(lab);
  } catch (error) {
    await lab.down();
    throw error;
  }
  return lab;
}

/** Unlike any other, so that whoever finds it in a record may delete it. */
export function newNamespace(lab: string): string {
  return `bw-${lab}-${Math.random().toString(16).slice(2, 8)}`;
}

/** @throws BootwaveError `LAB_HOST` */
export async function checkHost(): Promise<void> {
  const fail = (what: string, next: string) =>
    new BootwaveError({ code: 'LAB_HOST', what, unchanged: 'no lab was made', next });
  if (process.getuid?.() !== 0) throw fail('a lab needs root, for its network namespace', 'run it as root');
  if (!(await exists('/dev/net/tun'))) throw fail('this host has no /dev/net/tun', `load it: 'modprobe tun'`);
  for (const file of HOST_FILES)
    if (!(await exists(file))) throw fail(`${file} is missing`, `run 'make setup'`);
}
