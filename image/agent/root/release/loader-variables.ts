import { join } from 'node:path';
import type { LoaderFacts } from '../../../../protocol/agent/disk.ts';
import { readVariable } from '../efi-variable.ts';

/** Vendor of the variables between boot loader and system (The Boot Loader Interface). */
const LOADER = '4a67b082-0a4c-41cf-b6c7-440b29bb8c4f';

/** @param efivars mount point of efivarfs; without it nothing is known, and the boot did not come from a disk */
export async function readLoader(efivars: string): Promise<LoaderFacts> {
  const read = (name: string) => variable(efivars, name);
  const info = await read('LoaderInfo');
  const counted = await read('LoaderBootCountPath');
  const pins = ['LoaderEntryDefault', 'LoaderEntryOneShot'];
  let pinned: string | null = null;
  for (const name of pins) if ((await read(name)) !== null) pinned ??= name;
  return {
    fromDisk: info?.startsWith('systemd-boot') === true,
    counted: counted?.split('\\').at(-1) ?? null,
    pinned,
  };
}

/** @returns partition UUID of the ESP that systemd-boot was started from, lower case; null when nothing says so */
export async function bootedEsp(efivars: string): Promise<string | null> {
  return (await variable(efivars, 'LoaderDevicePartUUID'))?.toLowerCase() ?? null;
}

/** UTF-16LE with a NUL at the end. */
async function variable(efivars: string, name: string): Promise<string | null> {
  const content = await readVariable(join(efivars, `${name}-${LOADER}`));
  if (content === null) return null;
  const text = content.toString('utf16le').replace(/\0+$/, '');
  return text === '' ? null : text;
}
