/** What a release says of an image beyond its length and digests: TUF's `custom` (1.0.34, 4.5), written by whoever publishes and read by nodes. */
// The mini build, because the agent's bundle holds this file.

import * as z from 'zod/mini';
import { sha256Hex } from '../formats/digest.ts';

const word = z.string().check(z.minLength(1), z.maxLength(128), z.regex(/^[^\p{Cc}]*$/u));

export const FIRMWARE = ['uefi', 'bios'] as const;
export type Firmware = (typeof FIRMWARE)[number];

/** Which machines may run it. */
const machinesSchema = z.strictObject({
  /** As Node names it. */
  architecture: z.enum(['x64', 'arm64']),
  firmware: z.array(z.enum(FIRMWARE)).check(z.minLength(1), z.maxLength(2)),
  /** Names of products (SMBIOS type 1); null: any. */
  products: z.nullable(z.array(word).check(z.minLength(1), z.maxLength(64))),
});
export type Machines = z.infer<typeof machinesSchema>;

export const targetCustom = z.object({
  bootwave: z.strictObject({
    format: z.literal(1),
    version: word,
    /** PCR 11, SHA-256 bank, that a machine shows which started it. */
    pcr11: sha256Hex,
    /** `uname -r`. */
    kernel: word,
    machines: machinesSchema,
  }),
});
export type TargetCustom = z.infer<typeof targetCustom>['bootwave'];

export const ANY_MACHINE: Machines = { architecture: 'x64', firmware: ['uefi', 'bios'], products: null };

export const targetName = (version: string): string => `bootwave_${version}.efi`;

/** The name under which a server has it (TUF 1.0.34, 6.2: consistent snapshots). */
export const servedName = (version: string, sha256: string): string => `${sha256}.${targetName(version)}`;

/** What a machine says of itself. */
export type Machine = { architecture: string; firmware: Firmware; product: string };

/** @returns why a machine may not run it; null when it may */
export function unsuitable(machines: Machines, { architecture, firmware, product }: Machine): string | null {
  if (machines.architecture !== architecture)
    return `it is for ${machines.architecture}; this machine is ${architecture}`;
  if (!machines.firmware.includes(firmware))
    return `it is for machines that boot by ${machines.firmware.join(' or ')}; this one boots by ${firmware}`;
  if (machines.products !== null && !machines.products.includes(product))
    return `it is for ${machines.products.join(', ')}; this machine is ${product === '' ? 'nameless' : product}`;
  return null;
}
