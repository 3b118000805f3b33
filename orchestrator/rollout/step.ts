/** The moves that a node's step can make, each with what it costs: a command, a slot, a failure. */
import { type Cause, describe } from '../causes/cause.ts';
import type { Blame } from '../causes/refusal.ts';
import { unstaged } from './blame.ts';
import type { Draft } from './draft.ts';
import type { Gate } from './gate.ts';
import type { NodeStep } from './node-step.ts';

export function gatesOf(d: Pick<Draft, 'setup'>, wave: number): readonly Gate[] {
  const { gates, waves } = d.setup.spec;
  return [...gates, ...(waves[wave]?.gates ?? [])];
}

/** Milliseconds that a node (or the wave) bakes. */
export function bakeOf(d: Draft, wave: number, which: 'node' | 'wave'): number {
  return d.setup.spec.waves[wave]?.bake?.[which] ?? d.setup.spec.bake[which];
}

/**
 * Counts it as a failure, once, unless the cause is not the version; what follows (back to the last good) is decided
 * where the limits are known.
 */
export function fail(d: Draft, node: NodeStep, why: string, cause: Cause = { kind: 'change' }) {
  if (cause.kind !== 'change') {
    d.excuse(node, cause);
    d.move(node, 'failed', `${why} (not counted: ${describe(cause)})`);
    return;
  }
  if (!node.failed) {
    if (node.excused !== null) d.rollout.excused -= 1;
    node.excused = null;
    node.failed = true;
    d.wave(node.wave).failures += 1;
    d.rollout.failures += 1;
  }
  d.move(node, 'failed', why);
}

/**
 * Whether anything is stored on it before its turn: a diskless node has nowhere to store an image, its next boot brings it;
 * a service is fetched once it is ordered.
 */
export function isStaged(d: Draft, { how }: Readonly<Pick<NodeStep, 'how'>>): boolean {
  const { of } = d.setup.target;
  return of === 'config' || (of === 'image' && how === 'disk');
}

export function startStage(d: Draft, node: NodeStep, why: string) {
  node.attempts += 1;
  node.bootBefore = node.bootId;
  node.sick = null;
  // Of services it is only asked whether it can have them.
  if (d.setup.target.of === 'image' && node.how !== 'disk') {
    d.move(node, 'staged', why);
    return;
  }
  d.move(node, 'staging', why);
  d.command(node);
}

export function startActivate(d: Draft, node: NodeStep, why: string) {
  // Unhealthy on the old version at this moment: what it shows later proves nothing.
  if (node.sick !== null && node.hop === 0 && node.attempts === 1 && node.flaps === 0) {
    node.fell = !node.ill;
    node.ill = true;
  }
  node.bootBefore = node.bootId;
  delete node.blame;
  d.move(node, 'activating', why);
  d.command(node);
}

/** It has the file and nothing more, which is no failure. A staged file would start at the next restart, whatever causes it. */
export function takeFileBack(d: Draft, node: NodeStep, why: string) {
  d.move(node, 'failed', `taken back: ${why}`);
}

/** It went last because it was away, is back, and may have the file: so it is told to take it off, if its turn does not come. */
export function keepsFile(d: Draft, { state, touch, reachable, term, ...node }: Readonly<NodeStep>): boolean {
  const isTold = reachable && term === d.rollout.term;
  return state === 'pending' && touch > 0 && isTold && isStaged(d, node);
}

/** @returns whether there are any */
export function takeLeftFilesBack(d: Draft, why: string): boolean {
  const left = [...d.everybody()].filter((known) => keepsFile(d, known));
  for (const { node } of left) takeFileBack(d, d.edit(node), why);
  return left.length > 0;
}

export function startRollback(d: Draft, node: NodeStep, why: string) {
  node.sick = null;
  d.move(node, 'rolling-back', why);
  d.command(node);
}

/**
 * To the end of the tail wave, where nodes that are offline do not hold up the others.
 * @param to `staged`: it keeps the file that it has
 */
export function defer(d: Draft, node: NodeStep, why: string, to: 'pending' | 'staged' = 'pending') {
  const from = d.wave(node.wave);
  const tail = d.wave(d.waveCount - 1);
  from.counts[node.state] -= 1;
  from.size -= 1;
  tail.counts[to] += 1;
  tail.size += 1;
  d.notes.push({
    what: 'node',
    id: node.node,
    from: node.state,
    to,
    why: `tail: ${why}`,
    by: 'engine',
  });
  d.freeSlot(node);
  node.wave = tail.index;
  node.position = tail.end;
  tail.end += 1;
  node.state = to;
  node.since = d.clock;
  node.why = why;
}

/** After two failovers in short succession it takes as many; more are a node that has an answer to everything. */
const MOST_ANEW = 5;

/**
 * An order with another epoch, because the one before had one that is used up. A node that finds each of them used up
 * would be asked for ever, and nothing that waits for it would end.
 */
export function commandAnew(d: Draft, node: NodeStep, why: string) {
  node.anew += 1;
  if (node.anew <= MOST_ANEW) return d.command(node);
  const end = `${MOST_ANEW} orders, each with a new epoch, were refused: ${why}`;
  if (node.state !== 'rolling-back') return retry(d, node, end, 'hardware');
  d.move(node, 'needs-recovery', end);
  d.freeSlot(node);
}

/** Another try, while tries are left; an offline node gets it in the tail wave. */
export function retry(d: Draft, node: NodeStep, why: string, blame: Blame = 'change') {
  const again = node.attempts < d.setup.spec.attempts;
  // Who has not even fetched it says little about it.
  const isLacking = node.state === 'staging' || blame === 'fetch';
  if (!again) return fail(d, node, why, isLacking ? unstaged(d, node, blame) : undefined);
  if (!node.reachable && node.state !== 'activating') return defer(d, node, why);
  if (node.state === 'staging') return startStage(d, node, `again: ${why}`);
  node.attempts += 1;
  // Back to the state in which windows and pauses are checked: a second activation is as disruptive as the first.
  d.move(node, 'staged', `again: ${why}`);
}
