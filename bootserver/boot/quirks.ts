/**
 * What each kind of firmware must be told, as data. Each cell was tested on the real firmware where it can run here
 * (EDK2 PXE, EDK2 HTTP Boot, iPXE on BIOS and UEFI); test/bootserver/boot/captures holds what they sent, and at least
 * one packet for each row. The row `bios` has none that was captured: every BIOS ROM that runs here, those of QEMU's
 * e1000, rtl8139 and pcnet among them, is an iPXE with HTTP and belongs to the row `ipxe`. Its packets are made by hand
 * after public traces, which each of them names.
 */

/** Which server answers: a full server on port 67, a proxy's OFFER on port 67, or either of them on port 4011. */
export type Role = 'full' | 'proxy' | '4011';

export type Fields = {
  file?: 'loader' | 'script' | 'image' | 'nothing-there';
  vendorClass?: 'PXEClient' | 'HTTPClient';
  /** Option 43. */
  pxe?: 'take-file' | 'local-boot';
};

/** An absent cell is no boot part at all. */
type Cells = Partial<Record<Role, Fields>>;

export const QUIRKS: Readonly<
  Record<'bios' | 'uefi-pxe' | 'uefi-http' | 'ipxe', { image: Cells; disk: Cells }>
> = {
  bios: {
    image: {
      // Without option 60 every ROM reads siaddr and file as in plain BOOTP: fewest surprises.
      full: { file: 'loader' },
      // A ROM ignores a proxy that is not PXEClient; without option 43 it would look for boot servers.
      proxy: { file: 'loader', vendorClass: 'PXEClient', pxe: 'take-file' },
      '4011': { file: 'loader', vendorClass: 'PXEClient', pxe: 'take-file' },
    },
    // An address without a file is PXE-E53 and the next boot device at once; a silent proxy has the same effect.
    disk: {},
  },
  'uefi-pxe': {
    image: {
      // Option 60 here would send EDK2 on to port 4011 for what this answer already says.
      full: { file: 'loader' },
      // Some firmware ignores a proxy that skips discovery; all of them follow PXEClient without 43 to port 4011.
      proxy: { vendorClass: 'PXEClient' },
      '4011': { file: 'loader', vendorClass: 'PXEClient' },
    },
    // Silence costs EDK2 a minute of retries; the menu with local boot as its only entry ends it at once.
    disk: {
      full: { vendorClass: 'PXEClient', pxe: 'local-boot' },
      proxy: { vendorClass: 'PXEClient', pxe: 'local-boot' },
      '4011': { vendorClass: 'PXEClient', pxe: 'local-boot' },
    },
  },
  // Over IPv6, too, with the file in option 59 and the class in 16 (dhcp6/decide.ts); the packets are in
  // test/bootserver/dhcp6/captures.
  'uefi-http': {
    image: {
      // UEFI 2.10, 24.7.3: only an answer that says HTTPClient counts as HTTP Boot.
      full: { file: 'image', vendorClass: 'HTTPClient' },
      proxy: { file: 'image', vendorClass: 'HTTPClient' },
    },
    // There is no "local boot" for HTTP; a 404 is over in a second where silence is a minute of retries.
    disk: {
      full: { file: 'nothing-there', vendorClass: 'HTTPClient' },
      proxy: { file: 'nothing-there', vendorClass: 'HTTPClient' },
    },
  },
  // The script itself says image or disk, so it is always handed out.
  ipxe: {
    image: {
      full: { file: 'script' },
      proxy: { file: 'script', vendorClass: 'PXEClient' },
      '4011': { file: 'script', vendorClass: 'PXEClient' },
    },
    disk: {
      full: { file: 'script' },
      proxy: { file: 'script', vendorClass: 'PXEClient' },
      '4011': { file: 'script', vendorClass: 'PXEClient' },
    },
  },
};
