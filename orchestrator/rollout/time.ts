import { describe } from '../causes/cause.ts';
import { goneAfterwards, illnessIn, isOver, quietOf, silenceIn, waitsForOthers } from './blame.ts';
import { wantedOf } from './command.ts';
import type { Draft } from './draft.ts';
import { hold, isRefusedByMany, isSilence, leave } from './hold.ts';
import type { NodeStep } from './node-step.ts';
import { shownVersion } from './services.ts';
import { defer, fail, retry } from './step.ts';

/**
 * A trouble that many nodes share holds the rollout, and does not count against the node. @returns whether it is the
 * node's own
 */
function isByItself(d: Draft, known: Readonly<NodeStep>): boolean {
  const found = silenceIn(d, known);
  if (found.verdict === 'shared') hold(d, found.cause);
  if (found.verdict !== 'alone') return false;
  // Nodes of a place come back one by one: a late node gets its time once the others are heard.
  return !isSilence(d);
}

/** Nobody can hold what a person has ended: who is silent with all of its place is left behind, uncounted. */
function giveUpPlace(d: Draft, known: Readonly<NodeStep>) {
  if (waitsForOthers(d)) return;
  const found = silenceIn(d, known);
  if (found.verdict === 'shared')
    leave(d, d.edit(known.node), found.cause, `by ${d.rollout.by}: ${describe(found.cause)}`);
}

function silent(d: Draft, known: Readonly<NodeStep>, why: string) {
  if (known.taken) return;
  // It was judged when it was lost; the others of its place tell if more is.
  if (known.state === 'done' && known.lost !== null && isOver(d, known)) return;
  if (!isByItself(d, known)) return known.state === 'done' ? undefined : giveUpPlace(d, known);
  if (known.state !== 'done') return fail(d, d.edit(known.node), why);
  const verdict = goneAfterwards(d);
  if (verdict === 'change') return fail(d, d.edit(known.node), why);
  if (verdict === 'unclear' && known.lost === null) {
    const name = `${known.name} ${why}, after it was done, and too few others are to compare with`;
    return hold(d, { kind: 'gone-alone' }, name);
  }
  if (known.lost !== null) return;
  const node = d.edit(known.node);
  node.lost = d.clock;
  node.why = `${why}; not counted: all others are well`;
  const { node: id, state } = node;
  d.notes.push({ what: 'node', id, from: state, to: state, why: node.why, by: 'engine' });
}

/** Ill for too long, or too often. */
export function ill(d: Draft, known: Readonly<NodeStep>, why: string) {
  if (known.taken) return;
  const cause = illnessIn(d, known);
  if (cause.kind === 'surroundings' && d.rollout.state !== 'aborting') return hold(d, cause);
  // They recover one after the other, and are heard of one after the other: each has its time once it is over.
  if (cause.kind === 'change' && d.rollout.held?.cause.kind === 'surroundings') return;
  fail(d, d.edit(known.node), why, cause);
}

const ALONE = { clock: 'node-clock', order: 'disobeys', rules: 'rules' } as const;
const TOGETHER = { clock: 'own-clock', order: 'orders', rules: 'rules' } as const;

/** Its order is refused for another reason than the version: it is asked again, for as long as an order may take. */
function onBlocked(d: Draft, known: Readonly<NodeStep>) {
  const { timeouts } = d.setup.spec;
  const { by, since } = known.blocked!;
  const isOwn = by !== 'rules' && !isRefusedByMany(d, by);
  const node = () => d.edit(known.node);
  const patience = known.state === 'rolling-back' ? timeouts.rollback : timeouts.stage;
  const isLost = (isOwn && d.rollout.held === null) || !waitsForOthers(d);
  if (isLost && d.clock - since > patience) {
    const isClock = isOwn && by === 'clock';
    const why = `${isClock ? 'its clock is wrong' : 'its order is refused'}: ${known.blocked!.why}`;
    if (known.state === 'rolling-back') {
      const lost = node();
      d.move(lost, 'needs-recovery', why);
      return d.freeSlot(lost);
    }
    if (known.state !== 'staging') return fail(d, node(), why, { kind: (isOwn ? ALONE : TOGETHER)[by] });
    const late = node();
    late.blocked = null;
    if (known.wave < d.waveCount - 1) return defer(d, late, why);
    d.move(late, 'skipped', why);
    d.freeSlot(late);
    return;
  }
  if (!isDue(d, known)) return;
  // An order that was signed with a wrong clock stays wrong: a new one gets the present time.
  if (by === 'clock') d.command(node());
  else d.send(node());
}

/** It answers, and is not on what it was told. */
function lateWhy({ setup }: Draft, { why }: Readonly<NodeStep>): string {
  const { of } = setup.target;
  if (of === 'image') return 'did not restart into the new version';
  return `not on it within its time${of === 'service' ? `: ${why}` : ''}`;
}

/** What passing time does to a node that is under way, or done in a wave that is not. */
export function onTime(d: Draft, id: string) {
  const known = d.peek(id)!;
  const { timeouts } = d.setup.spec;
  const spent = d.clock - known.since;
  const quiet = quietOf(d, known);
  if (known.blocked !== null) return onBlocked(d, known);
  // While the command waits in our own queue, the node's time does not run; for a node that cannot be reached it does.
  const waits = !known.told && known.reachable && known.sent !== null && quiet <= timeouts.silent;
  switch (known.state) {
    case 'staging':
      if (spent > timeouts.stage && !waits) return retry(d, d.edit(id), 'not staged within its time');
      break;
    case 'staged':
      // Who was staged ahead is missed when its turn comes.
      if (known.slot && !known.reachable && spent > timeouts.silent)
        retry(d, d.edit(id), 'offline before its activation');
      return;
    case 'activating':
      if (spent > timeouts.activate && !waits) {
        if (quiet <= timeouts.silent) return retry(d, d.edit(id), lateWhy(d, known), known.blame);
        return silent(d, known, 'did not come back after activation');
      }
      break;
    case 'rolling-back':
      if (spent > timeouts.rollback && !waits) {
        if (quiet > timeouts.silent && waitsForOthers(d) && !isByItself(d, known)) break;
        const node = d.edit(id);
        d.move(node, 'needs-recovery', 'did not come back from the rollback');
        d.freeSlot(node);
        return;
      }
      break;
    case 'booted':
    case 'baking':
    case 'done':
      if (known.state === 'booted' && spent > timeouts.attest) {
        return fail(d, d.edit(id), 'not attested within its time');
      }
      if (quiet > timeouts.silent) return silent(d, known, `went silent on ${shownVersion(wantedOf(known))}`);
      if (known.sick !== null && d.clock - known.sick > timeouts.unhealthy) {
        ill(d, known, `unhealthy on ${shownVersion(wantedOf(known))}`);
      }
      return;
    default:
      return;
  }
  if (isDue(d, known)) d.send(d.edit(id));
}

/**
 * Whether its command is to be sent again. One that leads forward is not while everything goes back: nobody who is dead or
 * waits for a slot is told it once more.
 */
function isDue({ rollout, clock, setup }: Draft, { sent, state }: Readonly<NodeStep>): boolean {
  if (rollout.state === 'rolling-back' && state !== 'rolling-back') return false;
  return sent !== null && clock - sent >= setup.spec.timeouts.resend;
}
