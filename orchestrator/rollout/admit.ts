/** Who may start now: limits, windows, and the order of the plan. */
import { disruptedOf, heldBack, heldNow, wait, waitForLook } from './around.ts';
import { quietOf, silenceIn, unheardFor, waitsForOthers } from './blame.ts';
import { tally } from './down.ts';
import type { Draft } from './draft.ts';
import { blockedBy } from './limits.ts';
import type { NodeStep } from './record.ts';
import { defer, startActivate, startRollback, startStage } from './step.ts';
import { openingAt } from './window.ts';

/** Whether a node of a site may be disrupted at this instant; asked once per site and input. */
export function openSites(d: Draft): (site: string) => boolean {
  const { windows, notBefore, notAfter } = d.setup.spec;
  const within =
    d.clock >= d.rollout.resync &&
    (notBefore === undefined || d.at >= notBefore) &&
    (notAfter === undefined || d.at < notAfter);
  if (!within) return () => false;
  if (windows.length === 0) return () => true;
  const known = new Map<string, boolean>();
  return (site) => {
    let open = known.get(site);
    if (open === undefined) {
      open = openingAt(windows, site, d.at).open;
      known.set(site, open);
    }
    return open;
  };
}

/**
 * Activates what is staged. A node that waited for a window keeps its place and its slot; one whose place has lost others
 * gives its slot to nodes elsewhere until it may go.
 */
export function activateStaged(d: Draft, open: (site: string) => boolean) {
  if (d.total('staged') === 0) return;
  const own = disruptedOf(d);
  for (const id of d.active()) {
    const known = d.peek(id)!;
    if (known.state !== 'staged' || !known.reachable || !open(known.site)) continue;
    if (!known.slot && blockedBy(d.setup.limits, d.rollout.inFlight, known) !== null) continue;
    if (d.setup.spec.limits.down !== 'ignore' && d.rollout.around.fence === null) {
      waitForLook(d);
      continue;
    }
    const held = heldNow(d, { limits: own, last: own }, known);
    if (held !== null) {
      if (held.down > 0 && known.slot) d.freeSlot(d.edit(id));
      wait(d, known, held);
      continue;
    }
    const node = d.edit(id);
    d.takeSlot(node);
    startActivate(d, node, 'activating');
    tally(own, node);
  }
}

/** Starts nodes of the open wave in their order, as far as the limits go; one blocked site does not hold up others. */
export function admit(d: Draft, index: number, open: (site: string) => boolean) {
  const { limits, waves } = d.setup;
  const tail = waves[index]!.kind === 'tail';
  if (d.peekWave(index).skipped || d.peekWave(index).counts.pending === 0) return;
  const places = d.placesOf(index);
  const fullSites = new Set<string>();
  let isCut: boolean | undefined;
  // The tail may contain nodes of sites that the plan did not know.
  const sites = tail ? Number.POSITIVE_INFINITY : Object.keys(limits.site).length;
  for (let position = d.peekWave(index).next; position < places.length; position += 1) {
    if (blockedBy(limits, d.rollout.inFlight, NOWHERE) === 'whole') return;
    const id = places[position];
    const known = id === undefined ? undefined : d.peek(id);
    if (known === undefined || !waits(known, index, position)) {
      if (d.peekWave(index).next === position) d.wave(index).next += 1;
      continue;
    }
    if (fullSites.has(known.site)) continue;
    if (!open(known.site)) {
      fullSites.add(known.site);
      if (fullSites.size >= sites) return;
      continue;
    }
    // A node that was not heard since a failover counts as offline: it cannot safely get orders.
    const silent = known.term !== d.rollout.term || known.bootId === null;
    if (!known.reachable || silent) {
      if (tail) continue;
      isCut = isCut ?? isCutOff(d);
      if (!isCut) defer(d, d.edit(known.node), silent ? 'not heard' : 'offline when its turn came');
      continue;
    }
    const blocked = blockedBy(limits, d.rollout.inFlight, known);
    if (blocked === 'site') fullSites.add(known.site);
    if (fullSites.size >= sites) return;
    if (blocked !== null) continue;
    const held = heldBack(d, known);
    if (held !== null) {
      wait(d, known, held);
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

function waits(node: Readonly<NodeStep>, wave: number, position: number): boolean {
  return node.state === 'pending' && node.wave === wave && node.position === position;
}

/**
 * Rolls failed nodes back, each on its own, before anything new starts; a node that is not under way needs a slot
 * first.
 */
export function restoreFailed(d: Draft) {
  if (d.total('failed') === 0) return;
  for (const id of d.active()) {
    const known = d.peek(id)!;
    if (known.state !== 'failed') continue;
    if (!known.slot && blockedBy(d.setup.limits, d.rollout.inFlight, known) !== null) continue;
    const node = d.edit(id);
    d.takeSlot(node);
    startRollback(d, node, node.why);
  }
}

const BACK: readonly NodeStep['state'][] = ['rolled-back', 'taken-back', 'needs-recovery', 'skipped'];

/**
 * Rolls back everything touched, newest first. Windows do not delay it: a bad version is worse than a restart.
 * @returns whether nothing is left to roll back
 */
export function unwind(d: Draft): boolean {
  const { rollout } = d;
  if (d.clock < rollout.resync) return false;
  let left = false;
  // One that is dead cannot be told anything: it waits without a slot, so that those that live go first. All slots that
  // come free so are known before the newest one takes one.
  for (const id of d.active()) {
    const known = d.peek(id)!;
    if (known.slot && isDead(d, known)) d.freeSlot(d.edit(id));
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
    if (known.state === 'rolling-back' && known.slot) continue;
    if (!known.slot) {
      const blocked = blockedBy(d.setup.limits, rollout.inFlight, known);
      if (
        blocked === 'whole' &&
        d.total('failed', 'staging', 'staged', 'activating', 'booted', 'baking') === 0
      ) {
        break;
      }
      if (blocked !== null) continue;
    }
    const node = d.edit(known.node);
    d.takeSlot(node);
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
