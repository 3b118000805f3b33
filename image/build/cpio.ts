/**
 * The "newc" archive that the kernel unpacks as its initramfs (Linux Documentation/driver-api/early-userspace/
 * buffer-format.rst). Written here because cpio(1) records inode numbers, device numbers and times of the machine
 * that builds, and two builds must give the same bytes.
 */
export type CpioEntry = {
  /** Relative, no leading slash. */
  path: string;
  /** File type and permission bits, e.g. 0o100644 or 0o40755. */
  mode: number;
  /** Content of a file, target of a symbolic link; empty for folders. */
  data?: Uint8Array;
  /** Seconds since the epoch. */
  mtime?: number;
};

const MAGIC = '070701';

/** Bytes of the whole archive: entries in the given order, owner root, inodes counted from 1, then the trailer. */
export function cpio(entries: readonly CpioEntry[]): Buffer {
  const pieces: Uint8Array[] = [];
  let inode = 0;
  for (const entry of entries) {
    inode += 1;
    push(pieces, entry, inode);
  }
  push(pieces, { path: 'TRAILER!!!', mode: 0 }, 0);
  // The kernel looks for the next archive at a multiple of four; 512 is what cpio pads to.
  const total = pieces.reduce((sum, piece) => sum + piece.length, 0);
  pieces.push(new Uint8Array(pad(total, 512)));
  return Buffer.concat(pieces);
}

function push(pieces: Uint8Array[], entry: CpioEntry, inode: number): void {
  const name = Buffer.from(`${entry.path}\0`);
  const data = entry.data ?? new Uint8Array(0);
  const fields = [
    inode,
    entry.mode,
    0, // uid
    0, // gid
    1, // nlink: always 1, or the kernel would look for hard links
    entry.mtime ?? 0,
    data.length,
    0, // device that the archive was made on
    0,
    0, // the device that an entry is, for device nodes; the kernel's own initramfs brings /dev/console
    0,
    name.length,
    0, // checksum, unused in newc
  ];
  const header = MAGIC + fields.map((field) => field.toString(16).padStart(8, '0')).join('');
  pieces.push(Buffer.from(header), name, new Uint8Array(pad(header.length + name.length, 4)));
  pieces.push(data, new Uint8Array(pad(data.length, 4)));
}

function pad(length: number, to: number): number {
  return (to - (length % to)) % to;
}
