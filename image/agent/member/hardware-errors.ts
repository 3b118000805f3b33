/** What the kernel has counted of errors of memory and disks. All of it is open to any user. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HardwareErrors } from '../../../protocol/enrolment/heartbeat.ts';

/** `proc` and `sys`: where these are mounted. */
export function readErrors({ proc, sys }: { proc: string; sys: string }): HardwareErrors {
  return { memory: memoryErrors(proc, sys), disk: diskErrors(sys) };
}

/**
 * Errors that ECC could not correct: of each memory controller (Documentation/admin-guide/RAS), and pages that the kernel has
 * taken out for that (`HardwareCorrupted` of proc(5)). Null: neither is there.
 */
function memoryErrors(proc: string, sys: string): number | null {
  const counts = each(join(sys, 'devices/system/edac/mc'), /^mc\d+$/, 'ue_count');
  const corrupted = /^HardwareCorrupted:\s+(\d+) kB$/m.exec(textOf(join(proc, 'meminfo')))?.[1];
  if (corrupted !== undefined) counts.push(Math.ceil(Number(corrupted) / 4));
  return total(counts);
}

/** Of disks that are SCSI or ATA to the kernel (`ioerr_cnt`, hexadecimal), and of file systems (ext4). Null: neither is there. */
function diskErrors(sys: string): number | null {
  const disks = each(join(sys, 'block'), /^sd[a-z]+$/, 'device/ioerr_cnt');
  return total([...disks, ...each(join(sys, 'fs/ext4'), /^[^.]/, 'errors_count')]);
}

/** The number in this file of each of these folders. */
function each(folder: string, name: RegExp, file: string): number[] {
  return namesIn(folder)
    .filter((one) => name.test(one))
    .map((one) => textOf(join(folder, one, file)).trim())
    .filter((text) => /^(?:0x[0-9a-f]+|\d+)$/i.test(text))
    .map(Number);
}

const total = (counts: readonly number[]) =>
  counts.length === 0
    ? null
    : Math.min(
        Number.MAX_SAFE_INTEGER,
        counts.reduce((sum, one) => sum + one, 0),
      );

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
