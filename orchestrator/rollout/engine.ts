/**
 * The engine: (records, input) -> (changed records, commands). No clock, no randomness, no I/O. A caller loads the
 * records, calls `advance`, writes the step by one compare-and-set on `rev` with its commands in the same outbox, then
 * calls `apply`; when the write does not hold it throws the step away and loads again. Killed anywhere in between,
 * nothing is lost: what is outstanding follows from the records alone.
 */
import { isGoingForward } from './after.ts';
import { keepWaits, onAround, shownOf } from './around.ts';
import { isSeen } from './down.ts';
import { Draft } from './draft.ts';
import type { EngineEvent, Input, Step } from './event.ts';
import { release, weighRefusals } from './hold.ts';
import { onNodeEvent } from './machine.ts';
import { isOperator, onOperator } from './operate.ts';
import type { RolloutStatus } from './record.ts';
import { type RolloutState, stepOf } from './state.ts';
import { onTime } from './time.ts';
import { checkBudget, onGate, settle } from './wave.ts';
import { goOn, noteRest } from './yield.ts';

/**
 * Milliseconds that one input can move rollout time at most, whatever the caller measured: neither a machine that
 * slept nor a wrong clock ends a bake early. Callers tick every few seconds.
 */
const MAX_ELAPSED = 60_000;

/** Leaves `state` as it is. */
export function advance(state: RolloutState, input: Input): Step {
  const d = new Draft(state, input.at, input.mark);
  const before = state.rollout.clock;
  if (LIVE.includes(d.rollout.state) && input.elapsed > 0) {
    const passed = Math.min(input.elapsed, MAX_ELAPSED);
    d.rollout.deaf += Math.min(passed, Math.max(0, d.rollout.asking - before));
    d.rollout.clock += passed;
    const { state, moving } = d.rollout;
    if (state === 'running' && moving !== undefined && isMoving(d)) d.rollout.moving = moving + passed;
  }
  for (const event of input.events) {
    if (d.ended) {
      if (isOperator(event)) onOperator(d, event);
      continue;
    }
    take(d, state, event);
    checkBudget(d);
    // A spent budget stops the rest of the batch from starting anything.
  }
  if (!d.ended) {
    settle(d);
    checkBudget(d);
    if (d.rollout.state === 'rolling-back') settle(d);
  }
  noteRest(d);
  keepWaits(d);
  const step = d.finish(before);
  if (step.changed) step.rollout.disrupted = shownOf(d);
  return step;
}

/** The author's command to start, written with the records themselves: it starts no node yet. */
export function begin(state: RolloutState, at: number): Step {
  const d = new Draft(state, at);
  onOperator(d, { type: 'start', by: state.setup.author });
  return d.finish(state.rollout.clock);
}

/** What is staged may wait for its window, and what is staged ahead for its turn. */
function isMoving(d: Draft): boolean {
  return d.active().some((id) => {
    const { slot, state } = d.peek(id)!;
    return slot && state !== 'staged';
  });
}

const LIVE: readonly RolloutStatus[] = ['running', 'paused', 'rolling-back', 'aborting'];

function take(d: Draft, state: RolloutState, event: EngineEvent) {
  if (isOperator(event)) return onOperator(d, event);
  switch (event.type) {
    case 'tick':
      return tick(d, state);
    case 'gate':
      return onGate(d, event);
    case 'around':
      return onAround(d, event);
    case 'proceed':
      return goOn(d, event);
    case 'takeover':
      return askFirst(d);
    case 'failover':
      d.rollout.term = Math.max(d.rollout.term + 1, event.term);
      askFirst(d);
      d.rollout.resync = d.clock + d.setup.spec.timeouts.silent;
      return;
    case 'joined':
      return join(d, event);
    default:
      return onNodeEvent(d, event);
  }
}

/**
 * A node that is well is asked within a quarter of `silent`, and may answer late by as much again: so it is heard before its
 * silence is counted on. Silence that was counted before stays counted: where orchestrators come and go, none listens for long.
 */
function askFirst(d: Draft) {
  d.rollout.asking = d.clock + d.setup.spec.timeouts.silent / 2;
  // Nobody was there to see what is down by now.
  d.rollout.around = { ...d.rollout.around, fence: null };
}

function tick(d: Draft, state: RolloutState) {
  if (!LIVE.includes(d.rollout.state)) return;
  for (const id of d.active()) onTime(d, id);
  const wave = d.peekWave(d.rollout.wave);
  if (wave.state === 'open' || wave.state === 'baking' || wave.state === 'gated') {
    for (const id of state.order[wave.index]!) {
      if (id === undefined) continue;
      const node = d.peek(id);
      if (node?.state === 'done' && node.wave === wave.index) onTime(d, id);
    }
  }
  // Nodes that turn bad later count as well.
  for (const id of d.troubled()) {
    const node = d.peek(id);
    if (node?.state === 'done' && node.wave !== wave.index) onTime(d, id);
  }
  weighRefusals(d);
  release(d);
}

function join(d: Draft, event: Extract<EngineEvent, { type: 'joined' }>) {
  if (d.peek(event.place.node) !== undefined || d.setup.spec.lateJoiners === 'ignore') return;
  if (d.rollout.yields !== undefined || !isGoingForward(d.rollout)) return;
  const { index, state: at } = d.peekWave(d.waveCount - 1);
  // A tail that bakes starts no more nodes: the next rollout takes newcomers.
  if (at !== 'waiting' && at !== 'open') return;
  const tail = d.wave(index);
  const node = stepOf(event.place, tail.index, tail.end, d.rollout.term);
  tail.end += 1;
  tail.size += 1;
  tail.counts.pending += 1;
  d.add(node);
  // Nobody has looked at what is down there.
  if (!isSeen(d.rollout.around, d.setup.sizes, node)) d.rollout.around = { ...d.rollout.around, fence: null };
  d.notes.push({ what: 'node', id: node.node, from: '', to: 'pending', why: event.place.why, by: 'engine' });
}

export { apply, createRollout, loadRollout, type RolloutState } from './state.ts';
