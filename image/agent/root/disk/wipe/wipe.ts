/**
 * Wipes one disk, and believes it only when the disk no longer reads as before. It may be interrupted at any moment and begun again:
 * the tables, which say where the heads of partitions are, go last of what is overwritten first.
 */
import { randomInt } from 'node:crypto';
import { messageOf } from '../../../../../base/error.ts';
import { notZero, PIECE, type Survivor, sample, survivors, type Target } from './read-back.ts';
import { type Extent, headsOf, type Region, randomBlocks } from './regions.ts';

export type WipeOptions = {
  partitions: readonly Extent[];
  /** What was on it lay there without encryption: it is overwritten whole, whatever the drive says of a discard. */
  plain: boolean;
  /** A whole number below its argument; default: of the system's generator. */
  random?: (below: number) => number;
  onStep?: (step: string) => void;
};

export type Wiped = {
  wiped: boolean;
  /** What was done, and what the drive said of it. */
  steps: readonly string[];
  /** What read as before after the heads were overwritten and the disk was discarded. */
  survived: readonly Survivor[];
  /** Why it does not count as wiped; empty: it does. */
  why: string;
};

/** Never throws for what the disk does: a disk that cannot be wiped is a result, and the node is not trusted again. */
export async function wipeDisk(target: Target, options: WipeOptions): Promise<Wiped> {
  const { partitions, plain, random = (below) => randomInt(below), onStep = () => {} } = options;
  const steps: string[] = [];
  const did = (step: string) => {
    steps.push(step);
    onStep(step);
  };
  const heads = headsOf(target.size, partitions);
  const regions = [...heads.partitions, ...heads.tables];
  let survived: Survivor[] = [];
  try {
    const before = await sample(target, [...regions, ...randomBlocks(target.size, random)]);
    for (const region of regions) await overwrite(target, region);
    await target.settle();
    did('the heads of partitions and the tables were overwritten');
    did(await discarded(target));
    await target.settle();
    survived = await survivors(target, before);
    if (survived.length > 0) did(`${survived.length} or more blocks read as before`);
    if (plain || survived.length > 0) {
      await overwrite(target, { from: 0, length: target.size });
      await target.settle();
      did('the whole disk was overwritten');
      const rest = await notZero(target, [...regions, ...randomBlocks(target.size, random)]);
      if (rest.length > 0)
        return { wiped: false, steps, survived, why: `it does not keep what is written: ${named(rest)}` };
    }
    // Once more, and all that was compared: also what the overwriting should have reached.
    const left = await survivors(target, before);
    const why = left.length === 0 ? '' : `it still reads as before: ${named(left)}`;
    return { wiped: left.length === 0, steps, survived, why };
  } catch (error) {
    return { wiped: false, steps, survived, why: messageOf(error).slice(0, 300) };
  }
}

/** A drive may well refuse: then all of it survives, and is overwritten. */
async function discarded(target: Target): Promise<string> {
  return target.discard().then(
    () => 'the drive says that it was discarded',
    (error: unknown) => `the drive did not discard it: ${messageOf(error).slice(0, 200)}`,
  );
}

async function overwrite(target: Target, { from, length }: Pick<Region, 'from' | 'length'>): Promise<void> {
  const zeros = Buffer.alloc(PIECE);
  const end = Math.min(from + length, target.size);
  for (let at = from; at < end; at += PIECE) {
    await target.write(zeros.subarray(0, Math.min(PIECE, end - at)), at);
  }
}

const named = (all: readonly Survivor[]) =>
  all
    .slice(0, 3)
    .map(({ what, at }) => `${what} (at byte ${at})`)
    .join(', ');
