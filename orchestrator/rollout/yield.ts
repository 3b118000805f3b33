/**
 * A rollout that stands still so that a more urgent one goes first. Who has only the file lets go of it and waits again; who has
 * restarted comes to its end. Nobody is held meanwhile. It goes on by itself, with those that no other rollout has taken.
 */
import { isGoingForward } from './after.ts';
import type { Draft } from './draft.ts';
import type { EngineEvent, OperatorEvent } from './event.ts';
import { listenAnew } from './hold.ts';
import { type NodeStep, UNDER_WAY } from './node-step.ts';
import { keepsFile, takeFileBack } from './step.ts';

export function standStill(
  d: Draft,
  event: Extract<OperatorEvent, { type: 'preempt' }>,
  refuse: (next: string, what?: string) => void,
) {
  const { rollout } = d;
  const { state, held, why, by, yields } = rollout;
  if (yields?.to === event.with) return;
  if (yields !== undefined) return refuse(`preempt ${yields.to} instead`, `it stands still for ${yields.to}`);
  if (!isGoingForward(rollout)) return refuse('only what goes forward stands still for another one');
  // What a person has paused stays so afterwards; what waits by itself finds out anew whether it has to.
  const stays = state === 'paused' && held === null ? { stays: { why, by } } : {};
  rollout.held = null;
  rollout.yields = { to: event.with, rests: false, ...stays };
  d.setState('paused', `stands still for ${event.with}; it goes on by itself when that has ended`, event.by);
  rollout.before = 'running';
}

/** A person pauses it meanwhile: it stands still anyway, and then stays paused. */
export function stayPaused(d: Draft, { why, by }: Extract<OperatorEvent, { type: 'pause' }>) {
  const { rollout } = d;
  const { to } = rollout.yields!;
  rollout.yields = { ...rollout.yields!, stays: { why, by } };
  d.setState('paused', `stands still for ${to}; then it stays paused: ${why}`, by);
}

/** While it stands still: files are taken off again. A staged one would start at the next restart, also at one of the other rollout. */
export function letGo(d: Draft) {
  const why = `${d.rollout.yields?.to} goes first`;
  for (const known of [...d.everybody()]) {
    if (known.state !== 'staging' && known.state !== 'staged' && !keepsFile(d, known)) continue;
    // It has none: it came to its end on its way between two versions.
    if (known.yielded === true) continue;
    const node = d.edit(known.node);
    takeFileBack(d, node, why);
    node.yielded = true;
  }
}

export function noteRest(d: Draft) {
  const { yields } = d.rollout;
  if (yields !== undefined) d.rollout.yields = { ...yields, rests: d.total(...UNDER_WAY) === 0 };
}

/** Its turn in its own wave comes again. @param yielded another rollout goes first */
export function waitAgain(d: Draft, node: NodeStep, why: string, yielded = false) {
  node.yielded = yielded;
  d.freeSlot(node);
  const wave = d.wave(node.wave);
  wave.next = Math.min(wave.next, node.position);
  d.move(node, 'pending', why);
}

/** Another rollout has it: that is no failure, and nobody waits for it. */
export function leaveTo(d: Draft, id: string, by: string) {
  const known = d.peek(id);
  if (known === undefined || !comesBack(known)) return;
  const node = d.edit(id);
  node.taken = true;
  node.yielded = false;
  d.rollout.gone += 1;
  d.move(node, 'skipped', `${by} has it`);
}

/** It waits for its turn, or did until it was let go. */
export const comesBack = ({ state, yielded }: Readonly<NodeStep>): boolean =>
  state === 'pending' || (state === 'taken-back' && yielded === true);

export function goOn(d: Draft, event: Extract<EngineEvent, { type: 'proceed' }>) {
  const { rollout } = d;
  const { yields } = rollout;
  if (yields?.to !== event.of) return;
  for (const { node, by } of event.taken) leaveTo(d, node, by);
  for (const known of [...d.everybody()]) {
    if (known.yielded !== true) continue;
    const node = d.edit(known.node);
    if (known.state === 'taken-back') {
      // To have had the file and not to have come there is no try.
      node.attempts = Math.max(0, node.attempts - 1);
      waitAgain(d, node, 'its turn comes again');
    } else node.yielded = false;
  }
  // The tail has not waited for anybody meanwhile.
  const { index, state } = d.peekWave(rollout.wave);
  if (state === 'open') d.wave(index).since = d.clock;
  delete rollout.yields;
  const stays = rollout.spent === null ? yields.stays : { why: rollout.spent, by: 'engine' };
  if (stays !== undefined) {
    d.setState('paused', stays.why, stays.by);
    rollout.before = 'running';
    return;
  }
  listenAnew(d);
  d.setState('running', `${event.of} has ended`, 'engine');
}
