/** Signature lists and signed updates of the Secure Boot variables, as Debian's efitools make them. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { mustRun } from '../base/run.ts';
import type { KeyLayout, SecureBootVariable } from './layout.ts';

/** Which key signs the update of which variable (UEFI 2.10, 32.3.1): PK signs itself and KEK, KEK signs db and dbx. */
const SIGNED_BY: Record<SecureBootVariable | 'dbx', SecureBootVariable> = {
  PK: 'PK',
  KEK: 'PK',
  db: 'KEK',
  dbx: 'KEK',
};

/**
 * An EFI_SIGNATURE_LIST of one certificate (UEFI 2.10, 32.4.1).
 * @param owner GUID
 * @param certificate path of a PEM file
 * @throws BootwaveError `COMMAND_FAILED`
 */
export function certificateList(owner: string, certificate: string): Promise<Buffer> {
  return throughFile((out) => ['cert-to-efi-sig-list', ['-g', owner, certificate, out]]);
}

/**
 * The update that replaces a variable: EFI_VARIABLE_AUTHENTICATION_2 (UEFI 2.10, 8.2.2), then the lists.
 * @param owner GUID
 * @param lists path of a file with EFI_SIGNATURE_LISTs
 * @param at milliseconds since the epoch, whole seconds count; without it the tool takes its own clock
 * @throws BootwaveError `COMMAND_FAILED`
 */
export function signedUpdate(
  layout: KeyLayout,
  owner: string,
  variable: SecureBootVariable | 'dbx',
  lists: string,
  at?: number,
): Promise<Buffer> {
  const { key, certificate } = layout.secureBoot.variables[SIGNED_BY[variable]];
  // Not the form in its manual page: the tool silently turns every other form into the year 1900.
  const time = at === undefined ? [] : ['-t', new Date(at).toISOString().slice(0, 19).replace('T', ' ')];
  return throughFile((out) => [
    'sign-efi-sig-list',
    ['-g', owner, '-k', key, '-c', certificate, ...time, variable, lists, out],
  ]);
}

/** Runs a tool that only writes to a named file, and hands back what it wrote. */
async function throughFile(command: (out: string) => [string, string[]]): Promise<Buffer> {
  const folder = await mkdtemp(join('/tmp', 'bootwave-keys-'));
  try {
    const out = join(folder, 'out');
    const [program, args] = command(out);
    await mustRun(program, args);
    return await readFile(out);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
