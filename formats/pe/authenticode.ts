/**
 * The digest by which firmware knows a program: what a dbx entry names (UEFI 2.10, 32.2.4; Windows Authenticode Portable
 * Executable Signature Format, "Calculating the PE Image Hash"). It is the same before and after signing. Reads the file
 * once, in pieces, and trusts nothing in its headers.
 */
import { createHash } from 'node:crypto';
import type { OpenFile } from '../../base/files.ts';
import { peHeaders, refusePe as refuse, SECTION_HEADER } from './sections.ts';

/** Bytes from the start of the file, up to but not including `end`. */
type Range = { start: number; end: number };

/** More than the headers of any program of this fleet, bytes. */
const MOST_HEADER_BYTES = 64 * 1024;
/** One signature of the fleet takes some 2 KiB, bytes. */
const MOST_CERTIFICATE_BYTES = 64 * 1024;
/** In the optional header of PE32+ (PE/COFF, 3.4). */
const SIZE_OF_HEADERS = 60;
const CHECKSUM = 64;
const DIRECTORY_COUNT = 108;
/** Data directory 4, the attribute certificate table: a file offset and a size. */
const CERTIFICATE_TABLE = 112 + 4 * 8;
const PIECE = 1 << 20;

/**
 * @returns hex
 * @throws BootwaveError `PE_INVALID`; errors of the file system are thrown as they are
 */
export async function authenticodeSha256(file: OpenFile): Promise<string> {
  const { size } = file;
  const head = await beginningOf(file);
  const hash = createHash('sha256');
  const piece = Buffer.alloc(PIECE);
  for (const { start, end } of hashedRanges(head, size)) {
    for (let at = start; at < end; ) {
      const read = await file.read(piece.subarray(0, Math.min(PIECE, end - at)), at);
      if (read === 0) refuse('it became shorter while it was read');
      hash.update(piece.subarray(0, read));
      at += read;
    }
  }
  // What signing would pad it to, so that the digest is the same before and after it (Authenticode).
  if (size % 8 > 0) hash.update(Buffer.alloc(8 - (size % 8)));
  return hash.digest('hex');
}

/**
 * What counts of a program, in the order in which it counts. Pure.
 * @param head the first 64 KiB of the file, or all of it when it is shorter
 * @param fileSize bytes
 * @throws BootwaveError `PE_INVALID`
 */
export function hashedRanges(head: Buffer, fileSize: number): Range[] {
  const { optional, table, count } = headersOf(head);
  const headersEnd = head.readUInt32LE(optional + SIZE_OF_HEADERS);
  if (headersEnd < table + count * SECTION_HEADER || headersEnd > fileSize) {
    refuse(`its headers claim ${headersEnd} bytes`);
  }
  const certificates = certificatesOf(head, optional, fileSize);

  const ranges: Range[] = [
    { start: 0, end: optional + CHECKSUM },
    { start: optional + CHECKSUM + 4, end: optional + CERTIFICATE_TABLE },
    { start: optional + CERTIFICATE_TABLE + 8, end: headersEnd },
  ];
  const contentEnd = fileSize - certificates;
  // In the file's order, not in the table's; whole with their padding.
  let counted = headersEnd;
  let last = headersEnd;
  for (const { start, end } of sectionsOf(head, table, count).sort((a, b) => a.start - b.start)) {
    if (start < last || end > contentEnd) refuse('its sections overlap or end beyond the end of the file');
    ranges.push({ start, end });
    counted += end - start;
    last = end;
  }
  // The specification takes the count of bytes so far for an offset, also where sections leave gaps; so does firmware.
  if (contentEnd > counted) ranges.push({ start: counted, end: contentEnd });
  return ranges;
}

function headersOf(head: Buffer): { optional: number; table: number; count: number } {
  const headers = peHeaders(head);
  const { optional, size } = headers;
  if (size < CERTIFICATE_TABLE + 8) refuse('not 64 bit');
  if (head.readUInt32LE(optional + DIRECTORY_COUNT) < 5) refuse('no room for a signature');
  return headers;
}

/**
 * The attribute certificate table as it is: who signed, as far as the file itself says (PE/COFF, 5.7).
 * @returns no byte for a program that nobody signed
 * @throws BootwaveError `PE_INVALID`; errors of the file system are thrown as they are
 */
export async function attributeCertificates(file: OpenFile): Promise<Buffer> {
  const { size } = file;
  const head = await beginningOf(file);
  const length = certificatesOf(head, headersOf(head).optional, size);
  if (length > MOST_CERTIFICATE_BYTES) refuse(`it claims ${length} bytes of signatures`);
  const table = Buffer.alloc(length);
  if ((await file.read(table, size - length)) !== length) refuse('it became shorter while it was read');
  return table;
}

/** Bytes of the attribute certificate table, which firmware takes for the end of the file. */
function certificatesOf(head: Buffer, optional: number, fileSize: number): number {
  const start = head.readUInt32LE(optional + CERTIFICATE_TABLE);
  const size = head.readUInt32LE(optional + CERTIFICATE_TABLE + 4);
  if (size === 0) return 0;
  if (start + size !== fileSize || fileSize % 8 !== 0)
    refuse('its signatures are not the aligned end of the file');
  return size;
}

function sectionsOf(head: Buffer, table: number, count: number): Range[] {
  const sections: Range[] = [];
  for (let at = table; at < table + count * SECTION_HEADER; at += SECTION_HEADER) {
    const [size, start] = [head.readUInt32LE(at + 16), head.readUInt32LE(at + 20)];
    if (size > 0) sections.push({ start, end: start + size });
  }
  return sections;
}

async function beginningOf(file: OpenFile): Promise<Buffer> {
  const head = Buffer.alloc(Math.min(file.size, MOST_HEADER_BYTES));
  if ((await file.read(head, 0)) !== head.length) refuse('it became shorter while it was read');
  return head;
}
