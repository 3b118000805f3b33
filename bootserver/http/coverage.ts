/** Which bytes of a file a client has: sorted, separate intervals [first byte, byte after the last). Pure. */

export type Interval = readonly [start: number, end: number];

/** Intervals kept for one file; a client that asks for more scattered pieces does not boot from them. */
const MOST = 16;

/** @returns `have` and `add` together; a new interval beyond the limit is left out */
export function cover(have: readonly Interval[], add: Interval): readonly Interval[] {
  if (add[1] <= add[0]) return have;
  const apart = have.filter(([start, end]) => end < add[0] || start > add[1]);
  if (apart.length === have.length && have.length >= MOST) return have;
  const touching = have.filter(([start, end]) => end >= add[0] && start <= add[1]);
  const joined: Interval = [
    Math.min(add[0], ...touching.map(([start]) => start)),
    Math.max(add[1], ...touching.map(([, end]) => end)),
  ];
  return [...apart, joined].sort((a, b) => a[0] - b[0]);
}

export function covers(have: readonly Interval[], want: Interval): boolean {
  return want[1] <= want[0] || have.some(([start, end]) => start <= want[0] && end >= want[1]);
}
