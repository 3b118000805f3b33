/** What of a disk is read before and after it was wiped. Pure. */

const MIB = 2 ** 20;
/** Bytes that are compared at a time: a part of a region that survived is not hidden by the part that did not. */
export const BLOCK = 4096;
/**
 * Bytes at the beginning of a partition: a LUKS2 header with its key slots has 16 MiB (LUKS2 on-disk format, 2), file systems keep
 * their first copies there.
 */
const PARTITION_HEAD = 32 * MIB;
/** Bytes at both ends of a disk, with its tables (UEFI 2.10, 5.3), and at the end of a partition, with marks of RAID. */
const EDGE = MIB;
/** Of a disk of which a thousandth survived, 4,096 blocks miss it once in 60 times; of a hundredth, once in 10^17. */
const RANDOM_BLOCKS = 4096;

/** Bytes from the beginning of the disk. */
export type Extent = { from: number; length: number };
export type Region = Extent & { what: string };

/** @param partitions in the order of the table */
export function headsOf(
  size: number,
  partitions: readonly Extent[],
): { partitions: Region[]; tables: Region[] } {
  const within = partitions.filter(({ from, length }) => length > 0 && from >= 0 && from < size);
  const heads = within.flatMap(({ from, length }, i) => {
    const end = Math.min(from + length, size);
    return [
      cut({ from, length: PARTITION_HEAD, what: `the head of partition ${i + 1}` }, from, end),
      cut({ from: end - EDGE, length: EDGE, what: `the end of partition ${i + 1}` }, from, end),
    ];
  });
  const tables = [
    cut({ from: 0, length: EDGE, what: 'the partition table' }, 0, size),
    cut({ from: size - EDGE, length: EDGE, what: "the partition table's second copy" }, 0, size),
  ];
  return { partitions: heads, tables };
}

/** From and to whole blocks where the disk allows it. */
function cut({ from, length, what }: Region, least: number, most: number): Region {
  const start = Math.max(Math.floor(Math.max(from, least) / BLOCK) * BLOCK, 0);
  return { from: start, length: Math.min(from + length, most) - start, what };
}

/** @param random a whole number from 0 up to, and without, its argument */
export function randomBlocks(
  size: number,
  random: (below: number) => number,
  count = RANDOM_BLOCKS,
): Region[] {
  const blocks = Math.floor(size / BLOCK);
  if (blocks === 0) return [];
  const places = Array.from({ length: Math.min(count, blocks) }, () => random(blocks));
  return [...new Set(places)]
    .sort((a, b) => a - b)
    .map((place) => ({ from: place * BLOCK, length: BLOCK, what: 'a block somewhere' }));
}
