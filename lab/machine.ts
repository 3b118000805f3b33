/**
 * A node as QEMU arguments. Pure: the same node and files give the same list, so that tests hold it as data.
 */
import { join } from 'node:path';
import { BootwaveError } from '../base/error.ts';
import type { LabNode } from './spec.ts';

export type Accelerator = 'kvm' | 'tcg';

/** What one power-on does differently; nothing of it lasts. */
export type PowerOverrides = {
  /**
   * What the firmware tries first, and the other one after it, whatever its own order says: a BMC's boot override (IPMI 2.0,
   * 28.12 "Set System Boot Options"). Unless said, UEFI goes by its own order, and a BIOS asks the network.
   */
  boot?: 'network' | 'disk';
  /** Started by QEMU itself, past the firmware's network boot. */
  kernel?: { kernel: string; initrd?: string; append?: string };
  /** A file copied over the node's UEFI variables first, e.g. a damaged one. UEFI only. */
  vars?: string;
  memoryMiB?: number;
  /** Appended as they are. */
  extraArgs?: readonly string[];
  /** A file with the machine's memory and devices as they were saved: it comes up paused, where it was then. */
  resume?: string;
};

/** The files of one node; all below the lab's folder. */
export type NodeFiles = ReturnType<typeof nodeFiles>;

export function nodeFiles(folder: string) {
  return {
    folder,
    disk: join(folder, 'disk.raw'),
    vars: join(folder, 'vars.fd'),
    tpmState: join(folder, 'tpm'),
    tpmSocket: join(folder, 'tpm.sock'),
    tpmLog: join(folder, 'tpm.log'),
    console: join(folder, 'console.sock'),
    consoleLog: join(folder, 'console.log'),
    /** Commands; QEMU serves one client at a time, so watching has a socket of its own. */
    qmp: join(folder, 'qmp.sock'),
    events: join(folder, 'events.sock'),
    /** QEMU's own words, and the trace line that says why it ended. */
    qemuLog: join(folder, 'qemu.log'),
    power: join(folder, 'power.json'),
    lock: join(folder, 'power.lock'),
    plainPxe: join(folder, 'plain-pxe.ipxe'),
    /** `BLANK_BYTES` of zeros; takes no place on the disk. */
    blank: join(folder, 'blank'),
  };
}

const OVMF = '/usr/share/OVMF';
/** The template that each node copies: no keys, so Secure Boot is in setup mode. */
export const VARS_TEMPLATE = `${OVMF}/OVMF_VARS_4M.fd`;
const IPXE_KERNEL = '/usr/lib/ipxe/ipxe.lkrn';

/** What a node needs of the host, for a clear word when a package is missing. */
export const HOST_FILES = [
  `${OVMF}/OVMF_CODE_4M.secboot.fd`,
  `${OVMF}/OVMF_CODE_4M.fd`,
  VARS_TEMPLATE,
  IPXE_KERNEL,
];

/**
 * Debian has no PXE ROM but iPXE, and a boot server answers iPXE at once with a script. This script makes iPXE ask as a
 * plain ROM does: another user class (option 77) while asking, none left behind, because the iPXE that is loaded next
 * takes over what its PXE stack remembers.
 */
export const PLAIN_PXE_SCRIPT = `#!ipxe
set user-class PXEClient
dhcp || exit
clear user-class
isset \${filename} || exit
chain tftp://\${next-server}/\${filename}
`;

/** @throws BootwaveError `LAB_SPEC` when an override does not fit the node */
export function qemuArguments(
  node: LabNode,
  files: NodeFiles,
  accelerator: Accelerator,
  overrides: PowerOverrides = {},
): string[] {
  const memory = overrides.memoryMiB ?? node.memoryMiB;
  return [
    ...['-name', `guest=${node.name},debug-threads=on`],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-device', 'VGA'],
    ...acceleration(accelerator),
    ...['-m', `${memory}`, '-smp', '1', '-rtc', 'base=utc'],
    ...(node.firmware === 'bios' ? bios() : uefi(node, files)),
    ...(node.tpm ? tpm(files) : []),
    ...network(node, overrides),
    ...disk(node, files, overrides),
    ...(accelerator === 'tcg' && node.firmware !== 'bios' ? blankAtReset(memory, files) : []),
    ...['-object', 'rng-random,id=rng0,filename=/dev/urandom', '-device', 'virtio-rng-pci,rng=rng0'],
    // The watchdog does what a server's does: it resets a machine whose PID 1 has stopped feeding it.
    ...['-device', 'i6300esb', '-action', 'watchdog=reset'],
    ...['-smbios', `type=1,manufacturer=Bootwave,product=Lab node,serial=${node.serial},uuid=${node.uuid}`],
    ...[
      '-chardev',
      `socket,id=console,${unixServer(files.console)},logfile=${value(files.consoleLog)},logappend=on`,
    ],
    // EDK2 gives HTTP Boot over IPv6 up at once while its link-local address is not known to be its own, which takes a second
    // from the moment that the network is there; servers show their logo for longer than that.
    ...(node.firmware === 'http6' ? ['-boot', 'menu=on,splash-time=4000'] : []),
    ...['-serial', 'chardev:console'],
    ...['-chardev', `socket,id=qmp,${unixServer(files.qmp)}`, '-mon', 'chardev=qmp,mode=control'],
    ...['-chardev', `socket,id=events,${unixServer(files.events)}`, '-mon', 'chardev=events,mode=control'],
    // Says why QEMU ended even when nobody was watching (see `endOf`).
    ...['-trace', 'qemu_system_shutdown_request', '-msg', 'timestamp=on'],
    ...directKernel(node, files, overrides),
    ...(overrides.extraArgs ?? []),
    ...(overrides.resume === undefined ? [] : ['-incoming', `exec:cat < ${shellWord(overrides.resume)}`]),
  ];
}

/**
 * With ERMS and FSRM kernel and firmware copy by `rep movsb`, which QEMU emulates byte by byte; a fifth level of page tables
 * (LA57) is one more to walk in software.
 */
const CHEAP_CPU = 'max,-erms,-fsrm,-la57';

/** TB cache, threads and processor as measured in docs/lab.md and docs/performance.md. */
function acceleration(accelerator: Accelerator): string[] {
  return accelerator === 'kvm'
    ? ['-accel', 'kvm', '-cpu', 'host']
    : ['-accel', 'tcg,thread=multi,tb-size=512', '-cpu', CHEAP_CPU];
}

/** Bytes at the top of the memory below 4 GiB: where OVMF keeps its stack, its events and its code. */
export const BLANK_BYTES = 64 * 2 ** 20;
/** MiB: with as much memory or more, q35 puts only the first 2 GiB below 4 GiB (QEMU, hw/i386/pc_q35.c). */
const SPLIT_MEMORY = 2816;

/**
 * Zeroed at each reset, as servers with ECC memory do. QEMU keeps the translations of code that it emulated beyond a reset,
 * and each write to a page that held code walks all of that page's. Where the firmware's stack came to lie on a page of Linux
 * that had thousands, one timer tick took longer than the time to the next, and the machine hung for good.
 */
function blankAtReset(memoryMiB: number, files: NodeFiles): string[] {
  const top = (memoryMiB < SPLIT_MEMORY ? memoryMiB : 2048) * 2 ** 20;
  const address = `0x${(top - BLANK_BYTES).toString(16)}`;
  return ['-device', `loader,file=${value(files.blank)},addr=${address},force-raw=on`];
}

function uefi(node: LabNode, files: NodeFiles): string[] {
  const code = `${OVMF}/${node.secureBoot ? 'OVMF_CODE_4M.secboot.fd' : 'OVMF_CODE_4M.fd'}`;
  return [
    ...['-machine', node.secureBoot ? 'q35,smm=on' : 'q35,smm=off'],
    // Without this a guest kernel could write Secure Boot's variables past the firmware.
    ...(node.secureBoot ? ['-global', 'driver=cfi.pflash01,property=secure,value=on'] : []),
    ...['-drive', `if=pflash,unit=0,format=raw,readonly=on,file=${value(code)}`],
    ...['-drive', `if=pflash,unit=1,format=raw,file=${value(files.vars)}`],
    // OVMF tries PXEv4, PXEv6, HTTPv4, HTTPv6 in this order, and polls a minute long for an IPv6 router that no lab has;
    // these take out what the node is not about (OvmfPkg/RUNTIME_CONFIG.md).
    ...WITHOUT[node.firmware].flatMap((what) => [
      '-fw_cfg',
      `name=opt/org.tianocore/${what}Support,string=n`,
    ]),
  ];
}

const WITHOUT = {
  http: ['IPv4PXE', 'IPv6'],
  http6: ['IPv4', 'IPv6PXE'],
  pxe: ['IPv6'],
  bios: [],
} as const;

/** graphics=off makes SeaBIOS show its screen on the serial port. */
function bios(): string[] {
  return ['-machine', 'q35,smm=off,graphics=off'];
}

function tpm(files: NodeFiles): string[] {
  return [
    ...['-chardev', `socket,id=tpm,path=${value(files.tpmSocket)}`],
    ...['-tpmdev', 'emulator,id=tpm0,chardev=tpm', '-device', 'tpm-tis,tpmdev=tpm0'],
  ];
}

/**
 * Where a device stands in the boot order; nothing leaves it to the firmware. OVMF writes an order that QEMU gives it over
 * its own at every start, so a machine that is to keep what it was told must be given none.
 */
function place(node: LabNode, { boot }: PowerOverrides, device: 'network' | 'disk'): string {
  if (boot === undefined && node.firmware !== 'bios') return '';
  return `,bootindex=${device === (boot ?? 'network') ? 1 : 2}`;
}

/** QEMU's name of the cable. */
export const NETWORK = 'net0';

function network(node: LabNode, overrides: PowerOverrides): string[] {
  // An empty ROM leaves UEFI with EDK2's own network stack instead of QEMU's iPXE. BIOS gets QEMU's by saying nothing:
  // only the default ROM is fitted to the card's PCI ids, and SeaBIOS skips one that does not fit.
  const rom = node.firmware === 'bios' ? '' : ',romfile=';
  return [
    ...['-netdev', `tap,id=${NETWORK},ifname=${tapName(node)},script=no,downscript=no`],
    ...[
      '-device',
      `virtio-net-pci,netdev=${NETWORK},mac=${node.mac}${place(node, overrides, 'network')}${rom}`,
    ],
  ];
}

function disk(node: LabNode, files: NodeFiles, overrides: PowerOverrides): string[] {
  const device = node.disk === 'nvme' ? 'nvme' : 'virtio-blk-pci';
  return [
    ...['-drive', `if=none,id=disk0,format=raw,discard=unmap,file=${value(files.disk)}`],
    // A virtio disk's serial number holds 20 bytes.
    ...['-device', `${device},drive=disk0,serial=${node.serial.slice(-20)}${place(node, overrides, 'disk')}`],
  ];
}

function directKernel(node: LabNode, files: NodeFiles, overrides: PowerOverrides): string[] {
  const given = overrides.kernel;
  if (given !== undefined) {
    return [
      ...['-kernel', given.kernel],
      ...(given.initrd === undefined ? [] : ['-initrd', given.initrd]),
      ...(given.append === undefined ? [] : ['-append', given.append]),
    ];
  }
  const plain = node.firmware === 'bios' && node.pxeRom === 'plain' && overrides.boot !== 'disk';
  return plain ? ['-kernel', IPXE_KERNEL, '-initrd', files.plainPxe] : [];
}

export function tapName(node: LabNode): string {
  return `tap${node.index}`;
}

export function tpmArguments(files: NodeFiles): string[] {
  return [
    ...['socket', '--tpm2', '--tpmstate', `dir=${files.tpmState}`],
    ...['--ctrl', `type=unixio,path=${files.tpmSocket}`],
    // Ends with the QEMU that uses it.
    '--terminate',
    ...['--log', `file=${files.tpmLog},level=1`],
  ];
}

/** Longest path that fits into sun_path (unix(7)) with our longest file name behind it. */
const LONGEST_FOLDER = 60;

/** @throws BootwaveError `LAB_FOLDER` for a folder that sockets or swtpm's option syntax cannot name */
export function checkFolder(folder: string): void {
  if (folder.length > LONGEST_FOLDER || /[,\s]/.test(folder)) {
    throw new BootwaveError({
      code: 'LAB_FOLDER',
      what: `the lab folder ${folder} cannot hold sockets`,
      unchanged: 'no lab was made',
      next: `choose a folder of at most ${LONGEST_FOLDER} characters without commas and blanks`,
    });
  }
}

/** One word for the shell that QEMU starts for `exec:`. */
export function shellWord(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** QEMU's option syntax: a comma inside a value is doubled. */
function value(text: string): string {
  return text.replaceAll(',', ',,');
}

function unixServer(path: string): string {
  return `path=${value(path)},server=on,wait=off`;
}
