import { ip4Bytes, parseIp4 } from '../../formats/dhcp/ip4.ts';
import { OPTION, textBytes, writeSubOptions } from '../../formats/dhcp/options.ts';
import type { BootIntent } from '../directory.ts';
import type { BootClient } from './client.ts';
import { type Fields, QUIRKS, type Role } from './quirks.ts';
import { type BootBase, diskUrl, imageUrl, LOADERS, scriptUrl } from './urls.ts';

/** What DHCP adds to an answer so that the firmware boots, or goes on to its disk. */
export type BootPart = {
  siaddr: number;
  /** For the `file` field; also in option 67. */
  file: string;
  options: readonly (readonly [number, Uint8Array])[];
};

export type BootAnswer =
  | { kind: 'boot'; part: BootPart; step: 'dhcp-offered' | 'left-to-disk'; detail: string }
  /** No boot part: a proxy stays silent, a full server only gives an address. */
  | { kind: 'none'; step: 'left-to-disk' | 'refused'; detail: string };

/** What a machine is told, before it is put into the options of either DHCP. */
export type BootDecision =
  | {
      kind: 'boot';
      fields: Fields;
      file: string | undefined;
      step: 'dhcp-offered' | 'left-to-disk';
      detail: string;
    }
  | (BootAnswer & { kind: 'none' });

export type BootQuestion = {
  client: BootClient;
  /** Lower case with colons. */
  mac: string;
  intent: BootIntent;
  role: Role;
  base: BootBase;
};

/** @throws BootwaveError `IMAGE_VERSION_INVALID` */
export function bootAnswer(question: BootQuestion): BootAnswer {
  const decision = decideBoot(question);
  if (decision.kind === 'none') return decision;
  const { fields, file, step, detail } = decision;
  return { kind: 'boot', part: partOf(question, fields, file), step, detail };
}

/**
 * The boot decision: what this machine is told, by this role, for what the fleet wants of it. Pure.
 *
 * `refuse` takes away the boot part only. The address stays: any DHCP client on this wire gets one, so holding it back
 * protects nothing, costs the firmware a minute of retries, and would break another proxyDHCP server beside us.
 * @throws BootwaveError `IMAGE_VERSION_INVALID`
 */
export function decideBoot(question: BootQuestion): BootDecision {
  const { client, intent } = question;
  if (intent.kind === 'refuse') return { kind: 'none', step: 'refused', detail: intent.reason };
  if (intent.kind === 'image' && !client.firmware.image) {
    return { kind: 'none', step: 'refused', detail: `no image is built for ${client.firmware.name}` };
  }
  const way = client.ipxe ? 'ipxe' : client.firmware.way;
  const fields = QUIRKS[way][intent.kind][question.role];
  const step = intent.kind === 'disk' ? 'left-to-disk' : 'dhcp-offered';
  if (fields === undefined) return { kind: 'none', step: 'left-to-disk', detail: intent.reason };
  const file = fileOf(question, fields);
  return { kind: 'boot', fields, file, step, detail: file ?? intent.reason };
}

function fileOf({ client, mac, intent, base }: BootQuestion, fields: Fields): string | undefined {
  switch (fields.file) {
    case 'loader':
      return client.firmware.way === 'bios' ? LOADERS.bios : LOADERS.uefi;
    case 'script':
      return scriptUrl(base, mac);
    case 'image':
      return intent.kind === 'image' ? imageUrl(base, mac, intent.version) : undefined;
    case 'nothing-there':
      return diskUrl(base, mac);
    case undefined:
      return undefined;
  }
}

function partOf({ base, role }: BootQuestion, fields: Fields, file: string | undefined): BootPart {
  const options: [number, Uint8Array][] = [];
  if (fields.vendorClass !== undefined) options.push([OPTION.vendorClass, textBytes(fields.vendorClass)]);
  if (fields.pxe !== undefined) options.push([OPTION.vendorSpecific, PXE_OPTIONS[fields.pxe]]);
  if (file !== undefined) {
    // Some PXE ROMs read these two as C strings: without a NUL inside the option they ask TFTP for `undionly.kpxe\xff`,
    // with whatever comes next (dnsmasq ends them alike). URLs go to younger firmware, which counts bytes.
    const end = fields.file === 'loader' ? '\0' : '';
    if (fields.file === 'loader') options.push([OPTION.tftpServer, textBytes(base.serverIp + end)]);
    options.push([OPTION.bootFile, textBytes(file + end)]);
  }
  // iPXE waits two seconds for a proxyDHCP offer unless the DHCP server says that there is none to come.
  if (fields.file === 'script' && role === 'full') options.push([OPTION.ipxe, writeSubOptions([[176, ONE]])]);
  return { siaddr: parseIp4(base.serverIp), file: file ?? '', options };
}

const ONE = Uint8Array.of(1);

/** Option 43 by PXE 2.1 section 2.2.3, table 2-1. */
const PXE_OPTIONS = {
  /** PXE_DISCOVERY_CONTROL (6) bit 3: no boot server discovery, take the file that this answer names. */
  'take-file': writeSubOptions([[6, Uint8Array.of(8)]], true),
  /**
   * A menu (9) whose only entry is type 0, "local boot", chosen after 0 seconds (10): the firmware's own way of being
   * told to go on to its next boot device.
   */
  'local-boot': writeSubOptions(
    [
      [6, Uint8Array.of(3)],
      [8, new Uint8Array([0, 0, 1, ...ip4Bytes(0)])],
      [9, new Uint8Array([0, 0, 10, ...textBytes('Local boot')])],
      [10, new Uint8Array([0, ...textBytes('Local boot')])],
    ],
    true,
  ),
} as const;
