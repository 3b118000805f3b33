/** How long a rollout will still take, by what it has taken so far. Pure. */
import { edited } from './edited.ts';
import { limitsOf } from './limits.ts';
import { UNDER_WAY } from './node-step.ts';
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
  if (rollout.state !== 'running' || rollout.moving === undefined) return null;
  const setup = edited(planned, rollout.edits);
  const bakeOf = (index: number) => setup.spec.waves[index]?.bake?.wave ?? setup.spec.bake.wave;
  const idle = withoutSlot(rollout, waves);
  let batches = 0;
  let isProven = false;
  let left = 0;
  let bakes = 0;
  for (const { index, state, counts, size, since, skipped } of waves) {
    if (index > rollout.wave && size === 0) continue;
    const { kind, atOnce } = setup.waves[index]!;
    // Who is in the tail came there later, so nothing was planned of it.
    const most = kind === 'tail' ? undefined : atOnce;
    // Who is staged ahead still waits for its turn.
    const ahead = index === rollout.wave ? Math.min(idle, counts.staging + counts.staged) : 0;
    const started = counts.staging + counts.staged + counts.activating - ahead;
    const baking = counts.booted + counts.attested + counts.baking;
    const before = limitsOf(planned, index).whole;
    const parts = started * STARTED + baking * BAKING;
    if (index <= rollout.wave) {
      // A batch that is smaller than it may be takes as long as any.
      batches += (counts.done + parts) / widthOf(most, before, before, size);
      isProven ||= counts.done > 0;
    }
    if (state === 'done') continue;
    if (state === 'baking') bakes += Math.max(0, bakeOf(index) - (rollout.clock - since));
    if (state === 'baking' || state === 'gated') continue;
    // When nodes of the tail are there again nobody knows.
    const waiting = ahead + (skipped || kind === 'tail' ? 0 : counts.pending);
    if (waiting + started + baking === 0) continue;
    const width = widthOf(most, before, limitsOf(setup, index).whole, size);
    bakes += bakeOf(index);
    left += Math.ceil(waiting / width) + (started + baking - parts) / width;
  }
  if (!isProven) return null;
  return Math.round((left * rollout.moving) / batches + bakes);
}

/** Nodes under way that count against no limit. */
function withoutSlot({ inFlight }: RolloutRecord, waves: readonly WaveRecord[]): number {
  let all = 0;
  for (const { counts } of waves) for (const state of UNDER_WAY) all += counts[state];
  return Math.max(0, all - inFlight.whole);
}

/**
 * Nodes that go side by side.
 * @param most what sites, racks and the whole of that time allow; absent: not known
 * @param whole what the whole allows now
 */
function widthOf(most: number | undefined, planned: number, whole: number, size: number): number {
  const places = most === undefined || most >= planned ? whole : Math.min(most, whole);
  return Math.max(1, Math.min(places, size));
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
