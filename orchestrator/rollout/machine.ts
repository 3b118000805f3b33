/** One node's events: reports, answers to commands, coming and going. */

import { isOver } from './blame.ts';
import { commandFor, wantedOf } from './command.ts';
import type { Draft } from './draft.ts';
import type { NodeEvent } from './event.ts';
import { weighRefusals } from './hold.ts';
import { FREE, waitsStaged } from './node-step.ts';
import { attested, leaveOut, onReport } from './report.ts';
import { commandAnew, fail, isStaged, retry } from './step.ts';
import { comesBack, leaveTo } from './yield.ts';

function onRefused(d: Draft, event: Extract<NodeEvent, { type: 'refused' }>) {
  const known = d.peek(event.node);
  if (known === undefined || event.epoch !== known.epoch || commandFor(d.setup, known) === null) return;
  const node = d.edit(event.node);
  if (event.blame === 'clock' || event.blame === 'rules' || event.blame === 'order') {
    const why = event.why;
    node.blocked = { by: event.blame, why, since: node.blocked?.since ?? d.clock };
    node.why = why;
    weighRefusals(d);
  } else if (event.blame === 'number') {
    // No higher epoch was ever signed, so no node ever saw one.
    node.epoch = event.has;
    commandAnew(d, node, event.why);
  } else if (event.code === 'stale-epoch') {
    node.epoch = Math.max(node.epoch, event.has);
    commandAnew(d, node, event.why);
  } else if (node.state === 'rolling-back' || event.code === 'other-boot') {
    // A rollback is repeated until its time is over; a restarted node is about to report.
    node.why = event.why;
  } else if (event.code === 'refuses-version') fail(d, node, event.why);
  else retry(d, node, event.why, event.blame);
}

/** The boot server's verdict on the quote of one boot. */
function onAttested(d: Draft, event: Extract<NodeEvent, { type: 'attested' }>) {
  const known = d.peek(event.node);
  // A refused machine has no certificate and cannot report: the verdict is all that is known of that boot.
  const isRefused =
    known?.state === 'activating' &&
    d.setup.target.of === 'image' &&
    !event.ok &&
    event.image === wantedOf(known) &&
    event.bootId !== known.bootBefore;
  const isBooted = known?.state === 'booted' && known.bootId === event.bootId;
  if (!isRefused && !isBooted) return;
  const node = d.edit(event.node);
  if (event.ok) attested(d, node, event.why);
  else fail(d, node, `attestation failed: ${event.why}`);
}

/** Heartbeats of a node that is not asked any more: done, in a finished wave; or waiting with its file. */
function onSeen(d: Draft, { node: id, as }: Extract<NodeEvent, { type: 'seen' }>) {
  const known = d.peek(id);
  if (known !== undefined && waitsStaged(known) && as !== 'silent') {
    const isIll = as === 'ill';
    if (isIll !== (known.sick !== null)) d.edit(id).sick = isIll ? d.clock : null;
    return;
  }
  if (known?.state !== 'done' || known.taken || !isOver(d, known)) return;
  const away = as === 'silent' ? (known.away ?? d.watched) : null;
  const sick = as === 'ill' ? (known.sick ?? d.clock) : as === 'well' ? null : known.sick;
  if (away === known.away && sick === known.sick) return;
  const node = d.edit(id);
  node.away = away;
  node.sick = sick;
  if (away === null) node.lost = null;
}

export function onNodeEvent(d: Draft, event: NodeEvent) {
  switch (event.type) {
    case 'report':
      return onReport(d, event.node, event.report);
    case 'staged': {
      const known = d.peek(event.node);
      if (known?.state !== 'staging' || known.epoch !== event.epoch) return;
      const node = d.edit(event.node);
      node.blocked = null;
      node.heard ??= d.watched;
      d.move(node, 'staged', isStaged(d, node) ? `has ${wantedOf(node)} on disk` : 'can have it');
      return;
    }
    case 'refused':
      return onRefused(d, event);
    case 'begun': {
      const known = d.peek(event.node);
      if (
        known === undefined ||
        known.epoch !== event.epoch ||
        known.told ||
        commandFor(d.setup, known) === null
      )
        return;
      const node = d.edit(event.node);
      node.told = true;
      node.since = d.clock;
      return;
    }
    case 'seen':
      return onSeen(d, event);
    case 'taken': {
      const known = d.peek(event.node);
      if (known === undefined || known.taken) return;
      if (comesBack(known)) return leaveTo(d, event.node, event.by);
      if (!FREE.includes(known.state)) return;
      const node = d.edit(event.node);
      node.taken = true;
      node.why = `${event.by} has it`;
      return;
    }
    case 'attested':
      return onAttested(d, event);
    case 'unfit': {
      const known = d.peek(event.node);
      if (known?.state === 'staging') leaveOut(d, d.edit(event.node), event.why);
      return;
    }
    case 'reachable':
    case 'unreachable': {
      const reachable = event.type === 'reachable';
      const known = d.peek(event.node);
      if (known === undefined || known.reachable === reachable) return;
      const node = d.edit(event.node);
      // Until now it was heard, by its heartbeats at least.
      if (waitsStaged(known)) node.heard = d.watched;
      node.reachable = reachable;
      return;
    }
    case 'removed': {
      const known = d.peek(event.node);
      if (known === undefined || known.state === 'skipped') return;
      const node = d.edit(event.node);
      node.left = true;
      d.move(node, 'skipped', event.why);
      d.freeSlot(node);
      d.rollout.gone += 1;
      return;
    }
    case 'joined':
      // The caller of `advance` handles it: it needs a place.
      return;
  }
}
