/** What is read of the disks that an order has wiped, before that: hashes, which somebody who has a copy of the disk can make again. */
import { createHash } from 'node:crypto';
import { messageOf, refusal } from '../../../../../base/error.ts';
import { flat } from '../../../../../base/line.ts';
import {
  DISK_EVIDENCE_LIMITS,
  type DiskEvidence,
  type DiskRead,
  READ_TIME,
} from '../../../../../protocol/enrolment/disk-evidence.ts';
import { type DiskFacts, lastingName } from '../layout.ts';
import { PIECE, type Target } from './read-back.ts';
import { BLOCK, type Extent, headsOf, type Region } from './regions.ts';

/** LUKS2 with its key slots, as `cryptsetup luksHeaderBackup` saves it: up to where data begins. */
const LUKS_HEADER = 16 * 2 ** 20;
/** Blocks that are read of a disk, at equal distances from its beginning. */
const BLOCKS = 4096;

type Part = DiskEvidence['disks'][number]['parts'][number];
export type Readable = Pick<Target, 'size' | 'read'>;
/** @returns what was read of one disk */
export type ReadDisk = <T>(
  disk: DiskFacts,
  use: (target: Readable, partitions: readonly Extent[]) => Promise<T>,
) => Promise<T>;

/** Never longer than `READ_TIME`, one piece of a disk more or less. @param now milliseconds of a clock that only goes on */
export async function readEvidence(
  { incident, read, disks }: { incident: number; read: DiskRead; disks: readonly DiskFacts[] },
  open: ReadDisk,
  now: () => number = () => performance.now(),
): Promise<DiskEvidence> {
  const until = now() + READ_TIME[read];
  const report: DiskEvidence = { incident, read, disks: [], missing: [] };
  const miss = (name: string, why: string) => report.missing.push(flat(`${name}: ${why}`, 300));
  for (const [i, disk] of disks.entries()) {
    const name = lastingName(disk);
    if (i >= DISK_EVIDENCE_LIMITS.disks) {
      miss('more disks', `only ${DISK_EVIDENCE_LIMITS.disks} are read`);
      break;
    }
    const found: DiskEvidence['disks'][number] = { name, size: 0, parts: [] };
    try {
      await open(disk, async (target, partitions) => {
        found.size = target.size;
        for (const { what, pieces } of partsOf(read, disk, target.size, partitions))
          found.parts.push(await hashed(target, what, pieces, () => now() < until));
      });
    } catch (error) {
      // What was read before it is kept.
      miss(name, messageOf(error));
    }
    report.disks.push(found);
  }
  return report;
}

type Wanted = { what: string; pieces: readonly Extent[] };

function partsOf(read: DiskRead, disk: DiskFacts, size: number, partitions: readonly Extent[]): Wanted[] {
  const { tables, partitions: heads } = headsOf(size, partitions);
  const luks = partitions.flatMap(({ from, length }, i) =>
    disk.partitions[i]?.signatures.includes('crypto_LUKS') === true
      ? [{ what: `the LUKS header of partition ${i + 1}`, from, length: Math.min(LUKS_HEADER, length) }]
      : [],
  );
  const one = ({ what, from, length }: Region): Wanted => ({ what, pieces: [{ from, length }] });
  const regions = [...tables, ...luks, ...heads].filter(({ length }) => length > 0);
  // Room for what is read of the whole disk.
  const some = regions.slice(0, DISK_EVIDENCE_LIMITS.parts - 2).map(one);
  const step = Math.max(1, Math.floor(size / BLOCK / BLOCKS)) * BLOCK;
  const blocks = Array.from({ length: Math.min(BLOCKS, Math.floor(size / BLOCK)) }, (_, i) => ({
    from: i * step,
    length: BLOCK,
  }));
  const spread = { what: `${blocks.length} blocks of ${BLOCK} bytes, every ${step} bytes`, pieces: blocks };
  return [
    ...some,
    spread,
    ...(read === 'all' ? [one({ what: 'the whole disk', from: 0, length: size })] : []),
  ];
}

async function hashed(
  target: Readable,
  what: string,
  pieces: readonly Extent[],
  mayGoOn: () => boolean,
): Promise<Part> {
  const hash = createHash('sha256');
  let length = 0;
  for (const piece of pieces)
    for (let at = piece.from; at < piece.from + piece.length; at += PIECE) {
      if (!mayGoOn()) throw refusal('DISK_EVIDENCE_TIME', `${what} was not read: the time for that was over`);
      const bytes = Buffer.alloc(Math.min(PIECE, piece.from + piece.length - at));
      await target.read(bytes, at);
      hash.update(bytes);
      length += bytes.length;
    }
  return { what, from: pieces[0]?.from ?? 0, length, sha256: hash.digest('hex') };
}
