/** Who may start now: limits, windows, and the order of the plan. */
import { disruptedOf, hasLooked, heldBack, heldNow, wait } from './around.ts';
import { quietOf, silenceIn, unheardFor, waitsForOthers } from './blame.ts';
import { tally } from './down.ts';
import type { Draft } from './draft.ts';
import { blockedBy, limitsBack, limitsOf } from './limits.ts';
import type { NodeStep } from './node-step.ts';
import { defer, startActivate, startRollback, startStage } from './step.ts';
import { hasOnlyFile } from './taken-down.ts';
import { openingAt, windowsOf } from './window.ts';

/** Whether a node may be disrupted at this instant. */
export type Open = (node: Readonly<Pick<NodeStep, 'wave' | 'site'>>) => boolean;

/** Whether anything may begin at this instant, windows aside. */
export function mayBegin({ setup, rollout, clock, at }: Draft): boolean {
  const { notBefore, notAfter } = setup.spec;
  return (
    clock >= rollout.resync &&
    (notBefore === undefined || at >= notBefore) &&
    (notAfter === undefined || at < notAfter)
  );
}

/** By the windows of each node's wave; looked up once per wave, site and input. */
export function openSites(d: Draft): Open {
  if (!mayBegin(d)) return () => false;
  const known = new Map<string, boolean>();
  return ({ wave, site }) => {
    const windows = windowsOf(d.setup.spec, wave);
    if (windows.length === 0) return true;
    const key = `${wave} ${site}`;
    let open = known.get(key);
    if (open === undefined) {
      open = openingAt(windows, site, d.at).open;
      known.set(key, open);
    }
    return open;
  };
}

/**
 * Activates what is staged and has a slot. A node that waited for a window keeps its place and its slot; one whose place has
 * lost others gives its slot to nodes elsewhere until it may go.
 */
export function activateStaged(d: Draft, open: Open) {
  if (d.total('staged') === 0) return;
  const own = disruptedOf(d);
  for (const id of d.active()) {
    const known = d.peek(id)!;
    if (known.state !== 'staged' || !known.slot || !known.reachable || !open(known)) continue;
    if (!hasLooked(d)) continue;
    if (heldNow(d, { limits: own, last: own }, known) !== null) {
      wait(d, known);
      continue;
    }
    const node = d.edit(id);
    startActivate(d, node, 'activating');
    tally(own, node);
  }
}

/** The nodes of a wave whose turn has not come, in the order of the plan. */
export function* waiting(d: Draft, index: number): Generator<Readonly<NodeStep>> {
  const places = d.placesOf(index);
  for (let position = d.peekWave(index).next; position < places.length; position += 1) {
    const id = places[position];
    const known = id === undefined ? undefined : d.peek(id);
    if (known?.state === 'pending' && known.wave === index && known.position === position) yield known;
    else if (d.peekWave(index).next === position) d.wave(index).next += 1;
  }
}

/** Why it cannot get orders now; null when it can. A node that was not heard since a failover counts as offline. */
export function awayWhy({ rollout }: Draft, known: Readonly<NodeStep>): string | null {
  if (known.term !== rollout.term || known.bootId === null) return 'not heard';
  return known.reachable ? null : 'offline when its turn came';
}

/** For the nodes of one input whose turn it is. @returns whether it is away; then it goes to the tail, or waits there */
export function absences(d: Draft): (known: Readonly<NodeStep>) => boolean {
  let isCut: boolean | undefined;
  return (known) => {
    const why = awayWhy(d, known);
    if (why === null) return false;
    if (known.state === 'pending' && d.setup.waves[known.wave]!.kind === 'tail') return true;
    isCut = isCut ?? isCutOff(d);
    if (isCut) return true;
    const node = d.edit(known.node);
    // To have the file and not be there is no try.
    if (known.state === 'staged') node.attempts -= 1;
    defer(d, node, why);
    return true;
  };
}

/** Starts nodes of the open wave in their order, as far as the limits go; one blocked site does not hold up others. */
export function admit(d: Draft, index: number, open: Open) {
  const limits = limitsOf(d.setup, index);
  const tail = d.setup.waves[index]!.kind === 'tail';
  if (d.peekWave(index).skipped || d.peekWave(index).counts.pending === 0) return;
  const fullSites = new Set<string>();
  const isAway = absences(d);
  // The tail may contain nodes of sites that the plan did not know.
  const sites = tail ? Number.POSITIVE_INFINITY : Object.keys(limits.site).length;
  for (const known of waiting(d, index)) {
    if (blockedBy(limits, d.rollout.inFlight, NOWHERE) === 'whole') return;
    if (fullSites.has(known.site)) continue;
    if (!open(known)) {
      fullSites.add(known.site);
      if (fullSites.size >= sites) return;
      continue;
    }
    if (isAway(known)) continue;
    const blocked = blockedBy(limits, d.rollout.inFlight, known);
    if (blocked === 'site') fullSites.add(known.site);
    if (fullSites.size >= sites) return;
    if (blocked !== null) continue;
    if (heldBack(d, known) !== null) {
      wait(d, known);
      continue;
    }
    const node = d.edit(known.node);
    d.takeSlot(node);
    d.touch(node);
    startStage(d, node, 'its turn');
  }
}

/** Nodes that may be offline by themselves at the same moment. */
const FEW = 3;

/**
 * Whether most nodes have been unreachable for a short while: then those whose turn it is are not offline by
 * themselves. The cause is known before this time is over; if none is found, they go to the tail after all.
 */
function isCutOff(d: Draft): boolean {
  const { rollout, setup } = d;
  const { silent } = setup.spec.timeouts;
  let reached = 0;
  let missed = 0;
  for (const node of d.everybody()) {
    // That a node was offline when it was planned says nothing about now.
    if (['skipped', 'needs-recovery'].includes(node.state) || node.wave === d.waveCount - 1) continue;
    if (!node.reachable || (node.heard !== null && quietOf(d, node) > silent)) missed += 1;
    else if (node.heard !== null) reached += 1;
  }
  if (missed < FEW || missed <= reached) {
    rollout.cut = null;
    return false;
  }
  rollout.cut ??= d.clock;
  return d.clock - rollout.cut <= 4 * silent;
}

const NOWHERE = { site: '', rack: null };

/**
 * Rolls failed nodes back, each on its own, before anything new starts; a node that is not under way needs a slot
 * first.
 */
export function restoreFailed(d: Draft) {
  if (d.total('failed') === 0) return;
  const limits = limitsOf(d.setup, d.rollout.wave);
  for (const id of d.active()) {
    const known = d.peek(id)!;
    if (known.state !== 'failed') continue;
    if (!known.slot && blockedBy(limits, d.rollout.inFlight, known) !== null) continue;
    const node = d.edit(id);
    d.takeSlot(node);
    startRollback(d, node, node.why);
  }
}

const BACK: readonly NodeStep['state'][] = ['rolled-back', 'taken-back', 'needs-recovery', 'skipped'];
/** An order has told it to restart already. */
const RESTARTS: readonly NodeStep['state'][] = ['activating', 'rolling-back'];

/**
 * Rolls back everything touched, newest first. Windows do not delay it: a bad version is worse than a restart.
 * @returns whether nothing is left to roll back
 */
export function unwind(d: Draft): boolean {
  const { rollout } = d;
  if (d.clock < rollout.resync) return false;
  const limits = limitsBack(d.setup);
  let left = false;
  // One that is dead cannot be told anything: it waits without a slot, so that those that live go first. One that is up
  // is disrupted once more, by the limits of the way back. All slots that come free so are known before the newest one
  // takes one.
  for (const id of d.active()) {
    const known = d.peek(id)!;
    if (known.slot && (isDead(d, known) || !RESTARTS.includes(known.state))) d.freeSlot(d.edit(id));
  }
  for (let touch = rollout.undo; touch > 0; touch -= 1) {
    const id = d.touchedAt(touch);
    const known = id === undefined ? undefined : d.peek(id);
    if (known === undefined || known.touch !== touch || BACK.includes(known.state) || known.taken) {
      if (rollout.undo === touch) rollout.undo -= 1;
      continue;
    }
    left = true;
    if (isDead(d, known)) {
      giveUp(d, known);
      continue;
    }
    const isUp = hasOnlyFile(known);
    if (known.state === 'rolling-back' && (known.slot || isUp)) continue;
    if (!known.slot && !isUp) {
      const blocked = blockedBy(limits, rollout.inFlight, known);
      if (blocked === 'whole' && d.total('activating', 'staging', 'staged') === 0) break;
      if (blocked !== null) continue;
    }
    const node = d.edit(known.node);
    if (!isUp) d.takeSlot(node);
    if (node.state !== 'rolling-back') startRollback(d, node, rollout.spent ?? rollout.why);
  }
  return !left;
}

const isDead = (d: Draft, node: Readonly<NodeStep>) =>
  !node.reachable || (node.heard !== null && quietOf(d, node) > d.setup.spec.timeouts.silent);

/** A dead node gives its slot back, and when its time is over somebody has to look at it. */
function giveUp(d: Draft, known: Readonly<NodeStep>) {
  const { rollback } = d.setup.spec.timeouts;
  if (Math.min(unheardFor(d, known), d.clock - d.rollout.turned) <= rollback) return;
  if (known.heard !== null && waitsForOthers(d) && silenceIn(d, known).verdict !== 'alone') return;
  const node = d.edit(known.node);
  d.move(node, 'needs-recovery', 'it was not reached to be taken back');
}
