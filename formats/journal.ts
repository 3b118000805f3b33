/** Entries of systemd's journal, as `journalctl --output=json` writes them (systemd.journal-fields(7)). Pure. */

/** Of an entry that names none. */
const INFO = 6;

/** @returns 0 to 7 (RFC 5424 6.2.1) */
export const severityOf = (priority: unknown): number =>
  typeof priority === 'string' && /^[0-7]$/.test(priority) ? Number(priority) : INFO;

/** What is not UTF-8 comes as an array of bytes, and what is too long for one line of JSON as null. */
export function messageText(message: unknown): string {
  if (typeof message === 'string') return message;
  if (!Array.isArray(message)) return '';
  // A field that is there several times is an array of its values.
  if (typeof message[0] === 'string') return message[0];
  return Buffer.from(message.filter((byte) => Number.isInteger(byte))).toString('utf8');
}
