/** What a restored file that only grows lacks of the one that its fleet has now. Pure. */

export type Holes = {
  /** Lines that stand before others that are there: they were written before the backup began, and it has lost them. */
  lost: number;
  /** Lines that came after it. */
  since: number;
};

/** @param restored @param now lines of the same file; the restore may have added some of its own */
export function holesOf(restored: readonly string[], now: readonly string[]): Holes {
  const there = new Set(restored);
  const last = now.findLastIndex((line) => there.has(line));
  const missing = now.filter((line) => !there.has(line)).length;
  const since = now.length - 1 - last;
  // The first line of all is in every backup.
  return last < 0 ? { lost: now.length, since: 0 } : { lost: missing - since, since };
}
