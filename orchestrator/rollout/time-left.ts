/** How long a rollout will still take, by what it has taken so far. Pure. */
import { edited } from './draft.ts';
import type { RolloutRecord, RolloutSetup, WaveRecord } from './record.ts';

/** What share of its time a node has behind it that was told to start, and one that bakes. */
const STARTED = 0.2;
const BAKING = 0.6;

/**
 * An estimate. Nodes go through in batches of as many as may be under way at once; what a batch takes is measured in this
 * rollout, bakes of whole waves apart. Waiting is not in it: for windows, for gates, for people, and for nodes that are offline.
 * @returns milliseconds; null while nothing can be said: no node is through, or the rollout does not move forward
 */
export function timeLeft(
  { setup: planned, rollout }: { setup: RolloutSetup; rollout: RolloutRecord },
  waves: readonly WaveRecord[],
): number | null {
  if (rollout.state !== 'running') return null;
  const setup = edited(planned, rollout.edits);
  const bakeOf = (index: number) => setup.spec.waves[index]?.bake?.wave ?? setup.spec.bake.wave;
  let batches = 0;
  let baked = 0;
  let left = 0;
  let bakes = 0;
  for (const { index, state, counts, size, since, skipped } of waves) {
    const { kind, atOnce } = setup.waves[index]!;
    const width = Math.max(1, Math.min(atOnce ?? Number.POSITIVE_INFINITY, setup.limits.whole));
    // How many whole batches are through, in parts: also one that is smaller than it may be takes as long as any.
    const started = counts.staging + counts.staged + counts.activating;
    const baking = counts.booted + counts.attested + counts.baking;
    const parts = started * STARTED + baking * BAKING;
    const one = Math.max(1, Math.min(width, size));
    if (index <= rollout.wave) batches += (counts.done + parts) / one;
    if (state === 'done') {
      if (counts.done > 0) baked += bakeOf(index);
      continue;
    }
    if (state === 'baking' || state === 'gated') {
      const spent = state === 'gated' ? bakeOf(index) : Math.min(rollout.clock - since, bakeOf(index));
      baked += spent;
      bakes += bakeOf(index) - spent;
      continue;
    }
    // Whoever is in the tail was not there when it was planned; when that ends nobody knows.
    const waiting = skipped || (kind === 'tail' && index > rollout.wave) ? 0 : counts.pending;
    if (waiting + started + baking > 0) bakes += bakeOf(index);
    left += Math.ceil(waiting / width) + (started + baking - parts) / one;
  }
  if (waves.every(({ counts }) => counts.done === 0)) return null;
  const cycle = Math.max(0, rollout.clock - baked) / batches;
  return Math.round(left * cycle + bakes);
}

/** As people say it: `25 s`, `12 min`, `3 h 20 min`. */
export function durationText(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  // Nobody plans by minutes what takes days.
  return hours >= 24 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
}
