import { createHash } from 'node:crypto';
import { BootwaveError } from '../base/error.ts';

/**
 * How a node's firmware reaches the network: UEFI HTTP Boot (arch 16) over IPv4 or over IPv6, UEFI PXE (arch 7), BIOS PXE
 * (arch 0).
 */
export type Firmware = (typeof FIRMWARES)[number];
export const FIRMWARES = ['http', 'http6', 'pxe', 'bios'] as const;

/** What a caller says about a node; everything but the name has a default. */
export type NodeSpec = {
  /** 1 to 32 of a-z, 0-9 and `-`, starting with a letter. */
  name: string;
  /** Default `http`. */
  firmware?: Firmware;
  /** A TPM 2.0 of its own; default true for UEFI, false for BIOS. */
  tpm?: boolean;
  /** Firmware that can enforce Secure Boot, delivered in setup mode; default true for UEFI, impossible for BIOS. */
  secureBoot?: boolean;
  /** Default 2048, at least `MINIMUM_MEMORY_MIB`. */
  memoryMiB?: number;
  /** Size that the disk shows; it is sparse. Default 8. */
  diskGiB?: number;
  /** Default `virtio`. */
  disk?: 'virtio' | 'nvme';
  /** Default: locally administered, the same for this place in this lab at every power-on. */
  mac?: string;
  /**
   * BIOS only. `plain` (the default) asks as a network card's own ROM does, so that the boot server has to hand out its
   * iPXE; `ipxe` is QEMU's iPXE ROM, which says at once that it is iPXE.
   */
  pxeRom?: 'plain' | 'ipxe';
};

/** A node as the lab keeps it: every choice made. */
export type LabNode = Required<NodeSpec> & {
  /** Place in the rack, from 0; also numbers the tap. */
  index: number;
  /** SMBIOS system UUID, lower case. */
  uuid: string;
  /** SMBIOS system serial number. */
  serial: string;
};

/** Firmware itself wants this much; an image held in RAM wants its own size twice on top (docs/lab.md). */
export const MINIMUM_MEMORY_MIB = 256;

const NAME = /^[a-z][a-z0-9-]{0,31}$/;
const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;

/** @throws BootwaveError `LAB_NAME` */
export function checkName(name: string, what: string): string {
  if (!NAME.test(name)) {
    throw new BootwaveError({
      code: 'LAB_NAME',
      what: `'${name}' is no name for a ${what}`,
      next: 'use 1 to 32 of a-z, 0-9 and -, starting with a letter',
    });
  }
  return name;
}

/**
 * Fills in every default, so that the same lab and place always give the same machine.
 * @throws BootwaveError `LAB_NAME`, `LAB_SPEC`
 */
export function placeNodes(lab: string, specs: readonly NodeSpec[]): LabNode[] {
  const nodes = specs.map((spec, index) => placeNode(lab, spec, index));
  for (const key of ['name', 'mac'] as const) {
    const twice = nodes.find((node, i) => nodes.findIndex((other) => other[key] === node[key]) !== i);
    if (twice !== undefined) throw wrong(`two nodes have the ${key} ${twice[key]}`);
  }
  return nodes;
}

function placeNode(lab: string, spec: NodeSpec, index: number): LabNode {
  const name = checkName(spec.name, 'node');
  const firmware = spec.firmware ?? 'http';
  const uefi = firmware !== 'bios';
  if (!FIRMWARES.includes(firmware)) {
    throw wrong(`node ${name}: there is no firmware '${firmware}' (${FIRMWARES.join(', ')})`);
  }
  if (!uefi && spec.secureBoot === true) throw wrong(`node ${name}: a BIOS has no Secure Boot`);
  if (uefi && spec.pxeRom !== undefined) throw wrong(`node ${name}: pxeRom is for firmware bios`);
  const memoryMiB = wholeNumber(name, 'memoryMiB', spec.memoryMiB ?? 2048, MINIMUM_MEMORY_MIB, 1 << 20);
  const diskGiB = wholeNumber(name, 'diskGiB', spec.diskGiB ?? 8, 1, 1 << 14);
  const digest = createHash('sha256').update(`bootwave lab\0${lab}\0${name}`).digest();
  const mac = (spec.mac ?? stableMac(lab, index)).toLowerCase();
  if (!MAC.test(mac) || (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1) {
    throw wrong(`node ${name}: '${mac}' is no unicast MAC address`);
  }
  return {
    name,
    index,
    firmware,
    tpm: spec.tpm ?? uefi,
    secureBoot: spec.secureBoot ?? uefi,
    memoryMiB,
    diskGiB,
    disk: spec.disk ?? 'virtio',
    mac,
    pxeRom: spec.pxeRom ?? 'plain',
    uuid: uuidOf(digest),
    serial: `BW-${lab}-${name}`.toUpperCase(),
  };
}

/** 52:54:00 is QEMU's; its second bit marks it locally administered (IEEE 802-2014 8.2.2). */
function stableMac(lab: string, index: number): string {
  const [a = 0, b = 0] = createHash('sha256').update(lab).digest();
  return ['52', '54', '00', ...[a, b, index].map((byte) => byte.toString(16).padStart(2, '0'))].join(':');
}

/** RFC 9562 5.8: version 8, whose other bits are the maker's own. */
function uuidOf(digest: Buffer): string {
  const bytes = Buffer.from(digest.subarray(0, 16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function wholeNumber(node: string, key: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw wrong(`node ${node}: ${key} is ${value}; it must be a whole number from ${least} to ${most}`);
}

function wrong(what: string): BootwaveError {
  return new BootwaveError({ code: 'LAB_SPEC', what, unchanged: 'no lab was made' });
}
