/**
 * The UUID of a machine as firmware writes it into bytes: the first three fields are in little-endian order (SMBIOS 2.6,
 * 7.2.1), which is how Linux shows it in /sys/class/dmi/id/product_uuid.
 * @param bytes 16 of them
 * @returns lower case with dashes
 */
export function smbiosUuid(bytes: Uint8Array): string {
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  const hex = order.map((at) => bytes[at]!.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
