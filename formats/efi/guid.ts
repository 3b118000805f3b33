/** EFI_GUID as it lies in memory: the first three fields are little-endian numbers (UEFI 2.10, appendix A). */

/** @param text a whole GUID, with or without dashes */
export function guidBytes(text: string): Buffer {
  return swapped(Buffer.from(text.replaceAll('-', ''), 'hex'));
}

/** Lower case, with dashes. */
export function guidText(bytes: Buffer): string {
  const hex = swapped(bytes).toString('hex');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function swapped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  copy.subarray(0, 4).swap32();
  copy.subarray(4, 6).swap16();
  copy.subarray(6, 8).swap16();
  return copy;
}
