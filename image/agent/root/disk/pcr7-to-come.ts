/**
 * PCR 7 after the next start, if only Secure Boot's lists and the signers of the started programs change: the
 * firmware's own log of this start, with the measured lists and certificates replaced by the new ones (PFP 1.05,
 * 3.3.4.8). Pure.
 */
import { sha256 } from '../../../../formats/digest.ts';
import {
  EVENT,
  type EventLog,
  type LoggedEvent,
  parseEventLog,
  replay,
} from '../../../../formats/efi/event-log.ts';
import { readVariableData, withContent } from '../../../../formats/efi/variable-data.ts';

export type ListName = 'db' | 'dbx';
/** EFI_SIGNATURE_LISTs, as the variable will hold them; absent: it stays as it is. */
export type ListContents = Partial<Record<ListName, Uint8Array>>;

/** Entries of db as they are measured: EFI_SIGNATURE_DATA (UEFI 2.10, 32.4.1), the owner's GUID and the certificate. */
export type Signers = {
  /** The certificates that verify the loader and the image of the next start, in that order. */
  next: readonly Uint8Array[];
  /** All that the fleet has in db, or will have; other certificates that let a program run stay. */
  known: readonly Uint8Array[];
};

const CODE = 'EVENT_LOG_MALFORMED';

/**
 * @returns null if this cannot be computed: the log does not lead to this PCR 7, or does not show what changes
 * @param pcr7 as it is, 64 hex digits
 * @param signers absent: as they are
 */
export function pcr7ToCome(
  bytes: Uint8Array,
  pcr7: string,
  lists: ListContents,
  signers?: Signers,
): Buffer | null {
  let log: EventLog;
  try {
    log = parseEventLog(bytes);
  } catch {
    return null;
  }
  if (replay(log)['7'] !== pcr7) return null;
  const left = new Set(Object.keys(lists));
  let isStrange = false;
  const listed = log.events.map((event) => {
    const name = event.pcr === 7 && event.type === EVENT.VARIABLE_DRIVER_CONFIG ? nameOf(event) : null;
    if (name !== 'db' && name !== 'dbx') return event;
    const content = lists[name];
    if (content === undefined) return event;
    left.delete(name);
    isStrange ||= !isAsSpecified(event);
    return { ...event, digest: sha256(withContent(event.data, name, content)) };
  });
  if (left.size > 0 || isStrange) return null;
  const events = signers === undefined ? listed : startedBy(listed, signers);
  return Buffer.from(replay({ ...log, events })['7']!, 'hex');
}

/** Firmware measures each certificate once, when it first lets something run (PFP 1.05, 3.3.4.8). */
function startedBy(events: readonly LoggedEvent[], { next, known }: Signers): LoggedEvent[] {
  const isOurs = ({ pcr, type, data, digest }: LoggedEvent) =>
    pcr === 7 &&
    type === EVENT.VARIABLE_AUTHORITY &&
    known.some((entry) => sha256(withContent(data, 'db', entry)).equals(digest));
  const first = events.findIndex(isOurs);
  const before = events[first];
  // Firmware that measures no certificate now will measure none then.
  if (before === undefined) return [...events];
  const once = next.filter((entry, i) => next.findIndex((other) => Buffer.compare(entry, other) === 0) === i);
  const measured = once.map((entry) => {
    const data = withContent(before.data, 'db', entry);
    return { ...before, data, digest: sha256(data) };
  });
  return [...events.slice(0, first), ...measured, ...events.slice(first).filter((event) => !isOurs(event))];
}

/** A firmware that measures more than the structure, zeros behind it or in its name, measures what nobody can foretell. */
function isAsSpecified({ data, digest }: LoggedEvent): boolean {
  const { name, data: content } = readVariableData(data, CODE);
  return sha256(withContent(data, name, content)).equals(digest);
}

/** Null where the event holds no variable. */
function nameOf({ data }: LoggedEvent): string | null {
  try {
    return readVariableData(data, CODE).name;
  } catch {
    return null;
  }
}
