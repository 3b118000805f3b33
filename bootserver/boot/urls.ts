import { BootwaveError } from '../../base/error.ts';

/** File names below `dataPaths().loaders`: Debian's iPXE, the UEFI one signed with db. */
export const LOADERS = {
  /** Debian's `snponly.efi`. */
  uefi: 'ipxe.efi',
  /** Debian's `undionly.kpxe`. */
  bios: 'undionly.kpxe',
} as const;

/** Where a booting machine finds its boot server. */
export type BootBase = {
  /** Address of the boot interface, IPv4 or IPv6. */
  serverIp: string;
  httpPort: number;
};

/** `mac` lower case with colons. The address of a machine's folder is how HTTP knows who is asking. */
function folder(base: BootBase, mac: string): string {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac)) throw new TypeError(`not a MAC address: ${mac}`);
  return `${site(base)}/m/${mac.replaceAll(':', '-')}`;
}

function site({ serverIp, httpPort }: BootBase): string {
  return `http://${serverIp.includes(':') ? `[${serverIp}]` : serverIp}:${httpPort}`;
}

export function imageUrl(base: BootBase, mac: string, version: string): string {
  return `${folder(base, mac)}/bootwave_${checkedVersion(version)}.efi`;
}

/** The URL prefix from which a running node fetches `/bootwave_<version>.efi` to install it on its disk. */
export function imagesUrl(base: BootBase): string {
  return `${site(base)}/images`;
}

export function scriptUrl(base: BootBase, mac: string): string {
  return `${folder(base, mac)}/boot.ipxe`;
}

export function kernelUrl(base: BootBase, mac: string, version: string): string {
  return `${folder(base, mac)}/${checkedVersion(version)}/linux`;
}

export function initrdUrl(base: BootBase, mac: string, version: string): string {
  return `${folder(base, mac)}/${checkedVersion(version)}/initrd`;
}

/** A URL that must stay 404: UEFI HTTP Boot gives up on it at once and goes on to the next boot option. */
export function diskUrl(base: BootBase, mac: string): string {
  return `${folder(base, mac)}/boot-from-disk`;
}

/** @throws BootwaveError `IMAGE_VERSION_INVALID`: versions go into URLs and scripts, so only what needs no escaping */
function checkedVersion(version: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._~-]{0,63}$/.test(version)) return version;
  throw new BootwaveError({
    code: 'IMAGE_VERSION_INVALID',
    what: `${JSON.stringify(version)} cannot be an image version`,
    unchanged: 'nothing was sent to the machine',
    next: 'use 1 to 64 letters, digits, dots, dashes, underscores or tildes',
  });
}
