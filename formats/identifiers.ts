/**
 * Identifiers of hardware: values that people and firmware spell in several ways, and values that makers leave as they
 * are on the sample board, so that a thousand machines show the same one. Pure.
 */

const plain = (text: string): string => text.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '');

/** Values of a board or a device whose maker filled in nothing, in any case and punctuation. */
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

/** Whether it identifies nothing: empty, a placeholder, one character repeated, or the characters in their order. */
export function isPlaceholder(text: string): boolean {
  const value = plain(text);
  if (value === '' || PLACEHOLDERS.has(value) || /^(.)\1*$/u.test(value)) return true;
  return value.length >= 5 && COUNTED.some((counted) => counted.includes(value));
}

/** One form for a serial number, whatever its case and spaces. */
export function serialKey(text: string): string {
  return text.trim().replace(/\s+/g, ' ').toUpperCase();
}

/** One form for a digest in hex, with or without colons and the `tpm-` that ids begin with. */
export function digestKey(text: string): string {
  return text.trim().toLowerCase().replace(/^tpm-/, '').replaceAll(':', '');
}

/**
 * One form for a MAC address: `00-1B-21-0A-0b-0c`, `001b.210a.0b0c` and `001b210a0b0c` are `00:1b:21:0a:0b:0c`.
 * @returns null when it is not a MAC address
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

/** Drivers of USB network functions that a device other than a network card offers: a BMC to its host, a phone. */
const USB_FUNCTIONS = new Set(['cdc_eem', 'cdc_ether', 'cdc_ncm', 'cdc_subset', 'rndis_host']);

/**
 * Whether the MAC of this card may tell one machine from another. A group address and zeros belong to no card (IEEE
 * 802, 8.2). The network card that a BMC shows to its host by USB has a locally administered one, the same in every
 * server of the model; with other drivers a locally administered MAC is as unique as its author made it (virtual
 * machines).
 */
export function isOwnMac({ mac, driver }: { mac: string; driver: string }): boolean {
  const first = Number.parseInt(mac.slice(0, 2), 16);
  const isGroup = (first & 1) !== 0;
  const isLocal = (first & 2) !== 0;
  return !isGroup && mac !== '00:00:00:00:00:00' && !(isLocal && USB_FUNCTIONS.has(driver));
}
