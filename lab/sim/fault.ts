import { seeded } from './random.ts';

/** What can go wrong with a node and one version. A node without one does as it is told. */
export const FAULTS = [
  /** Everything takes six times as long. */
  'slow',
  /** Starts the version and is never heard again, yet its address takes connections. */
  'hang',
  /** Panics early; the boot loader falls back to the last good image by itself. */
  'panic',
  /** Comes up and restarts by itself, again and again. */
  'reboot-loop',
  /** Says that it is staged and never wrote it: the restart brings the old image. */
  'lies-installed',
  /** Gone in the middle of staging, for good. */
  'vanishes',
  /** Well, ill, well, ill. */
  'flaps',
  /** The first attempt to stage breaks off in the middle of the file, and the link with it. */
  'half-write',
  /** Runs the version for a while, then comes back with the old one. */
  'old-image-returns',
  /** Comes up, and its agent says that it is not well. */
  'unhealthy',
] as const;
export type Fault = (typeof FAULTS)[number];

/** Which fault a node has with a version; null for none. */
export type Faults = (node: number, version: string) => Fault | null;

export const noFaults: Faults = () => null;

/** Of several, the first that says something. */
export function firstOf(all: readonly Faults[]): Faults {
  return (node, version) => {
    for (const faults of all) {
      const fault = faults(node, version);
      if (fault !== null) return fault;
    }
    return null;
  };
}

/**
 * A share of the nodes with a fault each, by seed.
 * @param share 0 to 1
 */
export function randomFaults(
  seed: number,
  share: number,
  version: string,
  kinds: readonly Fault[] = FAULTS,
): Faults {
  return (node, of) => {
    if (of !== version) return null;
    const random = seeded(seed * 1_000_003 + node);
    if (random() >= share) return null;
    return kinds[Math.floor(random() * kinds.length)] ?? null;
  };
}
