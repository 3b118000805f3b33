/** Boot entries of UEFI firmware, bytes <-> values (UEFI 2.10, 3.1.3 "Load Options" and 10.3 "Device Path Nodes"). */

import { guidBytes, guidText } from '../guid.ts';

/** Where an ESP lies on its disk, as a device path says it. */
export type EspPlace = {
  /** Number in the partition table, from 1. */
  partition: number;
  /** First block and number of blocks, in blocks of the disk. */
  start: number;
  size: number;
  /** The partition's own GUID, lower case. */
  uuid: string;
};

export type LoadOption = {
  /** LOAD_OPTION_ACTIVE. */
  active: boolean;
  description: string;
  /** The machine is started over a network card. */
  isNetwork: boolean;
  /** The partition that a short path begins with; null for every other path. */
  esp: string | null;
};

/** UEFI 2.10, 3.1.3. */
const ACTIVE = 1;
/** Types and subtypes of device path nodes (UEFI 2.10, 10.3.1): MAC address, IPv4, IPv6, URI are all of a network card. */
const MESSAGING = 3;
const NETWORK: readonly number[] = [11, 12, 13, 24];
const MEDIA = 4;
const HARD_DRIVE = 1;
const FILE_PATH = 4;
const END = Buffer.from([0x7f, 0xff, 4, 0]);
/** Partition format GPT, signature type GUID (UEFI 2.10, table 10.50). */
const GPT = 2;
const BY_GUID = 2;

/** A boot entry for a file on an ESP. @param file with slashes, from the root of the ESP */
export function encodeLoadOption(description: string, esp: EspPlace, file: string): Buffer {
  const drive = Buffer.alloc(42);
  drive.writeUInt8(MEDIA, 0);
  drive.writeUInt8(HARD_DRIVE, 1);
  drive.writeUInt16LE(drive.length, 2);
  drive.writeUInt32LE(esp.partition, 4);
  drive.writeBigUInt64LE(BigInt(esp.start), 8);
  drive.writeBigUInt64LE(BigInt(esp.size), 16);
  guidBytes(esp.uuid).copy(drive, 24);
  drive.writeUInt8(GPT, 40);
  drive.writeUInt8(BY_GUID, 41);
  const name = Buffer.from(`\\${file.replaceAll('/', '\\')}\0`, 'utf16le');
  const path = Buffer.concat([Buffer.from([MEDIA, FILE_PATH, 0, 0]), name]);
  path.writeUInt16LE(path.length, 2);
  const devicePath = Buffer.concat([drive, path, END]);
  const head = Buffer.alloc(6);
  head.writeUInt32LE(ACTIVE, 0);
  head.writeUInt16LE(devicePath.length, 4);
  return Buffer.concat([head, Buffer.from(`${description}\0`, 'utf16le'), devicePath]);
}

/** @returns null for bytes that are no load option: firmware keeps what it likes under these names */
export function decodeLoadOption(bytes: Buffer): LoadOption | null {
  if (bytes.length < 6) return null;
  let end = 6;
  while (end + 1 < bytes.length && bytes.readUInt16LE(end) !== 0) end += 2;
  const begin = end + 2;
  const path = bytes.subarray(begin, begin + bytes.readUInt16LE(4));
  if (begin > bytes.length || path.length !== bytes.readUInt16LE(4)) return null;
  const option: LoadOption = {
    active: (bytes.readUInt32LE(0) & ACTIVE) !== 0,
    description: bytes.subarray(6, end).toString('utf16le'),
    isNetwork: false,
    esp: null,
  };
  for (let at = 0; at + 4 <= path.length; ) {
    const [type, subtype, length] = [path[at]!, path[at + 1]!, path.readUInt16LE(at + 2)];
    if (length < 4 || at + length > path.length) return null;
    if (type === MESSAGING && NETWORK.includes(subtype)) option.isNetwork = true;
    if (at === 0 && type === MEDIA && subtype === HARD_DRIVE && length === 42)
      option.esp = guidText(path.subarray(24, 40));
    at += length;
  }
  return option;
}

/** BootOrder: numbers of Boot####, 16 bits each, the first one first (UEFI 2.10, 3.1.2). */
export function decodeOrder(bytes: Buffer): number[] {
  return Array.from({ length: bytes.length >> 1 }, (_, i) => bytes.readUInt16LE(i * 2));
}

export function encodeOrder(order: readonly number[]): Buffer {
  const bytes = Buffer.alloc(order.length * 2);
  for (const [i, number] of order.entries()) bytes.writeUInt16LE(number, i * 2);
  return bytes;
}
