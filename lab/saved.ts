/**
 * A saved lab on disk: `saved.json`, the server's data, and one folder per node. It is whole or not there: it is written
 * beside its place and moved there last.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { BootwaveError } from '../base/error.ts';
import { digestOfFile, exists } from '../base/files.ts';
import { mustRun } from '../base/run.ts';
import { BMC_KINDS } from './bmc/network.ts';
import { type Accelerator, HOST_FILES, nodeFiles, qemuArguments } from './machine.ts';
import { checkName, type LabNode } from './spec.ts';
import { labNode, labsRoot, powerShape, readRecord } from './state.ts';

const savedRecord = z.object({
  format: z.literal(1),
  /** Milliseconds since the epoch. */
  at: z.number(),
  accelerator: z.enum(['kvm', 'tcg']),
  nodes: z.array(labNode),
  bmc: z.enum(BMC_KINDS).default('none'),
  /** How each node was switched on; null: it was off. */
  shapes: z.record(z.string(), powerShape.nullable()),
  /** What the boot server was started with; null: none ran. */
  bootServer: z.array(z.string()).nullable(),
  /** Of QEMU, its firmware and the machines: memory that was saved on one machine fits no other. */
  machines: z.string(),
});
export type SavedRecord = z.infer<typeof savedRecord>;

/**
 * Milliseconds that a saved lab can be used. Its nodes wake with the clock and the leases that they had, and leases last
 * 12 hours.
 */
export const SAVED_LIFE = 11 * 3600_000;

/** Beside the labs; no lab can have its name. */
const savedRoot = () => join(labsRoot(), '.saved');

export function savedFolder(name: string): string {
  return join(savedRoot(), checkName(name, 'saved lab'));
}

export const savedFile = (folder: string) => join(folder, 'saved.json');
export const savedData = (folder: string) => join(folder, 'data');

/** @throws BootwaveError `LAB_NOT_SAVED`, `LAB_STATE` */
export async function readSaved(folder: string): Promise<SavedRecord> {
  const record = await readRecord(savedFile(folder), savedRecord);
  if (record !== undefined) return record;
  throw new BootwaveError({
    code: 'LAB_NOT_SAVED',
    what: `no lab was saved in ${folder}`,
    next: `see 'bootwave lab saved' for those that were`,
  });
}

/**
 * Pure: why a saved lab cannot be used now, in words; null when it can.
 * @param machines see `machinesDigest`
 * @param now milliseconds since the epoch
 */
export function unfit(record: SavedRecord, machines: string, now: number): string | null {
  const age = now - record.at;
  if (age > SAVED_LIFE || age < -60_000) {
    return `it was saved ${Math.round(age / 3600_000)} hours ago, and its nodes' clocks and leases are good for ${SAVED_LIFE / 3600_000}`;
  }
  return record.machines === machines ? null : 'QEMU, its firmware or the machines are others than then';
}

/** @throws BootwaveError `LAB_SAVED_UNFIT` */
export async function checkFit(folder: string, record: SavedRecord): Promise<void> {
  const why = unfit(
    record,
    await machinesDigest(record.nodes, record.accelerator, record.shapes),
    Date.now(),
  );
  if (why === null) return;
  throw new BootwaveError({
    code: 'LAB_SAVED_UNFIT',
    what: `the lab that was saved in ${folder} cannot be used any more: ${why}`,
    unchanged: 'no lab was made',
    next: `build the rack again with 'bootwave lab up', and save it with --replace`,
  });
}

/** SHA-256, hexadecimal, of all that a machine's saved memory depends on. */
export async function machinesDigest(
  nodes: readonly LabNode[],
  accelerator: Accelerator,
  shapes: SavedRecord['shapes'],
): Promise<string> {
  const hash = createHash('sha256');
  hash.update((await mustRun('qemu-system-x86_64', ['--version'])).stdout);
  for (const file of HOST_FILES) hash.update(await digestOfFile(file));
  for (const node of nodes) {
    hash.update(JSON.stringify(qemuArguments(node, nodeFiles('/'), accelerator, shapes[node.name] ?? {})));
  }
  return hash.digest('hex');
}

export type SavedLab = { name: string; at: number; nodes: string[]; bytes: number; unfit: string | null };

/** What was saved, oldest first. */
export async function listSaved(): Promise<SavedLab[]> {
  const found: SavedLab[] = [];
  for (const name of await readdir(savedRoot()).catch(() => [])) {
    const folder = join(savedRoot(), name);
    if (!(await exists(savedFile(folder)))) continue;
    const record = await readSaved(folder);
    const machines = await machinesDigest(record.nodes, record.accelerator, record.shapes);
    found.push({
      name,
      at: record.at,
      nodes: record.nodes.map((node) => node.name),
      bytes: await bytesOf(folder),
      unfit: unfit(record, machines, Date.now()),
    });
  }
  return found.sort((a, b) => a.at - b.at);
}

/** @throws BootwaveError `LAB_NOT_SAVED` */
export async function forgetSaved(name: string): Promise<void> {
  const folder = savedFolder(name);
  await readFile(savedFile(folder)).catch(() => readSaved(folder));
  await rm(folder, { recursive: true, force: true });
}

/** What it takes on the disk: a node's disk is mostly holes. */
async function bytesOf(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).blocks * 512;
  }
  return bytes;
}
