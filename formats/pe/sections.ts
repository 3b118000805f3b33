import { BootwaveError } from '../../base/error.ts';

/**
 * Reads and adds sections of a PE32+ file (Microsoft PE/COFF specification, sections 2-4), which is what a UKI is:
 * systemd's stub with the kernel and the rest as further sections. Not objcopy, because it takes every address by
 * hand, writes overlapping sections without a word when one is wrong, and stamps the file with its own time.
 */
export type Section = {
  name: string;
  /** Bytes of content, without padding. */
  size: number;
  /** Where the content begins in the file. */
  offset: number;
  /** Where the content is when loaded, relative to the image base. */
  address: number;
};

/** IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ */
const READ_ONLY_DATA = 0x4000_0040;
export const SECTION_HEADER = 40;

/** PE/COFF, 3.3: the Windows loader's own limit. */
const MOST_SECTIONS = 96;

/** Where the headers lie, bytes from the start of the file; `size` is that of the optional header. */
type Headers = { coff: number; optional: number; size: number; table: number; count: number };

/** @throws BootwaveError `PE_INVALID` */
export function refusePe(what: string): never {
  throw new BootwaveError({ code: 'PE_INVALID', what: `not a PE32+ file that can be used: ${what}` });
}

/** @param file its beginning, with the whole section table. @throws BootwaveError `PE_INVALID` */
export function peHeaders(file: Buffer): Headers {
  if (file.length < 0x40 || file.toString('latin1', 0, 2) !== 'MZ') refusePe('no MZ header');
  const pe = file.readUInt32LE(0x3c);
  // What lies behind it must not lie in the DOS header.
  if (pe < 0x40 || pe + 24 > file.length || file.toString('latin1', pe, pe + 4) !== 'PE\0\0') {
    refusePe('no PE signature');
  }
  const coff = pe + 4;
  const optional = coff + 20;
  const size = file.readUInt16LE(coff + 16);
  const table = optional + size;
  const count = file.readUInt16LE(coff + 2);
  if (count > MOST_SECTIONS) refusePe(`it claims ${count} sections`);
  if (table + count * SECTION_HEADER > file.length) refusePe('section table beyond the end');
  if (size < 2 || file.readUInt16LE(optional) !== 0x20b) refusePe('not 64 bit');
  return { coff, optional, size, table, count };
}

/** @throws BootwaveError `PE_INVALID` */
export function readSections(file: Buffer): Section[] {
  const { table, count } = peHeaders(file);
  const sections: Section[] = [];
  for (let i = 0; i < count; i += 1) {
    const at = table + i * SECTION_HEADER;
    const name = file.toString('latin1', at, at + 8).replace(/\0+$/, '');
    const virtual = file.readUInt32LE(at + 8);
    const raw = file.readUInt32LE(at + 16);
    sections.push({
      name,
      // VirtualSize is the content, SizeOfRawData the content padded to FileAlignment (or less, when zero-filled).
      size: Math.min(virtual, raw),
      offset: file.readUInt32LE(at + 20),
      address: file.readUInt32LE(at + 12),
    });
  }
  return sections;
}

/**
 * @param sections in the order they are to stand; names of at most 8 bytes
 * @throws BootwaveError `PE_INVALID` when the file is signed, or its headers have no room left
 */
export function addSections(stub: Buffer, sections: readonly { name: string; data: Uint8Array }[]): Buffer {
  const { coff, optional, table, count } = peHeaders(stub);
  // The stub's own alignment is 512; pages keep loaders that set page permissions content.
  const sectionAlignment = Math.max(stub.readUInt32LE(optional + 32), 4096);
  const fileAlignment = stub.readUInt32LE(optional + 36);
  const sizeOfHeaders = stub.readUInt32LE(optional + 60);
  // Data directory 4: the attribute certificate table. Adding to a signed file would break its signature silently.
  if (stub.readUInt32LE(optional + 112 + 4 * 8 + 4) !== 0) refusePe('it is signed already');
  const firstData = Math.min(
    sizeOfHeaders,
    ...readSections(stub)
      .filter((section) => section.size > 0)
      .map((section) => section.offset),
  );
  const room = Math.floor((firstData - table) / SECTION_HEADER) - count;
  if (room < sections.length) refusePe(`room for ${room} more sections, ${sections.length} wanted`);

  const head = Buffer.from(stub);
  const pieces: Uint8Array[] = [head];
  let fileEnd = align(stub.length, fileAlignment);
  pieces.push(new Uint8Array(fileEnd - stub.length));
  let imageEnd = align(stub.readUInt32LE(optional + 56), sectionAlignment);
  let initialized = stub.readUInt32LE(optional + 8);
  sections.forEach(({ name, data }, i) => {
    if (Buffer.byteLength(name) > 8) refusePe(`the section name ${name} is longer than 8 bytes`);
    const padded = align(data.length, fileAlignment);
    const at = table + (count + i) * SECTION_HEADER;
    head.fill(0, at, at + SECTION_HEADER);
    head.write(name, at, 'latin1');
    head.writeUInt32LE(data.length, at + 8);
    head.writeUInt32LE(imageEnd, at + 12);
    head.writeUInt32LE(padded, at + 16);
    head.writeUInt32LE(fileEnd, at + 20);
    head.writeUInt32LE(READ_ONLY_DATA, at + 36);
    pieces.push(data, new Uint8Array(padded - data.length));
    fileEnd += padded;
    imageEnd = align(imageEnd + data.length, sectionAlignment);
    initialized += padded;
  });
  head.writeUInt16LE(count + sections.length, coff + 2);
  head.writeUInt32LE(initialized, optional + 8);
  head.writeUInt32LE(imageEnd, optional + 56);
  // CheckSum: firmware ignores it, and 0 means "none".
  head.writeUInt32LE(0, optional + 64);
  return Buffer.concat(pieces);
}

function align(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
