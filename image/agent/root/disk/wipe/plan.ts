/** Which disks of a machine are wiped, which are left alone, and which ought to be wiped and cannot. Pure. */
import type { OrderedWipe } from '../../../../../protocol/order.ts';
import { contentOf, type DiskFacts, lastingName } from '../layout.ts';

/** `name`: by what it is known again, or else the kernel's. */
type NamedDisk = { disk: DiskFacts; name: string; why: string };
export type WipePlan = {
  wipe: readonly DiskFacts[];
  /** Never mounted, never written to. */
  left: readonly NamedDisk[];
  /** What has to be wiped and cannot be: the node is not trusted again. `disk` null: it is not there at all. */
  open: readonly (Omit<NamedDisk, 'disk'> & { disk: DiskFacts | null })[];
};

/**
 * A disk that only looks like ours is not wiped as ours: whoever owns the machine writes what they like on it. Nor is it left: the
 * machine would go on with what lies there (`installedDisk`).
 */
export function planWipe(
  disks: readonly DiskFacts[],
  { installed, others }: Pick<OrderedWipe, 'installed' | 'others'>,
): WipePlan {
  const plan = { wipe: [] as DiskFacts[], left: [] as NamedDisk[], open: [] as WipePlan['open'][number][] };
  for (const disk of disks) {
    const lasting = lastingName(disk);
    const name = lasting || disk.name;
    const isOurs = lasting !== '' && installed.includes(lasting);
    if (!isOurs && others === 'leave') {
      if (contentOf(disk) === 'ours')
        plan.open.push({
          disk,
          name,
          why: 'it looks as if Bootwave had installed it, and nobody knows that',
        });
      else plan.left.push({ disk, name, why: 'Bootwave did not install it' });
      continue;
    }
    // Without a name it cannot be said later which disk was wiped.
    const why = obstacle(disk) ?? (isOurs && twice(disks, lasting) ? 'another disk says the same WWN' : null);
    if (why === null) plan.wipe.push(disk);
    else plan.open.push({ disk, name, why });
  }
  for (const name of installed)
    if (!disks.some((disk) => lastingName(disk) === name))
      plan.open.push({ disk: null, name, why: 'it was installed, and is not in this machine' });
  return plan;
}

function obstacle({ odd, readOnly, inUse, size }: DiskFacts): string | null {
  if (odd?.kind === 'unread') return `it cannot be read: ${odd.reason}`;
  if (readOnly) return 'it is read-only';
  if (inUse) return 'it is in use';
  return size > 0 ? null : 'it has no size';
}

const twice = (disks: readonly DiskFacts[], name: string) =>
  disks.filter((disk) => lastingName(disk) === name).length > 1;
