/** How a node's own report changes its step. Only here is a node accepted as being on a version. */

import { commandFor, wantedOf } from './command.ts';
import { type Draft, gapOf } from './draft.ts';
import type { Report } from './event.ts';
import { healthOf, isUp, watch } from './health.ts';
import { type NodeStep, type StepState, waitsStaged } from './node-step.ts';
import type { Target } from './place.ts';
import { coming, projected, restartsIn, runsNothing, shownVersion } from './services.ts';
import { bakeOf, commandAnew, fail, gatesOf, startActivate, startStage } from './step.ts';
import { leaveTo, waitAgain } from './yield.ts';

/** It is on a version of its path, but this record did not send it there: lost writes, or a person did it. */
function adopt(d: Draft, node: NodeStep, hop: number, report: Report) {
  node.hop = hop;
  node.lastGood = hop > 0 ? node.hops[hop - 1]! : node.from;
  d.touch(node);
  enterBooted(d, node, report, `found on ${shownVersion(wantedOf(node))}`);
}

function enterBooted(d: Draft, node: NodeStep, report: Report, why: string) {
  // It may have given its slot away, or lost it in an outage.
  d.takeSlot(node);
  d.move(node, 'booted', why);
  node.sent = null;
  if (d.setup.target.of === 'service') node.begun = restartsIn(wantedOf(node), report.instances);
  const gates = gatesOf(d, node.wave);
  node.sick = healthOf(d, node, report) === null ? null : d.clock;
  const measured = gates.some((gate) => gate.kind === 'attested' || gate.kind === 'pcr11');
  const demanded = d.setup.target.of === 'image' && measured;
  // No boot comes with a configuration, so no quote either.
  if (!demanded) attested(d, node, 'no attestation demanded');
}

export function attested(d: Draft, node: NodeStep, why: string) {
  d.move(node, 'attested', why);
  d.move(node, 'baking', `baking ${shownVersion(wantedOf(node))}`);
}

/** Only a report finishes a bake: it shows that the node is well at its end. */
function finishBake(d: Draft, node: NodeStep) {
  const last = node.hop === node.hops.length - 1;
  if (last) {
    d.move(node, 'done', `on ${shownVersion(wantedOf(node))}`);
    d.freeSlot(node);
    return;
  }
  const { state, yields } = d.rollout;
  if (state === 'running' || yields !== undefined) {
    node.lastGood = wantedOf(node);
    node.hop += 1;
    node.attempts = 0;
    node.flaps = 0;
    if (yields !== undefined) return waitAgain(d, node, `${yields.to} goes first`, true);
    d.touch(node);
    startStage(d, node, `next: ${wantedOf(node)}`);
  } else if (state === 'aborting') {
    d.move(node, 'skipped', `stopped on ${wantedOf(node)}, on its way to ${d.setup.target.version}`);
    d.freeSlot(node);
  }
}

/** A report with no news about a node that is not under way is not worth a write. */
function isNews(d: Draft, node: Readonly<NodeStep>, report: Report, runs: string | null): boolean {
  const idle = ['pending', 'done', 'rolled-back', 'taken-back'].includes(node.state) || waitsStaged(node);
  if (!idle) return node.state !== 'skipped';
  return (
    node.heard === null ||
    (!waitsStaged(node) && d.watched - node.heard > d.setup.spec.timeouts.silent / 4) ||
    lostFile(d, node, report) ||
    node.bootId !== report.bootId ||
    node.running !== runs ||
    !node.reachable ||
    node.lost !== null ||
    (node.begun !== undefined && restartsIn(d.setup.target.version, report.instances) > node.begun) ||
    node.term !== d.rollout.term ||
    report.epoch > node.epoch ||
    (node.sick === null) !== (healthOf(d, node as NodeStep, report) === null)
  );
}

/** It waits with a file that is not on its disk any more: somebody has installed it anew, or put another file in its place. */
function lostFile(d: Draft, node: Readonly<NodeStep>, { files, image }: Report): boolean {
  const { target, spec } = d.setup;
  if (!waitsStaged(node) || node.how !== 'disk' || target.of !== 'image') return false;
  // On a disk that keeps nothing it would be fetched for ever: the restart will show it.
  if (node.attempts >= spec.attempts) return false;
  return files?.includes(image) === true && !files.includes(wantedOf(node));
}

/** What it has of what the rollout moves; null: nothing, or its image knows no such thing. */
function runsOf({ of, version }: Target, { image, config, instances }: Report): string | null {
  if (of === 'service') return instances === undefined ? null : projected(version, instances);
  return of === 'image' ? image : config;
}

export function onReport(d: Draft, id: string, report: Report) {
  const known = d.peek(id);
  if (known === undefined || report.seq <= known.seq) return;
  const runs = runsOf(d.setup.target, report);
  if (!isNews(d, known, report, runs)) return;
  const before = known.state;
  const node = d.edit(id);
  const restarted = node.bootId !== null && node.bootId !== report.bootId;
  node.seq = report.seq;
  node.heard = d.watched;
  node.reachable = true;
  node.running = runs;
  node.bootId = report.bootId;
  const accepted = report.epoch >= node.epoch;
  node.lost = null;
  node.away = null;
  if (accepted && commandFor(d.setup, node) !== null) {
    node.told = true;
    node.blocked = null;
  }
  const isUsedUp = node.term === d.rollout.term && report.epoch > node.epoch;
  if (node.term !== d.rollout.term) {
    // Above anything that may have been ordered and forgotten, so that no epoch ever means two things.
    node.epoch = Math.max(node.epoch, report.epoch) + gapOf(d.rollout.term);
    node.term = d.rollout.term;
    node.sent = null;
  } else if (isUsedUp) {
    if (isAnothers(d, node, runs)) node.taken = true;
    // The node's own epoch is above ours: our record was restored from an older state.
    node.epoch = report.epoch;
    node.sent = null;
  }
  if (!node.taken) consider(d, node, report, { runs, restarted, accepted, first: known.heard === null });
  if (node.sent !== null || commandFor(d.setup, node) === null) return;
  if (isUsedUp && node.state === before) commandAnew(d, node, `it knows epoch ${report.epoch} already`);
  else d.command(node);
}

/**
 * Whether another rollout has moved it since it was done, and is responsible for it. Where writes may have been lost, its last
 * good version may be our own way back, forgotten: several failovers leave different gaps, and such an order may be above all
 * that we know. If it is another's after all, the fleet says so (`taken`), and our way back leads to what it runs already.
 */
function isAnothers({ rollout }: Draft, node: Readonly<NodeStep>, runs: string | null): boolean {
  if (node.state !== 'done' || runs === wantedOf(node)) return false;
  return rollout.term === 0 || runs !== node.lastGood;
}

/** States in which it has been given nothing yet. */
const ASKED: readonly StepState[] = ['pending', 'staging', 'staged', 'activating'];

/** What the rollout brings is nothing for it. */
export function leaveOut(d: Draft, node: NodeStep, why: string) {
  d.move(node, 'skipped', why);
  d.freeSlot(node);
}

type Seen = { runs: string | null; restarted: boolean; accepted: boolean; first: boolean };

function consider(d: Draft, node: NodeStep, report: Report, seen: Seen) {
  if (d.setup.target.of === 'service' && seen.runs === null && ASKED.includes(node.state))
    return leaveOut(d, node, 'its image knows no services');
  const wanted = wantedOf(node);
  const { runs } = seen;
  const wrong = () =>
    `runs ${shownVersion(runs ?? 'nothing')} instead of ${shownVersion(wanted)}${report.reason ? `: ${report.reason}` : ''}`;
  switch (node.state) {
    case 'pending': {
      const trouble = healthOf(d, node, report);
      if (seen.first && trouble !== null) node.ill = true;
      node.sick = trouble === null ? null : (node.sick ?? d.clock);
      if (runs === node.lastGood || lacks(d, runs)) return;
      // The one that goes first has brought it something.
      if (d.rollout.yields !== undefined && seen.restarted) return leaveTo(d, node.node, d.rollout.yields.to);
      if (d.rollout.state === 'planned' || d.rollout.state === 'awaiting-approval') return;
      // The same boot cannot run another image: this report is not to be trusted.
      if (d.setup.target.of === 'image' && !seen.restarted) return;
      const hop = runs === null ? -1 : node.hops.indexOf(runs, node.hop);
      if (hop >= 0) adopt(d, node, hop, report);
      else
        d.move(node, 'skipped', `runs ${shownVersion(runs ?? 'nothing')} now, which the plan did not know`);
      return;
    }
    case 'staging':
    case 'staged': {
      // It still runs the old one: other nodes are compared with it.
      node.sick = healthOf(d, node, report) === null ? null : (node.sick ?? d.clock);
      considerOrdered(d, node, report, seen, wrong);
      if (lostFile(d, node, report)) startStage(d, node, `again: ${wanted} is not on its disk any more`);
      return;
    }
    case 'activating':
      return considerOrdered(d, node, report, seen, wrong);
    case 'booted':
    case 'attested':
    case 'baking':
      if (forgot(d, node, seen)) return bringAgain(d, node);
      if (runs !== wanted) return fail(d, node, wrong());
      watch(d, node, report, seen.restarted);
      if (node.state !== 'baking' && node.state !== 'booted') return;
      // What an earlier boot showed proves nothing about this one.
      if (seen.restarted) return enterBooted(d, node, report, 'restarted by itself');
      if (
        node.state === 'baking' &&
        node.sick === null &&
        d.clock - node.since >= bakeOf(d, node.wave, 'node')
      ) {
        finishBake(d, node);
      }
      return;
    case 'done':
      if (forgot(d, node, seen)) return bringAgain(d, node);
      if (runs !== wanted) return fail(d, node, wrong());
      if (d.peekWave(node.wave).state !== 'done') watch(d, node, report, seen.restarted);
      return;
    case 'rolling-back':
      if (runs !== node.lastGood || !seen.accepted) return;
      if (d.setup.target.of === 'service') {
        const comes = coming(runs ?? '', report.instances);
        if (comes !== null) {
          node.why = comes.why;
          return;
        }
      }
      return backAgain(d, node, `back on ${shownVersion(runs ?? 'no configuration')}`);
    case 'rolled-back':
    case 'taken-back':
      // It was rolled back and comes up with the bad version again: do not repeat it.
      if (runs === wanted && !forgot(d, node, seen))
        d.move(node, 'needs-recovery', `rolled back, yet runs ${shownVersion(wanted)} again`);
      return;
    case 'needs-recovery':
      // It was left behind in an outage, and is now where it should be after all.
      if (runs === wanted && node.excused !== null && !node.failed && d.rollout.state === 'running') {
        node.excused = null;
        d.rollout.excused -= 1;
        return enterBooted(d, node, report, `heard again on ${shownVersion(wanted)}`);
      }
      if (runs === node.lastGood && seen.accepted)
        backAgain(d, node, 'came back late, on the last good version');
      return;
    default:
      return;
  }
}

/** Without its earlier configuration or services, for whatever reason: nothing prevents the new ones. */
function lacks(d: Draft, runs: string | null): boolean {
  const { of } = d.setup.target;
  if (of === 'service') return runs !== null && runsNothing(runs);
  return of === 'config' && runs === null;
}

/** A diskless node starts without orders, so without a configuration and services: that is not its fault. */
function forgot(d: Draft, node: Readonly<NodeStep>, { runs, accepted }: Seen): boolean {
  return lacks(d, runs) && node.how === 'network' && !accepted;
}

/** The same again, unless it restarted too often. */
function bringAgain(d: Draft, node: NodeStep) {
  node.flaps += 1;
  if (node.flaps > d.setup.spec.flaps) return fail(d, node, 'restarts by itself');
  d.takeSlot(node);
  startActivate(d, node, 'restarted, and had no disk to keep it on');
}

function backAgain(d: Draft, node: NodeStep, why: string) {
  const own = node.failed || node.excused !== null;
  d.move(node, own ? 'rolled-back' : 'taken-back', why);
  d.freeSlot(node);
}

const VERBS = { image: 'booted', config: 'applied', service: 'started' } as const;

function considerOrdered(d: Draft, node: NodeStep, report: Report, seen: Seen, wrong: () => string) {
  const wanted = wantedOf(node);
  const { of } = d.setup.target;
  if (seen.runs === wanted) {
    // A configuration is applied without a restart; an image is believed only from another boot.
    const fresh =
      of === 'image' ? report.bootId !== node.bootBefore : node.state === 'activating' && seen.accepted;
    if (!fresh || (of === 'service' && !isUp(d, node, report))) return;
    const verb = VERBS[of];
    // It was staged ahead, and restarted by itself.
    d.takeSlot(node);
    return enterBooted(d, node, report, `${verb} ${shownVersion(wanted)}`);
  }
  if (report.failed.includes(wanted)) return fail(d, node, wrong());
  if (lacks(d, seen.runs)) return;
  if (seen.runs !== node.lastGood) return fail(d, node, wrong());
  if (report.bootId === node.bootBefore || of !== 'image') return;
  if (node.state === 'activating' && seen.accepted) return fail(d, node, `fell back: ${wrong()}`);
  // It restarted before the order reached it.
  node.bootBefore = report.bootId;
  if (node.state === 'activating') d.command(node);
}
