/**
 * A machine's UEFI variables as a second one is delivered with: the Secure Boot keys that they hold, without what the firmware
 * noted of the machine that it came from.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { BootwaveError } from '../base/error.ts';
import type { Lab } from './lab.ts';

/** EFI_FIRMWARE_VOLUME_HEADER (PI 1.7, volume 3, 3.2.1): where its length stands. */
const VOLUME_HEADER_LENGTH_AT = 48;
/** `gEfiAuthenticatedVariableGuid`, as EDK2 begins its store of variables (MdeModulePkg, VariableFormat.h). */
const STORE = Buffer.from('782cf3aa7b949a43a1802e144ec37792', 'hex');
const STORE_HEADER = 28;
/** AUTHENTICATED_VARIABLE_HEADER: StartId, State, ..., NameSize and DataSize at 36 and 40, VendorGuid at 44. */
const START = 0x55aa;
const HEADER = 60;
/** State: a bit that is cleared. In this one, VAR_DELETED. */
const DELETED = 0xfd;
/** EFI_GLOBAL_VARIABLE as it lies in memory (UEFI 2.10, appendix A). */
const GLOBAL = Buffer.from('61dfe48bca93d211aa0d00e098032b8c', 'hex');
const OF_ONE_MACHINE = /^(Boot[0-9A-F]{4}|BootOrder|BootNext|BootCurrent)$/;

/**
 * Pure: the same store with its boot entries deleted, as SetVariable would: they name another machine's network card, and
 * firmware puts those of the new one behind whatever stands there.
 * @throws BootwaveError `LAB_VARIABLES` for a file that is no variable store of OVMF
 */
export function withoutBootEntries(store: Buffer): Buffer {
  const copy = Buffer.from(store);
  const begin = copy.length < 64 ? 0 : copy.readUInt16LE(VOLUME_HEADER_LENGTH_AT);
  if (copy.toString('latin1', 40, 44) !== '_FVH' || !copy.subarray(begin, begin + 16).equals(STORE)) {
    throw new BootwaveError({
      code: 'LAB_VARIABLES',
      what: `these ${store.length} bytes are no UEFI variables of OVMF`,
      unchanged: 'nothing was written',
      next: 'is the package ovmf another one than Debian 12 has?',
    });
  }
  const end = Math.min(copy.length, begin + copy.readUInt32LE(begin + 16));
  for (let at = begin + STORE_HEADER; at + HEADER <= end && copy.readUInt16LE(at) === START; ) {
    const [nameSize, dataSize] = [copy.readUInt32LE(at + 36), copy.readUInt32LE(at + 40)];
    const name = copy.toString('utf16le', at + HEADER, at + HEADER + nameSize).replace(/\0.*$/, '');
    const isGlobal = copy.subarray(at + 44, at + HEADER).equals(GLOBAL);
    if (isGlobal && OF_ONE_MACHINE.test(name)) copy[at + 2]! &= DELETED;
    // Each begins at a multiple of 4.
    at += (HEADER + nameSize + dataSize + 3) & ~3;
  }
  return copy;
}

/**
 * Writes a node's UEFI variables to a file as another machine is delivered with them (`PowerOverrides.vars`): Secure Boot
 * keys and settings, no boot entries. A node that is on stands still meanwhile.
 * @throws BootwaveError `LAB_VARIABLES`
 */
export async function copyVariables(lab: Lab, name: string, file: string): Promise<void> {
  const node = lab.node(name);
  const on = (await node.power()).on;
  if (on) await node.freeze();
  try {
    await writeFile(file, withoutBootEntries(await readFile(node.files.vars)), { mode: 0o600 });
  } finally {
    if (on) await node.thaw();
  }
}
