/** Writes event logs as firmware does (TCG PC Client Platform Firmware Profile 1.05, 10). */
import { createHash, randomBytes } from 'node:crypto';
import { EVENT } from '../../../../bootserver/enroll/event-log.ts';
import type { SecureBootKeys } from '../../../../bootserver/enroll/firmware-log.ts';

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

/** EFI_SIGNATURE_LIST (UEFI 2.10, 32.4.1), one for each certificate. */
const lists = (certificates: readonly Uint8Array[]) =>
  Buffer.concat(
    certificates.flatMap((der) => [
      Buffer.from('a159c0a5e494a74a87b5ab155c2bf072', 'hex'),
      ...[u32(28 + 16 + der.length), u32(0), u32(16 + der.length), OWNER, der],
    ]),
  );

const variableData = (name: string, data: Uint8Array) =>
  Buffer.concat([
    Buffer.alloc(16, 0x8b),
    u64(name.length),
    u64(data.length),
    Buffer.from(name, 'utf16le'),
    data,
  ]);

export function variable(name: string, ...certificates: readonly Uint8Array[]): Written {
  return { pcr: 7, type: EVENT.VARIABLE_DRIVER_CONFIG, data: variableData(name, lists(certificates)) };
}

/** What firmware measures of Secure Boot before it starts anything. */
export function keyEvents(on = 1): Written[] {
  const state = variableData('SecureBoot', Buffer.from([on]));
  return [
    { pcr: 7, type: EVENT.VARIABLE_DRIVER_CONFIG, data: state },
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
