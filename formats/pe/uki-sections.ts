/**
 * Where the parts of a UKI lie in its file, from its PE section table (Microsoft PE/COFF specification, sections 2 to
 * 4; UAPI.5, Unified Kernel Image). Pure: needs the first bytes of the file only, and trusts none of them.
 */
import { BootwaveError } from '../../base/error.ts';

export type UkiSection = {
  /** With its dot, e.g. `.linux`. */
  name: string;
  /** Bytes from the start of the file; `offset + length` never exceeds the file's size. */
  offset: number;
  /** Bytes of content, without the padding behind it. */
  length: number;
};

/** Enough of the file for any header that `ukiSections` accepts, bytes. */
export const UKI_HEADER_BYTES = 64 * 1024;

/** PE/COFF section 3.3: the Windows loader's own limit. */
const MOST_SECTIONS = 96;
const SECTION_HEADER = 40;

/**
 * @param head the first `UKI_HEADER_BYTES` of the file, or all of it when it is shorter
 * @param fileSize bytes
 * @returns sections with content in the file's order; a name may stand more than once (multi-profile UKIs)
 * @throws BootwaveError `UKI_MALFORMED`
 */
export function ukiSections(head: Uint8Array, fileSize: number): UkiSection[] {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const need = (end: number, what: string) => {
    if (end > head.byteLength) refuse(`${what} lies beyond the first ${head.byteLength} bytes`);
  };
  need(0x40, 'the DOS header');
  if (view.getUint16(0, true) !== 0x5a4d) refuse('it does not begin with MZ');
  const pe = view.getUint32(0x3c, true);
  need(pe + 24, 'the PE header');
  if (view.getUint32(pe, true) !== 0x0000_4550) refuse('it has no PE signature');
  const count = view.getUint16(pe + 6, true);
  if (count > MOST_SECTIONS) refuse(`it claims ${count} sections`);
  const table = pe + 24 + view.getUint16(pe + 20, true);
  need(table + count * SECTION_HEADER, 'the section table');

  const sections: UkiSection[] = [];
  for (let at = table; at < table + count * SECTION_HEADER; at += SECTION_HEADER) {
    const name = nameOf(head.subarray(at, at + 8));
    // VirtualSize is the content; SizeOfRawData is padded to FileAlignment, or shorter where zeros are filled in.
    const length = Math.min(view.getUint32(at + 8, true), view.getUint32(at + 16, true));
    const offset = view.getUint32(at + 20, true);
    if (length === 0) continue;
    if (offset + length > fileSize) refuse(`its section ${name} ends beyond the end of the file`);
    sections.push({ name, offset, length });
  }
  return sections;
}

/** The first of that name: in a multi-profile UKI the base profile stands first (UAPI.5). */
export function sectionNamed(sections: readonly UkiSection[], name: string): UkiSection | undefined {
  return sections.find((section) => section.name === name);
}

function nameOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return String.fromCharCode(...(end === -1 ? bytes : bytes.subarray(0, end)));
}

function refuse(why: string): never {
  throw new BootwaveError({
    code: 'UKI_MALFORMED',
    what: `the image is not a unified kernel image: ${why}`,
    unchanged: 'nothing was read from it',
    next: 'build it again',
  });
}
