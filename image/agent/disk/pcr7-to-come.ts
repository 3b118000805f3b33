/**
 * PCR 7 after the next start, when nothing changes but Secure Boot's lists: the firmware's own log of this start, with
 * other lists in the place of those that were measured (PFP 1.05, 3.3.4.8). Pure.
 */

import { sha256 } from '../../../bootserver/enroll/digest.ts';
import {
  EVENT,
  type EventLog,
  type LoggedEvent,
  parseEventLog,
  replay,
} from '../../../bootserver/enroll/event-log.ts';
import { LittleReader } from '../../../bootserver/enroll/little-reader.ts';

export type ListName = 'db' | 'dbx';
/** EFI_SIGNATURE_LISTs, as the variable will hold them; absent: it stays as it is. */
export type ListContents = Partial<Record<ListName, Uint8Array>>;

const CODE = 'EVENT_LOG_MALFORMED';
const GUID_BYTES = 16;

/**
 * @returns null where this cannot be told: the log is not what this PCR 7 came from, or does not show a list that changes
 * @param pcr7 as it is, 64 hex digits
 */
export function pcr7ToCome(bytes: Uint8Array, pcr7: string, lists: ListContents): Buffer | null {
  let log: EventLog;
  try {
    log = parseEventLog(bytes);
  } catch {
    return null;
  }
  if (replay(log)['7'] !== pcr7) return null;
  const left = new Set(Object.keys(lists));
  const events = log.events.map((event) => {
    const name = event.pcr === 7 && event.type === EVENT.VARIABLE_DRIVER_CONFIG ? nameOf(event) : null;
    if (name !== 'db' && name !== 'dbx') return event;
    const content = lists[name];
    if (content === undefined) return event;
    left.delete(name);
    return { ...event, digest: sha256(variableData(event.data, name, content)) };
  });
  if (left.size > 0) return null;
  return Buffer.from(replay({ ...log, events })['7']!, 'hex');
}

/** Of the UEFI_VARIABLE_DATA (PFP 10.4.2.6); null where the event holds something else. */
function nameOf({ data }: LoggedEvent): string | null {
  try {
    const reader = new LittleReader(data, CODE);
    reader.take(GUID_BYTES);
    const letters = reader.u64();
    reader.u64();
    return letters > reader.left ? null : reader.take(letters * 2).toString('utf16le');
  } catch {
    return null;
  }
}

function variableData(before: Buffer, name: string, content: Uint8Array): Buffer {
  const lengths = Buffer.alloc(16);
  lengths.writeBigUInt64LE(BigInt(name.length), 0);
  lengths.writeBigUInt64LE(BigInt(content.length), 8);
  return Buffer.concat([before.subarray(0, GUID_BYTES), lengths, Buffer.from(name, 'utf16le'), content]);
}
