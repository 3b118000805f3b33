import { bytesText, OPTION, type Options, readSubOptions } from '../../formats/dhcp/options.ts';
import { guidText } from '../../formats/guid.ts';
import type { Sighting } from '../directory.ts';
import { FIRMWARE, type Firmware, UNSAID } from './firmware.ts';

/** A machine that asks to be booted, told apart by its options alone. */
export type BootClient = {
  firmware: Firmware;
  /** It runs an iPXE that can fetch the script; a second loader would loop. */
  ipxe: boolean;
  /** SMBIOS UUID, lower case with dashes. */
  uuid: string | undefined;
};

/** iPXE's feature numbers in option 175 (ipxe: src/include/ipxe/features.h). */
const IPXE_HTTP = 0x13;

/**
 * @returns undefined for every client that does not ask to be booted (option 60 is neither PXEClient nor HTTPClient).
 * An unknown architecture comes back as firmware `unknown-<number>` without an image.
 */
export function readBootClient(options: Options): BootClient | undefined {
  const vendorClass = bytesText(options.get(OPTION.vendorClass)) ?? '';
  if (!/^(PXE|HTTP)Client/.test(vendorClass)) return undefined;
  const firmware = firmwareOf(options.get(OPTION.architecture), vendorClass);
  return { firmware, ipxe: isIpxe(options), uuid: uuidOf(options) };
}

/**
 * @param value of the architecture option, DHCPv4's (93) or DHCPv6's (61): they are alike
 * @param vendorClass begins with PXEClient or HTTPClient
 */
export function firmwareOf(value: Uint8Array | undefined, vendorClass: string): Firmware {
  const http = vendorClass.startsWith('HTTPClient');
  // The option is a list (RFC 4578 2.1); the first entry that has an image wins.
  const codes: number[] = [];
  for (let at = 0; value !== undefined && at + 1 < value.length; at += 2) {
    codes.push((value[at]! << 8) | value[at + 1]!);
  }
  // Where it is missing, or shorter than one entry, option 60 says the same: `PXEClient:Arch:00007:UNDI:003016`
  // (PXE 2.1 2.2.3).
  const [, arch] = /:Arch:(\d{5})(?!\d)/.exec(vendorClass) ?? [];
  if (codes.length === 0) codes.push(arch === undefined ? UNSAID : Number(arch));
  const known = codes
    .flatMap((code) => FIRMWARE.get(code) ?? [])
    .filter((f) => (f.way === 'uefi-http') === http);
  const unknown: Firmware = {
    name: `unknown-${codes[0]}`,
    way: http ? 'uefi-http' : 'uefi-pxe',
    image: false,
  };
  return known.find((firmware) => firmware.image) ?? known[0] ?? unknown;
}

/**
 * iPXE names itself in the user class (77), bare or with RFC 3004's length byte, and by option 175. One built without
 * HTTP (some NIC ROMs) cannot fetch the script: it counts as the plain PXE ROM it replaces and gets our iPXE.
 */
function isIpxe(options: Options): boolean {
  const encapsulated = options.get(OPTION.ipxe);
  if (encapsulated !== undefined) {
    const features = readSubOptions(encapsulated);
    return features.size === 0 || features.has(IPXE_HTTP);
  }
  const userClass = Buffer.from(options.get(OPTION.userClass) ?? []).toString('latin1');
  return userClass === 'iPXE' || userClass.startsWith('\x04iPXE');
}

/** Option 97: type 0, then the UUID (PXE 2.1 2.2.3). */
function uuidOf(options: Options): string | undefined {
  const value = options.get(OPTION.machineId);
  return value?.length === 17 && value[0] === 0 ? guidText(value.subarray(1)) : undefined;
}

export function sightingOf(mac: string, client: BootClient): Sighting {
  return { mac, arch: client.firmware.name, ...(client.uuid === undefined ? {} : { uuid: client.uuid }) };
}
