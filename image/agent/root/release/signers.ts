/**
 * Which certificate of db lets the firmware start a program. A safety check of our own files, so it is enough that a
 * program's signatures contain the certificate byte by byte: the firmware decides whether they are valid.
 */
import { BootwaveError } from '../../../../base/error.ts';
import { withFile } from '../../../../base/files.ts';
import { LISTS_MALFORMED } from '../../../../formats/efi/secure-boot-lists.ts';
import { signatureEntries, X509 } from '../../../../formats/efi/signature-lists.ts';
import { attributeCertificates } from '../../../../formats/pe/authenticode.ts';

/** Bytes of EFI_SIGNATURE_DATA before its data: who put it there. */
const OWNER = 16;

/**
 * @param db EFI_SIGNATURE_LISTs (UEFI 2.10, 32.4.1)
 * @returns EFI_SIGNATURE_DATA of every certificate, as firmware measures it; none where the lists cannot be read
 */
export function certificatesIn(db: Uint8Array): Buffer[] {
  try {
    return [...signatureEntries(db, LISTS_MALFORMED)]
      .filter(({ type }) => type === X509)
      .map(({ owner, data }) => Buffer.concat([Buffer.from(owner, 'hex'), data]));
  } catch (error) {
    if (error instanceof BootwaveError) return [];
    throw error;
  }
}

/**
 * @param path of a program
 * @param entries of db, as `certificatesIn` hands them out
 * @returns the first of them that is in the program's signatures; null: none is, or it is no program
 * @throws errors of the file system, except for a missing file
 */
export async function signerOf(path: string, entries: readonly Buffer[]): Promise<Buffer | null> {
  let signatures: Buffer;
  try {
    signatures = await withFile(path, attributeCertificates);
  } catch (error) {
    const none = error instanceof BootwaveError || (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (none) return null;
    throw error;
  }
  return entries.find((entry) => signatures.includes(entry.subarray(OWNER))) ?? null;
}
