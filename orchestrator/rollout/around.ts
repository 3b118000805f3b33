/** What the fleet around a rollout makes it wait for, and how that is said. */
import { aroundOf, type Counts, type Held, heldBy, NO_OWN, noCounts, type Own, sum, tally } from './down.ts';
import type { Draft } from './draft.ts';
import type { EngineEvent } from './event.ts';
import { limitsSpecOf } from './limits.ts';
import type { NodeStep } from './node-step.ts';
import type { RolloutRecord } from './record.ts';
import { defer, isStaged } from './step.ts';
import { isDisrupted } from './taken-down.ts';

/** What was seen replaces what was known before. */
export function onAround(d: Draft, event: Extract<EngineEvent, { type: 'around' }>) {
  const seen = new Set(event.down);
  const own = noCounts();
  for (const known of d.everybody()) {
    const isDown = seen.has(known.node) || isLost(d, known);
    if (known.down !== isDown) d.edit(known.node).down = isDown;
    // Those that it has taken down are counted where it counts its own.
    if (isDown && !isDisrupted(known)) tally(own, known);
  }
  // Steps since it was read were all our own: after one of others ours would not have held.
  const fence = Math.max(event.fence, d.rollout.around.fence ?? 0);
  d.rollout.around = aroundOf(fence, sum(event.others, own), event.of, d.setup.sizes);
}

/** The fleet takes its time to find out that a node is silent: until then what the rollout has seen counts. */
function isLost(d: Draft, { state, since }: Readonly<NodeStep>): boolean {
  return state === 'needs-recovery' && d.clock - since <= d.setup.spec.timeouts.silent;
}

/** What others have to count of it. */
export function shownOf(d: Draft): Counts {
  const counts = disruptedOf(d);
  if (d.total('needs-recovery') > 0)
    for (const known of d.everybody()) if (isLost(d, known)) tally(counts, known);
  return counts;
}

/** The nodes that it has taken down, by place. */
export function disruptedOf(d: Draft): Counts {
  const counts = noCounts();
  for (const id of d.active()) {
    const node = d.peek(id)!;
    if (isDisrupted(node)) tally(counts, node);
  }
  return counts;
}

/** Whether it has to wait before it is staged. That disturbs nobody, so that the last one of a place may as well be ready. */
export const heldBack = (d: Draft, node: Readonly<NodeStep>): Held | null =>
  heldNow(d, { limits: d.rollout.inFlight, last: {} }, node);

/**
 * Whether its place would be full without any node of this rollout. Otherwise it only waits for its turn, however many are
 * down there.
 */
const heldByOthers = (d: Draft, node: Readonly<NodeStep>): Held | null => heldNow(d, NO_OWN, node);

export function heldNow({ setup, rollout }: Draft, own: Own, node: Readonly<NodeStep>): Held | null {
  const limits = limitsSpecOf(setup.spec, node.wave);
  if (node.down || limits.down === 'ignore') return null;
  return heldBy({ limits, sizes: setup.sizes }, rollout.around, own, node);
}

const placeOf = ({ kind, name }: Held): string => `${kind} ${name}`;

/** Where there was no room to write it down, it is as long as the longest that is written. */
function sinceOf({ clock, rollout }: Draft, held: Held): number {
  const { waits = {} } = rollout;
  const all = Object.values(waits);
  if (waits[placeOf(held)] === undefined && all.length >= MOST)
    return Math.min(...all.map(({ since }) => since));
  return waits[placeOf(held)]?.since ?? clock;
}

/** Whether others have kept its place full for as long as the tail waits, which begins when that opens. */
export function hasWaited(d: Draft, known: Readonly<NodeStep>): boolean {
  const held = heldByOthers(d, known);
  if (held === null) return false;
  const since = Math.max(sinceOf(d, held), d.peekWave(known.wave).since);
  return d.clock - since >= d.setup.spec.offline.wait;
}

/**
 * If it waits for others, that is said. In a wave that has proved the version it does not keep the next ones waiting for
 * longer than a restart may take: it goes last.
 */
export function wait(d: Draft, known: Readonly<NodeStep>) {
  const held = heldByOthers(d, known);
  if (held === null) return;
  // Nodes elsewhere use its slot meanwhile.
  if (known.slot) d.freeSlot(d.edit(known.node));
  const { why } = held;
  const place = placeOf(held);
  const since = sinceOf(d, held);
  d.waits.set(place, { why, since });
  const wave = d.peekWave(known.wave);
  const { timeouts } = d.setup.spec;
  if (d.setup.waves[wave.index]!.kind === 'regular') {
    if (wave.counts.done > 0 && d.clock - since > timeouts.activate) goLast(d, d.edit(known.node), why);
  } else if (known.state === 'staged' && hasWaited(d, known)) {
    // The file would start at its next restart, when nobody watches it any more.
    d.move(d.edit(known.node), 'failed', `taken back: ${why}`);
  }
}

/** To have the file and not to go is no try. */
function goLast(d: Draft, node: NodeStep, why: string) {
  if (node.state === 'staged' && isStaged(d, node)) return defer(d, node, why, 'staged');
  if (node.state === 'staged') node.attempts -= 1;
  defer(d, node, why);
}

/** Before the first look of the server that drives the rollout, nobody knows what is down: staged nodes wait for that look. */
export function hasLooked(d: Draft): boolean {
  if (d.setup.spec.limits.down === 'ignore' || d.rollout.around.fence !== null) return true;
  d.waits.set(FLEET, { why: 'nobody has looked at the fleet yet', since: d.clock });
  return false;
}

const FLEET = 'fleet';
/** Places that are written down at most. */
const MOST = 200;

/** Where nothing more could start, nobody was asked in this step: they wait on, as long as their places are full. */
function waitOn(d: Draft, before: NonNullable<RolloutRecord['waits']>) {
  const left = new Set(Object.keys(before).filter((place) => !d.waits.has(place)));
  const { wave } = d.rollout;
  for (const id of new Set([...d.active(), ...d.placesOf(wave)])) {
    if (left.size === 0) return;
    const known = d.peek(id);
    if (
      known === undefined ||
      !(known.state === 'staged' || (known.state === 'pending' && known.wave === wave))
    )
      continue;
    const held = heldByOthers(d, known);
    if (held === null) continue;
    const place = placeOf(held);
    if (left.delete(place)) d.waits.set(place, { why: held.why, since: before[place]!.since });
  }
}

/** Call it when everything was started that may. */
export function keepWaits(d: Draft) {
  const { rollout } = d;
  const before = rollout.waits ?? {};
  if (rollout.state === 'running') waitOn(d, before);
  const waits = [...d.waits].sort(([a], [b]) => (a < b ? -1 : 1)).slice(0, MOST);
  for (const [place, { why }] of waits)
    if (place !== FLEET && before[place] === undefined)
      d.notes.push({
        ...{ what: 'rollout', id: rollout.id, from: rollout.state, to: rollout.state },
        ...{ why: `waits: ${why}`, by: 'engine' },
      });
  if (waits.length > 0 && rollout.state === 'running') rollout.waits = Object.fromEntries(waits);
  else delete rollout.waits;
}
