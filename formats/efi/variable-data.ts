import { LittleReader } from '../byte-reader.ts';

const GUID_BYTES = 16;

/**
 * UEFI_VARIABLE_DATA (PFP 1.05, 10.4.2.6): what firmware measures of a variable.
 * @param code the error code of everything that is wrong with these bytes
 */
export function readVariableData(bytes: Uint8Array, code: string): { name: string; data: Buffer } {
  const reader = new LittleReader(bytes, code);
  reader.take(GUID_BYTES);
  const [letters, length] = [reader.u64(), reader.u64()];
  // Twice a count that is a lie must not become an exact length.
  if (letters > reader.left) reader.fail('a variable name that is longer than its event');
  // Some count the zero that ends the name; no variable has one in its name (UEFI 2.10, 8.2).
  const name = reader
    .take(letters * 2)
    .toString('utf16le')
    .replace(/\0+$/, '');
  const data = reader.take(length);
  reader.endOrZeros();
  return { name, data };
}

/** Bytes that it takes up, by the lengths that stand in it; all of them where it has none. */
export function variableLength(bytes: Buffer): number {
  if (bytes.length < GUID_BYTES + 16) return bytes.length;
  const [letters, length] = [GUID_BYTES, GUID_BYTES + 8].map((at) => Number(bytes.readBigUInt64LE(at)));
  return Math.min(bytes.length, GUID_BYTES + 16 + 2 * letters! + length!);
}

/** The same of other content, under the vendor that `before` names. */
export function withContent(before: Uint8Array, name: string, content: Uint8Array): Buffer {
  const lengths = Buffer.alloc(16);
  lengths.writeBigUInt64LE(BigInt(name.length), 0);
  lengths.writeBigUInt64LE(BigInt(content.length), 8);
  return Buffer.concat([before.subarray(0, GUID_BYTES), lengths, Buffer.from(name, 'utf16le'), content]);
}
