/**
 * EFI_GUID as it lies in memory, and the UUID of a machine as firmware writes it: the first three fields are little-endian
 * numbers (UEFI 2.10, appendix A; SMBIOS 2.6, 7.2.1). Linux shows the machine's in /sys/class/dmi/id/product_uuid.
 */

/** @param text a whole GUID, with or without dashes */
export function guidBytes(text: string): Buffer {
  return swapped(Buffer.from(text.replaceAll('-', ''), 'hex'));
}

/** @param bytes 16 of them @returns lower case, with dashes */
export function guidText(bytes: Uint8Array): string {
  return dashed(swapped(bytes).toString('hex'));
}

/** @param hex 32 digits */
export const dashed = (hex: string): string =>
  hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');

function swapped(bytes: Uint8Array): Buffer {
  const copy = Buffer.from(bytes);
  copy.subarray(0, 4).swap32();
  copy.subarray(4, 6).swap16();
  copy.subarray(6, 8).swap16();
  return copy;
}
