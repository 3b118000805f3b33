/**
 * How hardware names itself: values that people and firmware spell in several ways, and values that makers leave as they
 * stand on the sample of the board, so that a thousand machines show them. Pure.
 */

const plain = (text: string): string => text.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '');

/** What stands where the maker of a board or a device has filled in nothing, in whatever case and punctuation. */
const PLACEHOLDERS = new Set(
  [
    ...['Default string', 'System Serial Number', 'Chassis Serial Number', 'Base Board Serial Number'],
    ...[
      'Serial Number',
      'Serial',
      'To be filled by O.E.M.',
      'Filled by OEM',
      'OEM',
      'SerNum0',
      'Type1Serial',
    ],
    ...['Not Specified', 'Not Applicable', 'Not Available', 'Not Present', 'Not Provided', 'Not Settable'],
    ...['N/A', 'NA', 'None', 'Null', 'Nil', 'Unknown', 'Invalid', 'Empty', 'Undefined', 'Default', 'Unset'],
    // SMBIOS UUID of boards by AMI.
    ...['No Asset Tag', 'Asset Tag', '$SerialNumber$', '03000200-0400-0500-0006-000700080009'],
  ].map(plain),
);
/** `123456`, `0123456789`, `0123456789ABCDEF`, `1234567890`... */
const COUNTED = ['0123456789abcdef', '1234567890abcdef', 'abcdefghijklmnopqrstuvwxyz'];

/** Whether it names nothing: empty, a word for nothing, one sign again and again, or the signs in their order. */
export function isPlaceholder(text: string): boolean {
  const value = plain(text);
  if (value === '' || PLACEHOLDERS.has(value) || /^(.)\1*$/u.test(value)) return true;
  return value.length >= 5 && COUNTED.some((counted) => counted.includes(value));
}

/** One form for a serial number, whatever case and spaces it is written with; null for one that names nothing. */
export function serialOf(text: string): string | null {
  return isPlaceholder(text) ? null : text.trim().replace(/\s+/g, ' ').toUpperCase();
}

/**
 * One form for a MAC address: `00-1B-21-0A-0b-0c`, `001b.210a.0b0c` and `001b210a0b0c` are `00:1b:21:0a:0b:0c`.
 * @returns null for what is none
 */
export function macOf(text: string): string | null {
  const value = text.trim().toLowerCase();
  const written =
    /^[0-9a-f]{2}(?:([:-])[0-9a-f]{2}(?:\1[0-9a-f]{2}){4})$|^[0-9a-f]{4}([.:-])[0-9a-f]{4}\2[0-9a-f]{4}$|^[0-9a-f]{12}$/;
  if (!written.test(value)) return null;
  return value
    .replace(/[^0-9a-f]/g, '')
    .match(/../g)!
    .join(':');
}

/**
 * Whether a MAC may tell one machine from another. A group address (IEEE 802, I/G bit) and zeros belong to no card.
 * A locally administered one (U/L bit) is unique as far as whoever made it up cared.
 */
export function isCardMac(mac: string): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 0 && mac !== '00:00:00:00:00:00';
}
