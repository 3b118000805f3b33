/**
 * The firmware's own list of what it measured (TCG PC Client Platform Firmware Profile 1.05, 10 "Event Logging"). It
 * comes from the machine that is to be judged, so it proves nothing by itself: only a list whose digests, extended one
 * after another, give the quoted PCR values is one that the firmware wrote. Pure.
 */
import { createHash } from 'node:crypto';
import { BootwaveError } from '../../base/error.ts';
import { LittleReader } from '../byte-reader.ts';
import { sha256 } from '../digest.ts';

export const EVENT_LOG_LIMITS = {
  /** Machines with many option ROMs and long boot menus write some 100 kB. */
  bytes: 256 * 1024,
  events: 2048,
  /** Banks that one event carries digests of (TPM 2.0 Part 2, HASH_COUNT is far below it). */
  banks: 16,
} as const;

const CODE = 'EVENT_LOG_MALFORMED';
/** Firmware, its configuration, option ROMs, boot loaders, Secure Boot (PFP 3.3.4). */
const FIRMWARE_PCRS = [0, 1, 2, 3, 4, 5, 6, 7] as const;

/** TCG_EventType (PFP 10.4.1), as far as anything here looks at them. */
export const EVENT = {
  NO_ACTION: 0x00000003,
  SEPARATOR: 0x00000004,
  VARIABLE_DRIVER_CONFIG: 0x80000001,
  BOOT_SERVICES_DRIVER: 0x80000004,
  RUNTIME_SERVICES_DRIVER: 0x80000005,
  ACTION: 0x80000007,
  VARIABLE_AUTHORITY: 0x800000e0,
} as const;

const SHA256 = 0x000b;

export type LoggedEvent = {
  pcr: number;
  type: number;
  /** Of the SHA-256 bank: what the PCR was extended with. */
  digest: Buffer;
  data: Buffer;
};

export type EventLog = {
  events: readonly LoggedEvent[];
  /** Locality from which the TPM was started: what PCR 0 starts with (PFP 10.4.5.3). */
  locality: number;
};

/** @throws BootwaveError `EVENT_LOG_MALFORMED` for anything but a crypto-agile log with a SHA-256 bank */
export function parseEventLog(bytes: Uint8Array): EventLog {
  const reader = new LittleReader(bytes, CODE);
  if (bytes.length > EVENT_LOG_LIMITS.bytes) reader.fail(`an event log of ${bytes.length} bytes`);
  const banks = readHeader(reader);
  const events: LoggedEvent[] = [];
  let locality = 0;
  while (reader.left > 0 && !isUnwritten(bytes.subarray(bytes.length - reader.left))) {
    if (events.length >= EVENT_LOG_LIMITS.events) reader.fail(`more than ${EVENT_LOG_LIMITS.events} events`);
    const event = readEvent(reader, banks);
    events.push(event);
    locality = localityOf(event) ?? locality;
  }
  return { events, locality };
}

/**
 * The first event has the old form and names the banks of all others: TCG_PCClientPCREvent with a
 * TCG_EfiSpecIDEvent (PFP 10.2.1, 10.4.5.1).
 * @returns bytes of a digest by algorithm
 */
function readHeader(reader: LittleReader): Map<number, number> {
  const pcr = reader.u32();
  const type = reader.u32();
  reader.take(20);
  const data = new LittleReader(reader.take(reader.u32()), CODE);
  if (pcr !== 0 || type !== EVENT.NO_ACTION || data.take(16).toString('latin1') !== 'Spec ID Event03\0') {
    reader.fail('the event log is not a crypto-agile one');
  }
  data.take(8);
  const count = data.u32();
  if (count > EVENT_LOG_LIMITS.banks) reader.fail(`an event log of ${count} banks`);
  const banks = new Map<number, number>();
  for (let i = 0; i < count; i += 1) banks.set(data.u16(), data.u16());
  // vendorInfo, and its length, which some leave out; what more there is, nobody knows (Linux passes over all of it).
  if (data.left > 0) data.take(Math.min(data.u8(), data.left));
  if (banks.get(SHA256) !== 32) reader.fail('the event log has no SHA-256 bank');
  return banks;
}

/** TCG_PCR_EVENT2 (PFP 10.2.2). */
function readEvent(reader: LittleReader, banks: ReadonlyMap<number, number>): LoggedEvent {
  const pcr = reader.u32();
  // TPM2_PCR_Extend knows 24 of them on this platform (TCG PC Client Platform TPM Profile 1.05, 4.6).
  if (pcr > 23 && pcr !== 0xffffffff) reader.fail(`an event of PCR ${pcr}`);
  const type = reader.u32();
  const count = reader.u32();
  if (count > EVENT_LOG_LIMITS.banks) reader.fail(`an event with ${count} digests`);
  let digest: Buffer | undefined;
  for (let i = 0; i < count; i += 1) {
    const algorithm = reader.u16();
    const length = banks.get(algorithm);
    if (length === undefined)
      reader.fail(`a digest of the unannounced algorithm 0x${algorithm.toString(16)}`);
    const value = reader.take(length);
    if (algorithm !== SHA256) continue;
    if (digest !== undefined) reader.fail('an event with two SHA-256 digests');
    digest = value;
  }
  // What extends nothing may come without digests.
  if (digest === undefined && type === EVENT.NO_ACTION) digest = Buffer.alloc(32);
  if (digest === undefined) return reader.fail('an event without a SHA-256 digest');
  return { pcr, type, digest, data: reader.take(reader.u32()) };
}

/**
 * The rest of the memory that the firmware set aside for its log. A list that is cut off here does not lead to the quoted
 * values, unless what was cut off extended nothing.
 */
function isUnwritten(rest: Uint8Array): boolean {
  // An event begins with its PCR: no look at more than that for each of them.
  if (rest[0] !== rest[3] || (rest[0] !== 0 && rest[0] !== 0xff)) return false;
  return rest.every((byte) => byte === rest[0]);
}

/**
 * TCG_EfiStartupLocalityEvent (PFP 10.4.5.3); some firmware writes zeros behind its 17 bytes. A locality that is not the one
 * that the TPM was started from does not lead to the quoted PCR 0.
 */
function localityOf({ type, data }: LoggedEvent): number | null {
  const isOne =
    type === EVENT.NO_ACTION && data.length >= 17 && data.toString('latin1', 0, 16) === 'StartupLocality\0';
  return isOne ? data.readUInt8(16) : null;
}

/**
 * What the PCRs must be when the firmware measured exactly this (TPM 2.0 Part 1, 17.3 "Extend of a PCR").
 * @returns PCR -> hex, for those that the firmware writes
 */
export function replay({ events, locality }: EventLog): Record<string, string> {
  const values = FIRMWARE_PCRS.map(() => Buffer.alloc(32));
  values[0]!.writeUInt8(locality, 31);
  for (const { pcr, type, digest } of events) {
    const before = values[pcr];
    // EV_NO_ACTION tells something and extends nothing (PFP 10.4.1).
    if (before === undefined || type === EVENT.NO_ACTION) continue;
    values[pcr] = createHash('sha256').update(before).update(digest).digest();
  }
  return Object.fromEntries(values.map((value, pcr) => [pcr, value.toString('hex')]));
}

/**
 * @param quoted PCR -> hex, from a quote that was verified
 * @throws BootwaveError `EVENT_LOG_FORGED` when the log is not what these PCRs came from
 */
export function checkReplay(log: EventLog, quoted: Readonly<Record<string, string>>): void {
  const wrong = Object.entries(replay(log)).filter(([pcr, value]) => quoted[pcr] !== value);
  if (wrong.length === 0) return;
  throw new BootwaveError({
    code: 'EVENT_LOG_FORGED',
    what: `the event log does not lead to the quoted PCR ${wrong.map(([pcr]) => pcr).join(', ')}: it is not what the firmware measured`,
    unchanged: 'nothing was recorded',
    next: 'the machine tries again by itself; if it goes on, its firmware or its kernel is not what it seems',
  });
}

/**
 * The data of an event whose digest is that of its data: only then is the data what was measured. For most other kinds
 * the data merely describes it (PFP 10.4.1).
 * @param length of the structure that it is: what firmware writes behind that without measuring it is not handed back
 * @throws BootwaveError `EVENT_LOG_FORGED`
 */
export function measuredData({ pcr, digest, data }: LoggedEvent, length: number = data.length): Buffer {
  if (sha256(data).equals(digest)) return data;
  const measured = data.subarray(0, length);
  if (sha256(measured).equals(digest)) return measured;
  throw new BootwaveError({
    code: 'EVENT_LOG_FORGED',
    what: `an event of PCR ${pcr} holds other data than what was measured`,
    unchanged: 'nothing was recorded',
  });
}
