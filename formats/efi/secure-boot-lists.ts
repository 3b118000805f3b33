/**
 * The fleet's Secure Boot lists as an image brings them along, and what stands in them. Pure; trusts no byte.
 *
 * The section, little endian: magic, u32 generation, u32 length of db, u32 length of dbx, db, dbx. systemd-stub 252
 * neither measures nor uses a section that it does not know, so the release that runs reads it out of the file of the
 * next one, whose signature it has checked by then.
 */
import { BootwaveError } from '../../base/error.ts';
import { LittleReader } from '../byte-reader.ts';
import { guidBytes } from '../guid.ts';
import { type SignatureEntry, signatureEntries } from './signature-lists.ts';

/** Name of the section in the UKI; eight bytes are all there is room for (PE/COFF, 4). */
export const LISTS_SECTION = '.bwsbl';

/** Bytes of the whole section: firmware keeps db and dbx in tens of KiB of flash. */
export const MOST_LISTS_BYTES = 64 * 1024;

export type SecureBootLists = {
  /** Grows with every change, from 1; a machine never goes back to a lower one. */
  generation: number;
  /**
   * EFI_VARIABLE_AUTHENTICATION_2 and EFI_SIGNATURE_LISTs, signed by the fleet's KEK (UEFI 2.10, 8.2.2); null: that
   * variable is not changed.
   */
  db: Buffer | null;
  dbx: Buffer | null;
};

/** EFI_CERT_SHA256_GUID (UEFI 2.10, 32.4.1), as it lies in memory, hex. */
export const CERT_SHA256 = '2616c4c14c509240aca941f936934328';

/** What is wrong with lists, and nothing else. */
export const LISTS_MALFORMED = 'SECURE_BOOT_LISTS_MALFORMED';
const MAGIC = Buffer.from('BWSBL\0\0\x01', 'latin1');
const HIGHEST_GENERATION = 0xffff_ffff;
/** EFI_TIME (UEFI 2.10, 8.3), bytes. */
const TIME_BYTES = 16;
/** WIN_CERTIFICATE_UEFI_GUID before its CertData (UEFI 2.10, 32.2.4), bytes. */
const CERTIFICATE_HEADER_BYTES = 24;
/** EFI_SIGNATURE_LIST before its header (UEFI 2.10, 32.4.1), bytes. */
const LIST_HEADER_BYTES = 28;
const GUID_BYTES = 16;
const SHA256_BYTES = 32;

/** @throws BootwaveError `SECURE_BOOT_LISTS_MALFORMED` when they are not what `decodeLists` gives back */
export function encodeLists({ generation, db, dbx }: SecureBootLists): Buffer {
  if (!Number.isInteger(generation) || generation < 1 || generation > HIGHEST_GENERATION) {
    fail(`${generation} is no generation`);
  }
  const updates = [db, dbx].map((update) => {
    if (update?.length === 0) fail('an update without a byte');
    return update ?? Buffer.alloc(0);
  });
  const numbers = Buffer.alloc(12);
  [generation, ...updates.map(({ length }) => length)].forEach((number, i) => {
    numbers.writeUInt32LE(number, 4 * i);
  });
  const bytes = Buffer.concat([MAGIC, numbers, ...updates]);
  if (bytes.length > MOST_LISTS_BYTES)
    fail(`they are ${bytes.length} bytes long, and ${MOST_LISTS_BYTES} fit`);
  return bytes;
}

/**
 * What the updates say is for `signatureListsOf`; whether they are genuine is for the firmware.
 * @throws BootwaveError `SECURE_BOOT_LISTS_MALFORMED`
 */
export function decodeLists(bytes: Uint8Array): SecureBootLists {
  if (bytes.length > MOST_LISTS_BYTES) fail(`a section of ${bytes.length} bytes`);
  const reader = new LittleReader(bytes, LISTS_MALFORMED);
  if (!reader.take(MAGIC.length).equals(MAGIC)) reader.fail('a section of another format');
  const [generation, dbLength, dbxLength] = [reader.u32(), reader.u32(), reader.u32()];
  if (generation === 0) reader.fail('generation 0, which has no lists');
  const update = (length: number) => (length === 0 ? null : Buffer.from(reader.take(length)));
  const lists = { generation, db: update(dbLength), dbx: update(dbxLength) };
  reader.end();
  return lists;
}

/**
 * The EFI_SIGNATURE_LISTs behind the EFI_VARIABLE_AUTHENTICATION_2 (UEFI 2.10, 8.2.2): what the variable will hold.
 * @throws BootwaveError `SECURE_BOOT_LISTS_MALFORMED`
 */
export function signatureListsOf(update: Uint8Array): Buffer {
  const reader = new LittleReader(update, LISTS_MALFORMED);
  reader.take(TIME_BYTES);
  // WIN_CERTIFICATE.dwLength counts itself.
  const length = reader.u32();
  if (length < CERTIFICATE_HEADER_BYTES) reader.fail(`a signature of ${length} bytes`);
  reader.take(length - 4);
  return Buffer.from(reader.take(reader.left));
}

/**
 * @param lists EFI_SIGNATURE_LISTs, as dbx holds them
 * @returns hex; the Authenticode SHA-256 of every image that they forbid by its digest
 * @throws BootwaveError `SECURE_BOOT_LISTS_MALFORMED`
 */
export function forbiddenDigests(lists: Uint8Array): Set<string> {
  const digests = new Set<string>();
  for (const { type, data } of signatureEntries(lists, LISTS_MALFORMED)) {
    if (type !== CERT_SHA256) continue;
    if (data.length !== SHA256_BYTES) fail(`a SHA-256 of ${data.length} bytes`);
    digests.add(data.toString('hex'));
  }
  return digests;
}

/**
 * Whether a dbx would forbid anything that the one in the firmware does not. What is revoked stays revoked, so one that does
 * not is older or the same.
 * @param than as the firmware holds it; what of it cannot be read forbids nothing for sure
 * @throws BootwaveError `SECURE_BOOT_LISTS_MALFORMED`
 */
export function forbidsMore(dbx: Uint8Array, than: Uint8Array): boolean {
  const there = new Set<string>();
  try {
    for (const entry of signatureEntries(than, LISTS_MALFORMED)) there.add(textOf(entry));
  } catch {
    there.clear();
  }
  return Array.from(signatureEntries(dbx, LISTS_MALFORMED), textOf).some((entry) => !there.has(entry));
}

const textOf = ({ type, data }: SignatureEntry) => `${type} ${data.toString('hex')}`;

/**
 * One EFI_SIGNATURE_LIST of digests (UEFI 2.10, 32.4.1), as it forbids programs in dbx.
 * @param owner GUID as text
 * @param digests Authenticode SHA-256, hex; at least one, for a list without entries says nothing of their size
 */
export function digestList(owner: string, digests: readonly string[]): Buffer {
  const size = GUID_BYTES + SHA256_BYTES;
  const lengths = Buffer.alloc(12);
  lengths.writeUInt32LE(LIST_HEADER_BYTES + size * digests.length, 0);
  lengths.writeUInt32LE(size, 8);
  const entries = digests.flatMap((digest) => [guidBytes(owner), Buffer.from(digest, 'hex')]);
  return Buffer.concat([Buffer.from(CERT_SHA256, 'hex'), lengths, ...entries]);
}

function fail(what: string): never {
  throw new BootwaveError({ code: LISTS_MALFORMED, what });
}
