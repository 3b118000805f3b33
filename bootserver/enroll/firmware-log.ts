/** What a replayed event log says of a machine's firmware: whose Secure Boot keys it holds, and which option ROMs it ran. Pure. */
import {
  checkReplay,
  EVENT,
  type EventLog,
  type LoggedEvent,
  measuredData,
  parseEventLog,
} from './event-log.ts';
import { LittleReader } from './little-reader.ts';
import type { FirmwareFacts } from './protocol.ts';

const CODE = 'EVENT_LOG_MALFORMED';
/** EFI_CERT_X509_GUID (UEFI 2.10, 32.4.1), as it lies in memory. */
const X509 = 'a159c0a5e494a74a87b5ab155c2bf072';
/** Kept of a machine; more are counted only. */
const MOST_ROMS = 32;

/** DER of every certificate that may stand in each of these variables. */
export type SecureBootKeys = Readonly<Record<'PK' | 'KEK' | 'db', readonly Uint8Array[]>>;

/** Nobody's: every machine with Secure Boot then holds foreign ones. */
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
function secureBootOf(
  { events }: EventLog,
  keys: SecureBootKeys,
): Pick<FirmwareFacts, 'secureBoot' | 'foreign'> {
  const variables = new Map<string, Buffer[]>();
  const foreign: string[] = [];
  const secure = events.filter(({ pcr }) => pcr === 7);
  for (const event of secure) {
    if (event.type === EVENT.VARIABLE_DRIVER_CONFIG) {
      const { name, data } = readVariable(event);
      variables.set(name, [...(variables.get(name) ?? []), data]);
    } else if (event.type === EVENT.VARIABLE_AUTHORITY) {
      const { name, data } = readVariable(event);
      if (!isAuthority(name, data, keys)) foreign.push(`started what another key signed (${line(name)})`);
    }
  }
  for (const name of ['PK', 'KEK', 'db'] as const) {
    const measured = variables.get(name) ?? [];
    const isOurs = measured.length > 0 && measured.every((data) => holdsOnly(data, keys[name]));
    if (!isOurs) foreign.push(`${name} is not the fleet's`);
  }
  const states = variables.get('SecureBoot') ?? [];
  const secureBoot = states.length > 0 && states.every((data) => data.length === 1 && data[0] === 1);
  return { secureBoot, foreign: [...new Set(foreign)] };
}

/** UEFI_VARIABLE_DATA (PFP 10.4.2.6). */
function readVariable(event: LoggedEvent): { name: string; data: Buffer } {
  const reader = new LittleReader(measuredData(event), CODE);
  reader.take(16);
  const [letters, length] = [reader.u64(), reader.u64()];
  // Twice a count that is a lie must not become an exact length.
  if (letters > reader.left) reader.fail('a variable name that is longer than its event');
  const name = reader.take(letters * 2).toString('utf16le');
  const data = reader.take(length);
  reader.end();
  return { name, data };
}

/** One EFI_SIGNATURE_DATA out of db (PFP 3.3.4.8): who owns the entry, then the certificate. */
function isAuthority(name: string, data: Buffer, keys: SecureBootKeys): boolean {
  return name === 'db' && keys.db.some((certificate) => data.subarray(16).equals(certificate));
}

/** Whether these EFI_SIGNATURE_LISTs (UEFI 2.10, 32.4.1) hold certificates of the fleet, and nothing else. */
function holdsOnly(lists: Buffer, certificates: readonly Uint8Array[]): boolean {
  let found = 0;
  const reader = new LittleReader(lists, CODE);
  while (reader.left > 0) {
    const type = reader.take(16).toString('hex');
    const [length, header, size] = [reader.u32(), reader.u32(), reader.u32()];
    if (length < 28 + header || size <= 16 || (length - 28 - header) % size !== 0) {
      reader.fail('a signature list whose lengths do not agree');
    }
    const list = new LittleReader(reader.take(length - 28), CODE);
    list.take(header);
    while (list.left > 0) {
      const entry = list.take(size).subarray(16);
      if (type !== X509 || !certificates.some((certificate) => entry.equals(certificate))) return false;
      found += 1;
    }
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
