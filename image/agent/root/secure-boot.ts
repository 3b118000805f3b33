import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError, messageOf } from '../../../base/error.ts';
import { exists } from '../../../base/files.ts';
import { forbidsMore, signatureListsOf } from '../../../formats/efi/secure-boot-lists.ts';
import type { Inventory } from '../../../protocol/enrolment/inventory.ts';
import { GLOBAL, writeVariable as putVariable, readVariable } from './efi-variable.ts';

/** EFI_IMAGE_SECURITY_DATABASE_GUID (UEFI 2.10, 32.6.1). */
const IMAGE_SECURITY = 'd719b2cb-3d3a-4596-a3bc-dad00e67656f';

/** In this order: PK ends setup mode, and after it only what PK and KEK signed can be written (UEFI 2.10, 32.3). */
const ENROLMENT = [
  { name: 'db', guid: IMAGE_SECURITY },
  // Only a fleet that has revoked an image has one.
  { name: 'dbx', guid: IMAGE_SECURITY, optional: true },
  { name: 'KEK', guid: GLOBAL },
  { name: 'PK', guid: GLOBAL },
];

/** NON_VOLATILE | BOOTSERVICE_ACCESS | RUNTIME_ACCESS | TIME_BASED_AUTHENTICATED_WRITE_ACCESS (UEFI 2.10, 8.2). */
const ATTRIBUTES = Buffer.from([0x27, 0, 0, 0]);

/** One byte; null when the firmware has no such variable. */
async function flag(efivars: string, name: string): Promise<boolean | null> {
  const content = await readVariable(join(efivars, `${name}-${GLOBAL}`));
  return content === null ? null : content[0] === 1;
}

/** @param efivars mount point of efivarfs; `absent` on BIOS machines and firmware that knows no Secure Boot */
export async function secureBootState(efivars: string): Promise<Inventory['secureBoot']> {
  const enabled = await flag(efivars, 'SecureBoot');
  if (enabled === null) return 'absent';
  if (enabled) return 'on';
  return (await flag(efivars, 'SetupMode')) === true ? 'setup' : 'off';
}

/**
 * Hands the machine over to the fleet's keys. In setup mode the firmware takes them from anyone, which is why it
 * happens at the first boot, and never otherwise.
 * @param fleet folder with db.auth, KEK.auth, PK.auth, and maybe dbx.auth (EFI_VARIABLE_AUTHENTICATION_2 and lists)
 * @throws BootwaveError `SECURE_BOOT_NOT_SETUP`, `SECURE_BOOT_REFUSED`
 */
export async function enrolSecureBoot(efivars: string, fleet: string): Promise<void> {
  if ((await secureBootState(efivars)) !== 'setup') {
    throw new BootwaveError({
      code: 'SECURE_BOOT_NOT_SETUP',
      what: 'the firmware is not in setup mode',
      unchanged: 'no key was written',
    });
  }
  // All are read before the first is written: a half-enrolled machine is the worst outcome.
  const updates = await Promise.all(
    ENROLMENT.map(async ({ name, guid, optional = false }) => {
      const update = await readFile(join(fleet, `${name}.auth`)).catch((error: NodeJS.ErrnoException) => {
        if (optional && error.code === 'ENOENT') return null;
        throw error;
      });
      return { path: join(efivars, `${name}-${guid}`), update };
    }),
  );
  for (const { path, update } of updates) {
    if (update !== null) await writeVariable(path, Buffer.concat([ATTRIBUTES, update]));
  }
  if ((await secureBootState(efivars)) === 'setup') {
    throw new BootwaveError({
      code: 'SECURE_BOOT_REFUSED',
      what: 'the firmware took the keys and is still in setup mode',
      next: 'look for a newer firmware of this machine, or enrol the keys in its setup screens',
    });
  }
}

const LISTS = ['db', 'dbx'] as const;
/** A file beside the pending lists: the node also starts with the db that the firmware already has. */
export const DB_MAY_WAIT = 'db-may-wait';

/** @returns EFI_SIGNATURE_LISTs (UEFI 2.10, 32.4.1); empty where the firmware has no such variable */
export async function readList(efivars: string, name: (typeof LISTS)[number]): Promise<Buffer> {
  return (await readVariable(join(efivars, `${name}-${IMAGE_SECURITY}`))) ?? Buffer.alloc(0);
}

/**
 * Hands the firmware the lists that were prepared (release/lists-step.ts); the firmware accepts only what the fleet's
 * KEK signed, and nothing older than what it has (UEFI 2.10, 8.2.2). If it refuses the db as older, that is ignored
 * when the node starts without it: an image that failed may have brought a later db than the one in the running image.
 * @param pending folder with db.auth and dbx.auth, either of them or both
 * @throws BootwaveError `SECURE_BOOT_REFUSED`; a list that was written before stays
 */
export async function writeLists(efivars: string, pending: string, write = writeVariable): Promise<string[]> {
  const written: string[] = [];
  const mayWait = await exists(join(pending, DB_MAY_WAIT));
  for (const name of LISTS) {
    const update = await readFile(join(pending, `${name}.auth`)).catch(() => null);
    if (update === null) continue;
    try {
      await write(join(efivars, `${name}-${IMAGE_SECURITY}`), Buffer.concat([ATTRIBUTES, update]));
      written.push(name);
    } catch (error) {
      if (name !== 'db' || !mayWait || !isViolation(error)) throw error;
      console.error('bootwave-helper: the firmware has a later db, or one that the fleet does not write');
    }
  }
  await rm(pending, { recursive: true, force: true });
  return written;
}

/**
 * Gives the dbx of its image to a machine that has no disk, and so no state that is sealed to these lists. It takes
 * effect at the next start.
 * @param fleet folder inside the image, with dbx.auth where the fleet has revoked an image
 * @throws BootwaveError `SECURE_BOOT_REFUSED`
 */
export async function renewDbx(efivars: string, fleet: string): Promise<string[]> {
  const update = await readFile(join(fleet, 'dbx.auth')).catch(() => null);
  if (update === null || (await secureBootState(efivars)) !== 'on') return [];
  if (!forbidsMore(signatureListsOf(update), await readList(efivars, 'dbx'))) return [];
  await writeVariable(join(efivars, `dbx-${IMAGE_SECURITY}`), Buffer.concat([ATTRIBUTES, update]));
  return ['dbx'];
}

/**
 * EFI_SECURITY_VIOLATION, as the kernel reports it: another signer, or a time that is not later (Linux,
 * efi_status_to_err).
 */
function isViolation(error: unknown): boolean {
  return ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code === 'EACCES';
}

async function writeVariable(path: string, content: Buffer): Promise<void> {
  try {
    await putVariable(path, content);
  } catch (cause) {
    throw new BootwaveError({
      code: 'SECURE_BOOT_REFUSED',
      what: `the firmware refused ${path.split('/').at(-1)} (${(cause as NodeJS.ErrnoException).code ?? messageOf(cause)})`,
      unchanged: 'the variable is as it was',
      next: 'enrol the keys in the setup screens of the firmware, or clear its keys there',
      cause,
    });
  }
}
