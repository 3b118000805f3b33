/** A whole lab into a folder, and out of it again: machines in the middle of what they do, TPMs, disks, server data. */
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError } from '../base/error.ts';
import { exists } from '../base/files.ts';
import { dataPaths } from '../base/paths.ts';
import { mustRun } from '../base/run.ts';
import { atRest } from '../orchestrator/redis/at-rest.ts';
import { BMC, copyBmcs } from './bmc/start.ts';
import { BOOT_SERVER, startBootServer, stopBootServer, TIME } from './boot-server.ts';
import { buildLab, checkHost, newNamespace } from './create.ts';
import type { Lab, OpenOptions } from './lab.ts';
import { checkFolder } from './machine.ts';
import { memoryFile } from './memory.ts';
import { checkFit, machinesDigest, readSaved, type SavedRecord, savedData, savedFile } from './saved.ts';
import { serviceOf } from './service.ts';
import { checkName } from './spec.ts';
import {
  type LabRecord,
  labFolder,
  listServices,
  nodeFolder,
  type PowerShape,
  readService,
  replaceFile,
  serviceFile,
} from './state.ts';

export type SaveOptions = {
  /** Takes the place of what was saved in this folder before. */
  replace?: boolean;
  /** The lab ends with it: nothing is started again. */
  last?: boolean;
};

/**
 * Copies a lab with all that it is at one moment: no node moves while it is copied, and the boot server is stopped, so that
 * both sides agree about what happened. Then it runs on.
 * @param folder absent, or one that was saved before (`replace`)
 * @throws BootwaveError `LAB_SAVED`, `LAB_SAVE`, `LAB_QMP`, `REDIS_BUSY`, `REDIS_EXTERNAL`; nothing is left behind then
 */
export async function saveLab(lab: Lab, folder: string, options: SaveOptions = {}): Promise<SavedRecord> {
  if (options.replace !== true && (await exists(folder))) {
    throw new BootwaveError({
      code: 'LAB_SAVED',
      what: `something was saved in ${folder} already`,
      unchanged: 'it was left as it is',
      next: 'give another name, or --replace',
    });
  }
  await checkServices(lab);
  const server = await readService(serviceFile(lab.folder, BOOT_SERVER));
  const runs = server !== undefined && (await serviceOf(lab.folder, BOOT_SERVER)) !== undefined;
  const bootServer = runs ? (server.extraArgs ?? []) : null;

  const fresh = `${folder}.${process.pid}.tmp`;
  await mkdir(fresh, { recursive: true, mode: 0o700 });
  const frozen = await freeze(lab);
  try {
    if (runs) await stopBootServer(lab);
    const [shapes] = await Promise.all([saveNodes(lab, fresh), copyData(lab.dataFolder, savedData(fresh))]);
    if (lab.bmc !== 'none') await copyBmcs(lab.folder, fresh);
    const record: SavedRecord = {
      format: 1,
      at: Date.now(),
      accelerator: lab.accelerator,
      nodes: [...lab.nodes],
      bmc: lab.bmc,
      shapes,
      bootServer,
      machines: await machinesDigest(lab.nodes, lab.accelerator, shapes),
    };
    await replaceFile(savedFile(fresh), `${JSON.stringify(record, null, 2)}\n`);
    await rm(folder, { recursive: true, force: true });
    await rename(fresh, folder);
    return record;
  } finally {
    // Whatever failed: what stands still goes on first.
    if (options.last !== true) await goOn(lab, frozen, bootServer);
    await rm(fresh, { recursive: true, force: true });
  }
}

/** Stops all nodes that are on in the middle of what they do; says which those are. */
async function freeze(lab: Lab): Promise<string[]> {
  const on: string[] = [];
  for (const { name } of lab.nodes) if (await lab.isOn(name)) on.push(name);
  const done = await Promise.allSettled(on.map((name) => lab.node(name).freeze()));
  const failed = done.find(({ status }) => status === 'rejected');
  if (failed?.status !== 'rejected') return on;
  await Promise.allSettled(on.map((name) => lab.node(name).thaw()));
  throw failed.reason;
}

async function thaw(lab: Lab, names: readonly string[]): Promise<void> {
  await Promise.all(names.map((name) => lab.node(name).thaw()));
}

/** @returns how each node was switched on; null: it is off */
async function saveNodes(lab: Lab, folder: string): Promise<Record<string, PowerShape | null>> {
  const saving = lab.nodes.map(async ({ name }) => {
    return [name, await lab.node(name).saveTo(nodeFolder(folder, name))] as const;
  });
  return Object.fromEntries(await Promise.all(saving));
}

/** The server first, so that no node finds it gone; but none stays as it is because the server does not start. */
async function goOn(
  lab: Lab,
  frozen: readonly string[],
  bootServer: readonly string[] | null,
): Promise<void> {
  try {
    if (bootServer !== null) await startBootServer(lab, bootServer);
  } finally {
    await thaw(lab, frozen);
  }
}

/** What a test put beside the nodes knows nothing of being copied. */
async function checkServices(lab: Lab): Promise<void> {
  for (const service of await listServices(lab.folder)) {
    if ([BOOT_SERVER, TIME, BMC].includes(service) || (await serviceOf(lab.folder, service)) === undefined)
      continue;
    throw new BootwaveError({
      code: 'LAB_SAVE',
      what: `${service} runs beside the nodes, and only the boot server can be saved with them`,
      unchanged: 'nothing was stopped',
      next: `stop ${service} first`,
    });
  }
}

/** All but what only a running process has: sockets. */
async function copyData(from: string, to: string): Promise<void> {
  await atRest(dataPaths(from), async () => {
    await mustRun('cp', ['-a', '--reflink=auto', from, to]);
  });
  for (const entry of await readdir(to, { recursive: true, withFileTypes: true })) {
    if (entry.isSocket()) await rm(join(entry.parentPath, entry.name));
  }
}

export type RestoreOptions = OpenOptions & {
  /** Folder that `saveLab` filled; it stays as it is, and any number of labs can begin from it. */
  from: string;
  /** As a node's name. Default `lab`. */
  name?: string;
  /** As in `LabOptions`. */
  folder?: string;
};

/**
 * A lab as it was when it was saved, on a network of its own: its nodes go on in the middle of what they did, and find
 * their boot server again.
 * @throws BootwaveError `LAB_NOT_SAVED`, `LAB_SAVED_UNFIT`, and as `createLab`; nothing is left behind then
 */
export async function restoreLab(options: RestoreOptions): Promise<Lab> {
  const { from } = options;
  const name = checkName(options.name ?? 'lab', 'lab');
  const folder = options.folder ?? labFolder(name);
  checkFolder(folder);
  await checkHost();
  const saved = await readSaved(from);
  await checkFit(from, saved);
  options.signal?.throwIfAborted();
  const record: LabRecord = {
    format: 1,
    name,
    namespace: newNamespace(name),
    dataFolder: join(folder, 'data'),
    accelerator: 'tcg',
    nodes: saved.nodes,
    bmc: saved.bmc,
  };
  return buildLab(folder, record, options, async (lab) => {
    // KVM has to be proved on this host, too.
    await lab.make(saved.accelerator === 'kvm' ? undefined : 'tcg', from);
    if (lab.accelerator !== saved.accelerator) {
      throw new BootwaveError({
        code: 'LAB_SAVED_UNFIT',
        what: `the lab in ${from} was run by KVM when it was saved, and there is none here now`,
        unchanged: 'no lab was made',
        next: `build the rack again with 'bootwave lab up'`,
      });
    }
    await mustRun('cp', ['-a', '--reflink=auto', `${savedData(from)}/.`, lab.dataFolder]);
    const on = saved.nodes.flatMap(({ name }) => {
      const shape = saved.shapes[name];
      return shape == null ? [] : [{ name, shape }];
    });
    await Promise.all([
      saved.bootServer !== null && startBootServer(lab, saved.bootServer),
      ...on.map(({ name, shape }) =>
        lab.powerOn(name, { ...shape, resume: memoryFile(nodeFolder(from, name)) }),
      ),
    ]);
    const names = on.map(({ name }) => name);
    await thaw(lab, names);
    // Their clocks go on from when they were saved: for them, an order that is issued now lies in the future.
    if (saved.bootServer !== null) await Promise.all(names.map((name) => replug(lab, name)));
  });
}

/** Takes the cable out and puts it back: a node asks for its address and for the time at once. */
async function replug(lab: Lab, name: string): Promise<void> {
  await lab.link(name, false);
  // Its driver looks at the link only now and then, and does not notice a cable that is back before that.
  await sleep(2000);
  await lab.link(name, true);
}
