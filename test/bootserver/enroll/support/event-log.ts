/** Writes event logs as firmware does (TCG PC Client Platform Firmware Profile 1.05, 10). */
import { createHash, randomBytes } from 'node:crypto';
import type { SecureBootKeys } from '../../../../bootserver/enroll/firmware-log.ts';
import { EVENT } from '../../../../formats/efi/event-log.ts';
import { X509 } from '../../../../formats/efi/signature-lists.ts';

/** `digest`: of the data by default. */
export type Written = { pcr: number; type: number; data: Buffer; digest?: Buffer };

const u16 = (value: number) => Buffer.from([value & 255, value >> 8]);
const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value: number) => Buffer.concat([u32(value), u32(0)]);

/** In two banks, SHA-1 and SHA-256. */
export function eventLog(events: readonly Written[]): Buffer {
  const specification = Buffer.concat([
    Buffer.from('Spec ID Event03\0', 'latin1'),
    ...[u32(0), Buffer.from([0, 2, 0, 2]), u32(2)],
    ...[u16(4), u16(20), u16(11), u16(32), Buffer.from([0])],
  ]);
  const header = [u32(0), u32(EVENT.NO_ACTION), Buffer.alloc(20), u32(specification.length), specification];
  const written = events.flatMap(({ pcr, type, data, digest }) => [
    ...[u32(pcr), u32(type), u32(2)],
    ...[u16(4), createHash('sha1').update(data).digest()],
    ...[u16(11), digest ?? createHash('sha256').update(data).digest()],
    ...[u32(data.length), data],
  ]);
  return Buffer.concat([...header, ...written]);
}

const certificate = () => Buffer.concat([Buffer.from('3082', 'hex'), randomBytes(200)]);
/** Stand-ins: nothing looks into them. */
export const FLEET_KEYS: SecureBootKeys = { PK: [certificate()], KEK: [certificate()], db: [certificate()] };
export const OTHER_CERTIFICATE = certificate();

const OWNER = Buffer.alloc(16, 0x0e);

/** EFI_CERT_SHA256_GUID (UEFI 2.10, 32.4.1), as it lies in memory. */
export const SHA256_LIST = '2616c4c14c509240aca941f936934328';

/** EFI_SIGNATURE_LIST (UEFI 2.10, 32.4.1); all entries of one are of one length. */
export function signatureList(
  type: string,
  entries: readonly Uint8Array[],
  header: Uint8Array = Buffer.alloc(0),
): Buffer {
  const size = OWNER.length + (entries[0]?.length ?? 1);
  const length = 28 + header.length + size * entries.length;
  return Buffer.concat([
    Buffer.from(type, 'hex'),
    ...[u32(length), u32(header.length), u32(size), header],
    ...entries.flatMap((entry) => [OWNER, entry]),
  ]);
}

/** One for each certificate. */
const lists = (certificates: readonly Uint8Array[]) =>
  Buffer.concat(certificates.map((der) => signatureList(X509, [der])));

const variableData = (name: string, data: Uint8Array) =>
  Buffer.concat([
    Buffer.alloc(16, 0x8b),
    u64(name.length),
    u64(data.length),
    Buffer.from(name, 'utf16le'),
    data,
  ]);

export function variableOf(name: string, data: Uint8Array): Written {
  return { pcr: 7, type: EVENT.VARIABLE_DRIVER_CONFIG, data: variableData(name, data) };
}

export function variable(name: string, ...certificates: readonly Uint8Array[]): Written {
  return variableOf(name, lists(certificates));
}

/** What firmware measures of Secure Boot before it starts anything. */
export function keyEvents(on = 1): Written[] {
  return [
    variableOf('SecureBoot', Buffer.from([on])),
    variable('PK', ...FLEET_KEYS.PK),
    variable('KEK', ...FLEET_KEYS.KEK),
    variable('db', ...FLEET_KEYS.db),
    variable('dbx'),
    { pcr: 7, type: EVENT.SEPARATOR, data: Buffer.alloc(4) },
  ];
}

/** Something was started that this certificate of db vouches for. */
export function authority(der: Uint8Array): Written {
  return { pcr: 7, type: EVENT.VARIABLE_AUTHORITY, data: variableData('db', Buffer.concat([OWNER, der])) };
}
