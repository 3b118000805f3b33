/** What a replayed event log says of a machine's firmware: whose Secure Boot keys it holds, what it revokes, and which option ROMs it ran. Pure. */

import { BootwaveError } from '../../base/error.ts';
import { isFill } from '../../formats/byte-reader.ts';
import { sha256 } from '../../formats/digest.ts';
import {
  checkReplay,
  EVENT,
  type EventLog,
  type LoggedEvent,
  measuredData,
  parseEventLog,
} from '../../formats/efi/event-log.ts';
import { isRemark } from '../../formats/efi/secure-boot-events.ts';
import { holds, signatureEntries, X509 } from '../../formats/efi/signature-lists.ts';
import { readVariableData, variableLength } from '../../formats/efi/variable-data.ts';
import { certificateId } from '../../keys/secure-boot-state.ts';
import type { FirmwareFacts } from '../../protocol/enrolment/firmware-facts.ts';

const CODE = 'EVENT_LOG_MALFORMED';
/** Option ROMs kept for one machine; further ones are only counted. */
const MOST_ROMS = 32;
/** One foreign entry is enough to keep a machine out; the machine writes the log, and it may hold thousands. */
const MOST_FOREIGN = 16;

/** DER of every certificate that may be in each of these variables. */
export type SecureBootKeys = Readonly<Record<'PK' | 'KEK' | 'db', readonly Uint8Array[]>> & {
  /** Those in db that the fleet has retired: a node keeps one until an image brings it the db without it. */
  retired?: readonly Uint8Array[];
};

/** No fleet's keys: then every machine with Secure Boot holds foreign ones. */
export const NO_KEYS: SecureBootKeys = { PK: [], KEK: [], db: [] };

/**
 * @param quoted PCR -> hex, from a quote that was verified
 * @throws BootwaveError `EVENT_LOG_MALFORMED`, `EVENT_LOG_FORGED`
 */
export function firmwareFacts(
  bytes: Uint8Array,
  quoted: Readonly<Record<string, string>>,
  keys: SecureBootKeys,
): FirmwareFacts {
  const log = parseEventLog(bytes);
  checkReplay(log, quoted);
  return { ...secureBootOf(log, keys), optionRoms: optionRomsOf(log) };
}

/** PCR 7: the state of Secure Boot, its four variables, and whatever certificate let a program run (PFP 3.3.4.8). */
function secureBootOf({ events }: EventLog, keys: SecureBootKeys): Omit<FirmwareFacts, 'optionRoms'> {
  const variables = new Map<string, Buffer[]>();
  const foreign: string[] = [];
  const gone = keys.retired ?? [];
  const inDb = [...keys.db, ...gone];
  const retired: string[] = [];
  const secure = events.filter(({ pcr }) => pcr === 7);
  const begun = secure.findIndex(({ type }) => type === EVENT.SEPARATOR);
  for (const [at, event] of secure.entries()) {
    if (event.type === EVENT.VARIABLE_DRIVER_CONFIG) {
      const { name, data } = readVariable(event);
      // For firmware that measures no variable, and a program that does so in its place. Changed variables are measured
      // once more.
      if (begun !== -1 && at > begun && !variables.has(name))
        foreign.push(`${line(name)} was measured after something was started`);
      variables.set(name, [...(variables.get(name) ?? []), data]);
    } else if (event.type === EVENT.VARIABLE_AUTHORITY) {
      const { name, data } = readVariable(event);
      if (isAuthority(name, data, gone)) retired.push('started what a retired key signed');
      else if (!isAuthority(name, data, keys.db))
        foreign.push(`started what another key signed (${line(name)})`);
    } else if (!isRemark(event)) {
      foreign.push(`PCR 7 holds an event of type 0x${event.type.toString(16)} that nobody can read`);
    }
  }
  for (const name of ['PK', 'KEK', 'db'] as const) {
    const measured = variables.get(name) ?? [];
    const certificates = name === 'db' ? inDb : keys[name];
    const isOurs = measured.length > 0 && measured.every((data) => holdsOnly(data, certificates));
    if (!isOurs) foreign.push(`${name} is not the fleet's`);
  }
  const states = variables.get('SecureBoot') ?? [];
  const secureBoot = states.length > 0 && states.every((data) => data[0] === 1 && isFill(data.subarray(1)));
  const dbx = variables.get('dbx')?.at(-1);
  const held = heldOf(variables.get('db')?.at(-1) ?? Buffer.alloc(0), inDb);
  for (const certificate of held.filter((one) => gone.some((other) => one.equals(other))))
    retired.push(`db still holds the retired ${certificateId(certificate)}`);
  return {
    secureBoot,
    foreign: [...new Set(foreign)].slice(0, MOST_FOREIGN),
    db: held.map(certificateId),
    ...(retired.length === 0 ? {} : { retired: [...new Set(retired)].slice(0, MOST_FOREIGN) }),
    ...(dbx === undefined ? {} : { dbx: revokedBy(dbx) }),
  };
}

/**
 * A machine is never kept out for its dbx: the more it revokes, the less it starts. A dbx that cannot be parsed is
 * still identified by its digest.
 */
function revokedBy(lists: Buffer): NonNullable<FirmwareFacts['dbx']> {
  const digest = sha256(lists).toString('hex');
  try {
    return { entries: [...signatureEntries(lists, CODE)].length, sha256: digest };
  } catch (error) {
    if (error instanceof BootwaveError && error.code === CODE) return { entries: null, sha256: digest };
    throw error;
  }
}

const readVariable = (event: LoggedEvent) =>
  readVariableData(measuredData(event, variableLength(event.data)), CODE);

/** One EFI_SIGNATURE_DATA out of db (PFP 3.3.4.8): who owns the entry, then the certificate. */
function isAuthority(name: string, data: Buffer, certificates: readonly Uint8Array[]): boolean {
  return name === 'db' && certificates.some((certificate) => holds(data.subarray(16), certificate));
}

/**
 * Those of these certificates that are in signature lists, in the lists' order; of truncated lists, what came before.
 */
function heldOf(lists: Buffer, certificates: readonly Uint8Array[]): Buffer[] {
  const held: Buffer[] = [];
  try {
    for (const { type, data } of signatureEntries(lists, CODE)) {
      const known = type === X509 ? certificates.find((certificate) => holds(data, certificate)) : undefined;
      if (known !== undefined) held.push(Buffer.from(known));
    }
  } catch (error) {
    if (!(error instanceof BootwaveError && error.code === CODE)) throw error;
  }
  return held.slice(0, certificates.length);
}

/** Whether these signature lists hold certificates of the fleet, and nothing else. */
function holdsOnly(lists: Buffer, certificates: readonly Uint8Array[]): boolean {
  let found = 0;
  for (const { type, data } of signatureEntries(lists, CODE)) {
    if (type !== X509 || !certificates.some((certificate) => holds(data, certificate))) return false;
    found += 1;
  }
  return found > 0;
}

/** PCR 2: code that came with cards instead of the board (PFP 3.3.4.3); its digest is the image's Authenticode hash. */
function optionRomsOf({ events }: EventLog): string[] {
  const drivers: readonly number[] = [EVENT.BOOT_SERVICES_DRIVER, EVENT.RUNTIME_SERVICES_DRIVER];
  const found = events.filter(({ pcr, type }) => pcr === 2 && drivers.includes(type));
  const told = found
    .slice(0, MOST_ROMS)
    .map((event) => `${placeOf(event.data)}sha256 ${event.digest.toString('hex').slice(0, 32)}`);
  return found.length > MOST_ROMS ? [...told, `and ${found.length - MOST_ROMS} more`] : told;
}

/** Behind EFI_IMAGE_LOAD_EVENT (PFP 10.4.2.5) stands the device path; its PCI nodes (UEFI 2.10, 10.3.2.1) say where. */
function placeOf(data: Buffer): string {
  const path = data.subarray(32);
  const places: string[] = [];
  for (let at = 0; at + 4 <= path.length; ) {
    const length = path.readUInt16LE(at + 2);
    if (length < 4 || at + length > path.length) break;
    if (path[at] === 1 && path[at + 1] === 1 && length === 6) places.push(`${path[at + 5]}.${path[at + 4]}`);
    at += length;
  }
  return places.length === 0 ? '' : `PCI ${places.slice(0, 8).join('/')} `;
}

const line = (text: string): string => text.replace(/[^\w.-]/g, '?').slice(0, 32);
