/** The cause before the blame: where one node's trouble comes from, judged by what the rollout knows of all others. */
import { type Cause, describe } from '../causes/cause.ts';
import { illnessOf, type Patient } from '../causes/illness.ts';
import type { Blame } from '../causes/refusal.ts';
import { afterwards, type Peer, type Silence, silenceOf } from '../causes/silence.ts';
import type { Draft } from './draft.ts';
import { isAhead, type NodeStep, type StepState, waitsStaged } from './node-step.ts';

/** States in which a node runs what the rollout brings. */
const CHANGED: readonly StepState[] = ['booted', 'attested', 'baking', 'done', 'failed'];
/** States in which a node is not asked, or is away because an order told it to restart. */
const NOBODY: readonly StepState[] = ['skipped', 'needs-recovery'];
const RESTARTING: readonly StepState[] = ['activating', 'rolling-back'];

/** Milliseconds since its last message, counted only while somebody listened. */
export function quietOf(d: Draft, node: Readonly<NodeStep>): number {
  const { listening } = d.rollout;
  // In a finished wave its heartbeats are watched, and it counts as heard until they are missing.
  if (node.state === 'done' && isOver(d, node)) {
    if (node.away === null) return 0;
    return d.watched - Math.max(node.away, listening);
  }
  // Nobody asks those that wait with their file: they count as heard until their heartbeats are missing.
  if (waitsStaged(node) && node.reachable) return 0;
  return unheardFor(d, node);
}

/** As `quietOf`, by its own reports alone: what its heartbeats say may not have been passed on. */
export function unheardFor(d: Draft, node: Readonly<NodeStep>): number {
  return d.watched - Math.max(node.heard ?? 0, d.rollout.listening);
}

/** Whether its wave is finished: then only its heartbeats are watched. */
export function isOver(d: Draft, node: Readonly<NodeStep>): boolean {
  return d.peekWave(node.wave).state === 'done';
}

/** Everybody who should answer now. */
function peersOf(d: Draft, suspect: string): Peer[] {
  const { silent } = d.setup.spec.timeouts;
  const peers: Peer[] = [];
  for (const node of d.everybody()) {
    if (NOBODY.includes(node.state) || node.taken || node.heard === null) continue;
    const quiet = quietOf(d, node);
    if (RESTARTING.includes(node.state) && quiet >= silent / 2 && node.node !== suspect) continue;
    // Known to be offline by itself: it says nothing about its place.
    if (node.lost !== null && node.node !== suspect) continue;
    const isDone = node.state === 'done' && isOver(d, node);
    const isSeen = (isDone || waitsStaged(node)) && node.node !== suspect;
    const isMissed = isDone ? node.away !== null : !node.reachable;
    peers.push({
      id: node.node,
      site: node.site,
      rack: node.rack,
      changed: CHANGED.includes(node.state) || node.node === suspect,
      // Missing heartbeats are only noticed after several.
      quiet: isSeen && isMissed ? quiet + silent : quiet,
      ...(isSeen ? { lag: silent } : {}),
    });
  }
  return peers;
}

/**
 * A place that goes silent makes all its nodes suspects at once, and each comparison reads the whole fleet: what was found
 * of one holds for its neighbours within one input.
 */
export function silenceIn(d: Draft, node: Readonly<NodeStep>): Silence {
  const { site, rack } = node;
  const shared = d.silences.shared.get(node.node);
  if (shared !== undefined) return { verdict: 'shared', cause: shared, ids: [node.node] };
  const quiet = quietOf(d, node);
  const places: Cause[] = [{ kind: 'own-uplink' }, { kind: 'site', site }];
  if (rack !== null) places.push({ kind: 'rack', site, rack });
  const early = places.find((place) => quiet <= (d.silences.early.get(describe(place)) ?? -1));
  if (early !== undefined) return { verdict: 'wait', place: early };
  const found = compare(d, node);
  if (found.verdict === 'wait') d.silences.early.set(describe(found.place), quiet);
  if (found.verdict === 'shared') for (const id of found.ids) d.silences.shared.set(id, found.cause);
  return found;
}

function compare(d: Draft, node: Readonly<NodeStep>): Silence {
  const peers = peersOf(d, node.node);
  const suspect = peers.find(({ id }) => id === node.node);
  if (suspect === undefined) return { verdict: 'alone' };
  return silenceOf(suspect, peers, { silent: d.setup.spec.timeouts.silent });
}

/**
 * Whether trouble that many share is waited out. What runs is held, and a person may go on. What goes back waits as long
 * as it does for nodes that are offline; what a person has ended waits for nothing.
 */
export function waitsForOthers({ rollout, setup, clock }: Draft): boolean {
  if (rollout.state === 'rolling-back') return clock - rollout.turned <= setup.spec.offline.wait;
  return rollout.state !== 'aborting';
}

/** What it means that a node is silent by itself that was done. */
export function goneAfterwards(d: Draft): ReturnType<typeof afterwards> {
  const { silent } = d.setup.spec.timeouts;
  let gone = 0;
  let well = 0;
  let waiting = 0;
  let lost = 0;
  for (const node of d.everybody()) {
    if (node.taken || node.heard === null) continue;
    const isSilent = quietOf(d, node) > silent;
    if (node.state === 'done') {
      if (isSilent) gone += 1;
      else well += 1;
    } else if (node.state === 'pending' || isAhead(node)) {
      waiting += 1;
      if (isSilent) lost += 1;
    }
  }
  return afterwards(gone, well, waiting === 0 ? 0 : lost / waiting);
}

/** States in which nobody asks a node how it is, or nothing has come of it yet. */
const UNASKED: readonly StepState[] = [...NOBODY, 'rolling-back', 'rolled-back', 'taken-back'];

export function illnessIn(d: Draft, suspect: Readonly<NodeStep>): Cause {
  const all: Patient[] = [];
  for (const node of d.everybody()) {
    if (UNASKED.includes(node.state) || node.taken || node.heard === null) continue;
    all.push({
      id: node.node,
      site: node.site,
      changed: CHANGED.includes(node.state) && !node.fell,
      ill: node.sick !== null,
      before: node.ill && !node.fell,
    });
  }
  const { node: id, site, ill, fell } = suspect;
  const cause = illnessOf({ id, site, changed: true, ill: true, before: ill && !fell }, all);
  return cause.kind === 'change' && fell ? { kind: 'ill-before' } : cause;
}

/** Two nodes that have the version on their disk prove that it can be downloaded; one may be an accident. */
const PROOF = 2;

/** A node that never had the version on its disk says little about it, if others have. */
export function unstaged(d: Draft, suspect: Readonly<NodeStep>, blame: Blame): Cause {
  let have = 0;
  let here = 0;
  const isFetchedFirst = d.setup.target.of !== 'service';
  for (const node of d.everybody()) {
    if (node.touch === 0 || node.node === suspect.node) continue;
    const isOrdered = node.state === 'staged' || node.state === 'activating';
    const lacks =
      node.state === 'staging' || node.state === 'failed' || (isOrdered && node.blame === 'fetch');
    if (lacks) {
      if (node.site === suspect.site && node.attempts > 1) here += 1;
    } else if (CHANGED.includes(node.state) || (isOrdered && isFetchedFirst)) have += 1;
  }
  if (have < PROOF) return { kind: 'change' };
  return blame === 'fetch' && here > 0 ? { kind: 'boot-server', site: suspect.site } : { kind: 'hardware' };
}
