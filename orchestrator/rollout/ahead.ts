/**
 * Staging ahead: nodes get the file before their turn, at any time of day, and need a slot and an open window only for
 * the restart. A file on the disk starts at the next restart, whatever causes it. So it begins with the second wave, when
 * the first has proven the version, and goes no further than the open one.
 */
import { absences, awayWhy, mayBegin, type Open, waiting } from './admit.ts';
import { disruptedOf, heldNow, wait } from './around.ts';
import { quietOf } from './blame.ts';
import { provingWave } from './budget.ts';
import type { Draft } from './draft.ts';
import { blockedBy, limitsOf } from './limits.ts';
import { isAhead, type NodeStep, waitsStaged } from './node-step.ts';
import { isStaged, startStage, takeFileBack } from './step.ts';

export function stagedAhead(d: Draft): Readonly<NodeStep>[] {
  return d.active().flatMap((id) => {
    const known = d.peek(id)!;
    return isAhead(known) ? [known] : [];
  });
}

/** As many fetch at once as may be under way at once. Who is away is asked again when it is back, or at its turn. */
export function stageAhead(d: Draft, index: number) {
  const { spec } = d.setup;
  if (spec.staging !== 'ahead' || index <= provingWave(d.setup) || !mayBegin(d)) return;
  if (d.peekWave(index).skipped || d.peekWave(index).counts.pending === 0) return;
  const { whole } = limitsOf(d.setup, index);
  for (const known of waiting(d, index)) {
    if (d.total('staging') >= whole) return;
    if (!isStaged(d, known) || awayWhy(d, known) !== null) continue;
    const node = d.edit(known.node);
    d.touch(node);
    startStage(d, node, 'ahead of its turn');
  }
}

/** Gives slots to what is staged ahead, in the order of the plan: it goes before what has to fetch first. */
export function takeTurns(d: Draft, open: Open) {
  if (d.total('staged') === 0) return;
  const isAway = absences(d);
  // One question without an answer does not make it offline.
  const isMissed = (known: Readonly<NodeStep>) =>
    !known.reachable && quietOf(d, known) <= d.setup.spec.timeouts.silent;
  const isOut = ({ wave }: Readonly<NodeStep>) => d.peekWave(wave).skipped;
  // Those that went last with the file wait for the tail.
  const isOpen = (known: Readonly<NodeStep>) => known.wave <= d.rollout.wave && open(known);
  const due = stagedAhead(d).filter((known) => waitsStaged(known) && (isOut(known) || isOpen(known)));
  const own = disruptedOf(d);
  for (const known of due.sort((a, b) => a.position - b.position)) {
    if (isOut(known)) takeFileBack(d, d.edit(known.node), 'its wave is left out');
    else if (isMissed(known) || isAway(known)) continue;
    else if (blockedBy(limitsOf(d.setup, known.wave), d.rollout.inFlight, known) === null) {
      if (heldNow(d, { limits: own, last: own }, known) === null) d.takeSlot(d.edit(known.node));
      else wait(d, known);
    }
  }
}
