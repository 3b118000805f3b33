/** From a line of `journalctl --output=json` to a message of the Syslog Protocol (RFC 5424). Pure. */
import { messageText, severityOf } from '../../../formats/journal.ts';

/** Bytes of a message: what every receiver must take is 480, what it should take 2048 (RFC 5424 6.1). */
export const MOST_BYTES = 2048;

/** Facility 3, system daemons (RFC 5424 6.2.1), where the entry names none. */
const DAEMON = 3;

export type Entry = { message: Buffer; cursor: string };

/**
 * @param line one line of JSON; see journalctl(1) and systemd.journal-fields(7)
 * @param host the name for this machine: its own address
 * @returns null for a line that is no entry, which is skipped
 */
export function toSyslog(line: string, host: string): Entry | null {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return null;
  }
  if (typeof fields !== 'object' || fields === null || typeof fields.__CURSOR !== 'string') return null;
  const facility = number(fields.SYSLOG_FACILITY, 23) ?? DAEMON;
  const severity = severityOf(fields.PRIORITY);
  const micros = Number(fields.__REALTIME_TIMESTAMP);
  const at = Number.isFinite(micros) ? new Date(micros / 1000) : null;
  const time = at === null || Number.isNaN(at.getTime()) ? '-' : at.toISOString();
  const name = word(fields.SYSLOG_IDENTIFIER ?? fields._COMM, 48);
  const pid = word(fields._PID ?? fields.SYSLOG_PID, 128);
  const head = `<${facility * 8 + severity}>1 ${time} ${word(host, 255)} ${name} ${pid} - - `;
  return { message: cut(Buffer.from(head + textOf(fields.MESSAGE), 'utf8')), cursor: fields.__CURSOR };
}

/** RFC 6587 3.4.1: a message may hold any byte, so its length goes before it. */
export function framed(message: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${message.length} `, 'ascii'), message]);
}

function number(value: unknown, most: number): number | null {
  const n = typeof value === 'string' && /^\d{1,3}$/.test(value) ? Number(value) : Number.NaN;
  return n <= most ? n : null;
}

/** PRINTUSASCII, or the nil value. */
function word(value: unknown, most: number): string {
  const text = typeof value === 'string' ? value.replace(/[^\x21-\x7e]/g, '').slice(0, most) : '';
  return text === '' ? '-' : text;
}

/** What is not UTF-8 comes as an array of bytes, a message that is too long as null. */
function textOf(message: unknown): string {
  // A line break could be read as the end of the message, and what follows it as another one.
  return messageText(message)
    .replace(/\p{Cc}+/gu, ' ')
    .trim();
}

/** Not in the middle of a character: RFC 5424 6.1. */
function cut(bytes: Buffer): Buffer {
  if (bytes.length <= MOST_BYTES) return bytes;
  let end = MOST_BYTES;
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end -= 1;
  return bytes.subarray(0, end);
}
