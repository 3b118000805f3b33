/** How a node's disk is laid out, and which disk that is. Pure: facts in, decision out. */
import { BootwaveError } from '../../../../base/error.ts';

const MIB = 1024 * 1024;

/** EFI System Partition (UEFI 2.10, 5.3.3, table 5.7). */
export const ESP_TYPE = 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b';
/**
 * Our own type GUID, as the Discoverable Partitions Specification recommends: no other system mounts or formats it by
 * itself.
 */
export const STATE_TYPE = '72d5a975-fcbd-4523-90f5-ce781ef76cb0';
/** Bytes. */
const ESP_SIZE = 1024 * MIB;
/** Bytes of the smallest disk that is taken: the ESP, 1 GiB of state, and the table. */
export const SMALLEST_DISK = 2 * 1024 * MIB + 4 * MIB;

/**
 * Names in the partition table. A partition is called `...-new` until its file system is complete: the one fact that
 * tells, after a power cut, a file system that may be made again from one that must not.
 */
export const LABELS = { esp: 'bootwave-esp', state: 'bootwave-state' } as const;
export const UNFINISHED = '-new';

export type PartitionFacts = {
  /** `/dev/nvme0n1p1`. */
  path: string;
  /** Type GUID, lower case; for MBR the hex type. */
  type: string;
  label: string;
  /** Its own GUID in a GPT, lower case: the boot loader names it by this. Empty without one. */
  uuid?: string;
  /** What wipefs finds on it: `vfat`, `LVM2_member`, `linux_raid_member`, `zfs_member`, `crypto_LUKS`... */
  signatures: readonly string[];
};

/**
 * Why a disk cannot be judged as others are. `unread`: a probe failed, so what is on it is not known. `table`: the table on
 * it was read, and the kernel sees other partitions than it says.
 */
export type Odd = { kind: 'unread' | 'table'; reason: string };

export type DiskFacts = {
  /** Kernel name, `nvme0n1`. */
  name: string;
  /** `/dev/nvme0n1`. */
  path: string;
  /** Where else the kernel shows the same disk. */
  otherPaths: readonly string[];
  /** Null for a disk that every probe could judge. */
  odd: Odd | null;
  /** Bytes. */
  size: number;
  model: string;
  serial: string;
  wwn: string;
  removable: boolean;
  readOnly: boolean;
  /** lsblk's TRAN: `nvme`, `sata`, `usb`... */
  transport: string;
  /** It or a part of it is mounted, is swap, or carries LVM, RAID or encryption that is open now. */
  inUse: boolean;
  /** Signatures on the whole disk, partition tables (`gpt`, `dos`, `PMBR`) among them. */
  signatures: readonly string[];
  /** In the table's order; empty without a table. */
  partitions: readonly PartitionFacts[];
};

/** By what a disk is known again; empty: by nothing. Its kernel name is another one after each start. */
export const lastingName = ({ wwn, serial }: Pick<DiskFacts, 'wwn' | 'serial'>): string =>
  (wwn || serial).slice(0, 128);

/**
 * `ours`: our layout, finished or not. `data`: anything else that somebody may want to keep, and what could not be
 * read.
 */
export type DiskContent = 'blank' | 'ours' | 'data';

export function contentOf(disk: DiskFacts): DiskContent {
  if (disk.odd?.kind === 'unread') return 'data';
  const [esp, state, ...more] = disk.partitions;
  const named = (part: PartitionFacts | undefined, type: string, label: string) =>
    part?.type === type && (part.label === label || part.label === label + UNFINISHED);
  if (named(esp, ESP_TYPE, LABELS.esp) && named(state, STATE_TYPE, LABELS.state) && more.length === 0)
    return 'ours';
  const signed = disk.signatures.length > 0 || disk.partitions.length > 0 || disk.odd !== null;
  return signed ? 'data' : 'blank';
}

export type DiskPolicy = {
  /** Kernel name, serial or WWN of the disk to take; null leaves the choice to the rule. */
  disk: string | null;
  /** The order allows existing data to be lost. */
  wipe: boolean;
};

export type DiskChoice = { disk: DiskFacts; content: DiskContent };

/**
 * The disk to install to: the one that is named; else the one that is ours already; else the smallest blank one;
 * else, and only if the order says wipe, the smallest one with data. Removable and USB disks are taken only by name. An
 * odd disk is left alone, even with `wipe`, unless the table on it is ours: a power cut while the table was written
 * leaves such a disk. A disk that is named is taken with `wipe` if its content could be read.
 * @throws BootwaveError `INSTALL_NO_DISK`, `INSTALL_DISK_UNKNOWN`, `INSTALL_DISK_UNFIT`, `INSTALL_DISK_DATA`,
 * `INSTALL_DISK_ODD`, `INSTALL_DISK_IN_USE`, `INSTALL_DISKS_AMBIGUOUS`
 */
export function chooseDisk(disks: readonly DiskFacts[], policy: DiskPolicy): DiskChoice {
  if (policy.disk !== null) return accept(named(disks, policy.disk), policy.wipe);
  const mayTake = (disk: DiskFacts) => disk.odd === null || contentOf(disk) === 'ours';
  const fit = disks.filter(
    (disk) => unfit(disk) === null && !disk.removable && disk.transport !== 'usb' && mayTake(disk),
  );
  const ours = sound(fit.filter((disk) => contentOf(disk) === 'ours'));
  if (ours.length > 1)
    throw refusal(
      'INSTALL_DISKS_AMBIGUOUS',
      `more than one disk was installed by Bootwave: ${list(ours)}`,
      'name the disk to use, or wipe the others',
    );
  const bySize = (found: DiskFacts[]) =>
    found.toSorted((a, b) => a.size - b.size || a.name.localeCompare(b.name, 'en', { numeric: true }));
  const blank = bySize(fit.filter((disk) => contentOf(disk) === 'blank'));
  const data = bySize(fit.filter((disk) => contentOf(disk) === 'data'));
  const taken = ours[0] ?? blank[0] ?? data[0];
  if (taken === undefined) {
    const seen = disks.map((disk) => `${disk.name} (${why(disk)})`).join(', ');
    throw refusal(
      'INSTALL_NO_DISK',
      `this machine has no disk to install to${seen === '' ? '' : `: ${seen}`}`,
      'add a disk of at least 3 GiB, or leave the node in mode netboot',
    );
  }
  return accept(taken, policy.wipe);
}

/** Of our disks, those that need no repair, if there are any. */
function sound(ours: readonly DiskFacts[]): readonly DiskFacts[] {
  const whole = ours.filter(({ odd }) => odd === null);
  return whole.length > 0 ? whole : ours;
}

/** The disks that are left alone because they cannot be judged, with the reasons; empty where there are none. */
export function describeOdd(disks: readonly DiskFacts[]): string {
  return disks
    .filter(({ odd }) => odd !== null)
    .map((disk) => `${disk.name}: ${disk.odd?.reason}`)
    .join('; ');
}

function named(disks: readonly DiskFacts[], name: string): DiskFacts {
  const found = disks.filter((disk) => {
    const paths = [disk.path, ...disk.otherPaths];
    return [...paths, ...paths.map((path) => path.replace('/dev/', '')), disk.serial, disk.wwn].includes(
      name,
    );
  });
  if (found.length === 1) return found[0]!;
  throw refusal(
    'INSTALL_DISK_UNKNOWN',
    `${found.length === 0 ? 'no disk' : 'more than one disk'} is called ${name}; there are: ${list(disks)}`,
    'name the disk by its kernel name, serial or WWN',
  );
}

function accept(disk: DiskFacts, wipe: boolean): DiskChoice {
  const content = contentOf(disk);
  const because = unfit(disk);
  if (because !== null)
    throw refusal(
      'INSTALL_DISK_UNFIT',
      `${disk.name} cannot be installed to: ${because}`,
      'name another disk',
    );
  if (disk.odd?.kind === 'unread')
    throw refusal(
      'INSTALL_DISK_ODD',
      `${disk.name} cannot be judged, so it is left alone: ${disk.odd.reason}`,
      'name another disk, or exchange this one',
    );
  // Before the question of wiping: a file system that is mounted is never ours to take.
  if (disk.inUse)
    throw refusal('INSTALL_DISK_IN_USE', `${disk.name} is in use now`, 'restart the node and try again');
  if (content === 'data' && !wipe)
    throw refusal(
      'INSTALL_DISK_DATA',
      `${disk.name} holds data: ${describe(disk)}`,
      'have the order say that existing data may be wiped, or name another disk',
    );
  return { disk, content };
}

const why = (disk: DiskFacts): string => disk.odd?.reason ?? unfit(disk) ?? 'removable or USB';

function unfit(disk: DiskFacts): string | null {
  if (disk.readOnly) return 'read-only';
  if (disk.size < SMALLEST_DISK) return `${Math.floor(disk.size / MIB)} MiB are too small`;
  return null;
}

/** What is on it, for the person who decides. */
function describe(disk: DiskFacts): string {
  const parts = disk.partitions.map(({ path, label, signatures }) =>
    [path, label, ...signatures].filter((word) => word !== '').join(' '),
  );
  const odd = disk.odd === null ? [] : [disk.odd.reason];
  return [...new Set(disk.signatures), ...parts, ...odd].join(', ');
}

const list = (disks: readonly DiskFacts[]) => disks.map(({ name }) => name).join(', ') || 'none';

/**
 * Input of sfdisk(8). Partition types and names are all that identifies the disk as ours, and they are there from the
 * first valid table on.
 */
export function partitionScript(): string {
  return [
    'label: gpt',
    `size=${ESP_SIZE / MIB}MiB, type=${ESP_TYPE}, name="${LABELS.esp}${UNFINISHED}"`,
    `type=${STATE_TYPE}, name="${LABELS.state}${UNFINISHED}"`,
    '',
  ].join('\n');
}

function refusal(code: string, what: string, next: string): BootwaveError {
  return new BootwaveError({ code, what, unchanged: 'nothing was written to any disk', next });
}
