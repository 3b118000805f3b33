/** One line per kind of firmware, by DHCP option 93 (RFC 4578 2.1 and the IANA registry of processor architectures). */
export type Firmware = {
  /** How the fleet calls it (`Sighting.arch`). */
  name: string;
  way: 'bios' | 'uefi-pxe' | 'uefi-http';
  /** False: it is told apart, but no image is built for this processor, so it is refused with that reason. */
  image: boolean;
};

export const FIRMWARE: ReadonlyMap<number, Firmware> = new Map([
  [0, { name: 'bios', way: 'bios', image: true }],
  [6, { name: 'uefi-ia32', way: 'uefi-pxe', image: false }],
  // RFC 4578 calls 7 "EFI BC" and 9 "EFI x86-64", its erratum swaps them; x64 machines send either.
  [7, { name: 'uefi-x64', way: 'uefi-pxe', image: true }],
  [9, { name: 'uefi-x64', way: 'uefi-pxe', image: true }],
  [10, { name: 'uefi-arm32', way: 'uefi-pxe', image: false }],
  [11, { name: 'uefi-arm64', way: 'uefi-pxe', image: false }],
  [15, { name: 'uefi-ia32-http', way: 'uefi-http', image: false }],
  [16, { name: 'uefi-x64-http', way: 'uefi-http', image: true }],
  [18, { name: 'uefi-arm32-http', way: 'uefi-http', image: false }],
  [19, { name: 'uefi-arm64-http', way: 'uefi-http', image: false }],
]);

/** ROMs older than RFC 4578 leave option 93 out; all of them are BIOS. */
export const UNSAID = 0;
