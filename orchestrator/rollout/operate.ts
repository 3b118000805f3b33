/** What operators may do, and when. */
import { isGoingBack } from './after.ts';
import { stagedAhead } from './ahead.ts';
import type { Draft } from './draft.ts';
import { edited } from './edited.ts';
import type { OperatorEvent } from './event.ts';
import { leaveBehind, listenAnew } from './hold.ts';
import { isAhead } from './node-step.ts';
import { keepsFile, takeFileBack } from './step.ts';
import { gateAt, passGate, pause } from './wave.ts';
import { standStill, stayPaused } from './yield.ts';

const OPERATIONS = [
  ...['start', 'approve', 'pause', 'resume', 'skip', 'skip-wave', 'include', 'include-wave'],
  ...['promote', 'edit', 'abort', 'rollback', 'supersede', 'preempt', 'wait', 'close'],
];

export function isOperator(event: { type: string }): event is OperatorEvent {
  return OPERATIONS.includes(event.type);
}

function refuse(d: Draft, event: OperatorEvent, next: string, what?: string) {
  const state = `the rollout is ${d.rollout.state}`;
  d.refusals.push({ code: 'ROLLOUT_CANNOT', what: `cannot ${event.type}: ${what ?? state}`, next });
}

export function onOperator(d: Draft, event: OperatorEvent) {
  const { rollout } = d;
  const { state } = rollout;
  if (d.ended) return refuse(d, event, 'plan a new rollout (with downgrade to go back)');
  if (state === 'waiting') return onWaiting(d, event);
  switch (event.type) {
    case 'start':
      if (state !== 'planned') return refuse(d, event, 'see rollout show');
      // Some may have been given while it waited.
      if (rollout.approvals.length < d.setup.spec.approvals.count) {
        return d.setState('awaiting-approval', `${d.setup.spec.approvals.count} approvals wanted`, event.by);
      }
      return d.setState('running', 'started', event.by);
    case 'approve':
      return event.wave === undefined ? approveStart(d, event) : approveWave(d, event, event.wave);
    case 'pause':
      if (rollout.yields !== undefined) return stayPaused(d, event);
      if (rollout.held !== null) {
        // It would have continued by itself; now a person has to resume it.
        rollout.held = null;
        return d.setState('paused', event.why, event.by);
      }
      if (state !== 'running' && state !== 'rolling-back')
        return refuse(d, event, 'only what runs can be paused');
      return pause(d, event.why, event.by);
    case 'resume':
      return resume(d, event);
    case 'skip':
      return skip(d, event);
    case 'skip-wave': {
      if (event.wave < 0 || event.wave >= d.waveCount || d.peekWave(event.wave).state === 'done') {
        return refuse(d, event, 'name a wave that is not done', `wave ${event.wave} is not to come`);
      }
      const { name } = d.setup.waves[event.wave]!;
      const known = d.peekWave(event.wave);
      if (known.counts.pending === 0 && !stagedAhead(d).some(({ wave }) => wave === event.wave)) {
        const next = gateAt(d, known) === undefined ? 'see rollout show' : 'promote it past its gate instead';
        return refuse(d, event, next, `no node of ${name} waits any more`);
      }
      const wave = d.wave(event.wave);
      wave.skipped = true;
      return d.noteWave(wave, `skipped: ${event.why}`, event.by);
    }
    case 'include-wave': {
      const known = d.setup.waves[event.wave] === undefined ? undefined : d.peekWave(event.wave);
      if (known?.skipped !== true || known.state === 'done')
        return refuse(d, event, 'see rollout show', 'that wave is not skipped, or over');
      const wave = d.wave(event.wave);
      wave.skipped = false;
      return d.noteWave(d.peekWave(event.wave), 'taken in again', event.by);
    }
    case 'include': {
      const known = d.peek(event.node);
      const isOver = known === undefined || d.peekWave(known.wave).state === 'done';
      if (known?.state !== 'skipped' || known.touch > 0 || known.left || known.taken || isOver)
        return refuse(d, event, 'see rollout show', 'that node was not left out, or its wave is over');
      const wave = d.wave(known.wave);
      wave.next = Math.min(wave.next, known.position);
      return d.move(d.edit(event.node), 'pending', `taken in again by ${event.by}`);
    }
    case 'promote':
      return promote(d, event);
    case 'edit':
      return edit(d, event);
    case 'abort':
      if (state === 'aborting') return;
      if (state === 'planned' || state === 'awaiting-approval')
        return d.setState('aborted', event.why, event.by);
      return d.setState('aborting', event.why, event.by);
    case 'rollback':
      if (state === 'planned' || state === 'awaiting-approval') return refuse(d, event, 'abort it instead');
      if (state === 'rolling-back') return;
      return d.setState('rolling-back', event.why, event.by);
    case 'supersede':
      return supersede(d, event);
    case 'preempt':
      return standStill(d, event, (next, what) => refuse(d, event, next, what));
    case 'wait':
    case 'close':
      return refuse(d, event, 'see rollout show');
  }
}

/** Nothing is planned yet: only who decides whether it will be is heard. */
function onWaiting(d: Draft, event: OperatorEvent) {
  const { rollout, setup } = d;
  const { after } = setup;
  switch (event.type) {
    case 'abort':
      return d.setState('aborted', event.why, event.by);
    case 'supersede':
      return supersede(d, event);
    case 'close':
      return d.setState('done', event.why, event.by);
    case 'approve':
      if (event.wave !== undefined || setup.spec.approvals.count === 0) break;
      if (after?.how !== 'then') return approveStart(d, event);
      return refuse(d, event, `approve ${after.rollout}`, 'who approves the first part approves all of them');
    case 'wait':
      if (event.stalled) rollout.wait = 'stalled';
      if (rollout.why !== event.why) d.setState('waiting', event.why, event.by);
      return;
    case 'resume':
      if (rollout.wait !== 'stalled') break;
      rollout.wait = 'go';
      return d.setState('waiting', `it starts on the word of ${event.by}`, event.by);
  }
  refuse(d, event, `it starts once ${after?.rollout} has ended; 'rollout abort' drops it`);
}

/** As an abort, but what goes back goes back: a version that is known to be bad is not kept for a new one. */
function supersede(d: Draft, event: Extract<OperatorEvent, { type: 'supersede' }>) {
  const { state } = d.rollout;
  if (state === 'aborting') return;
  if (isGoingBack(d.rollout)) return refuse(d, event, `${event.with} starts when everything is back`);
  const isUnderWay = state === 'running' || state === 'paused';
  d.setState(isUnderWay ? 'aborting' : 'aborted', `superseded by ${event.with}`, event.by);
}

type Approval = Extract<OperatorEvent, { type: 'approve' }>;
type Promotion = Extract<OperatorEvent, { type: 'promote' }>;
type Editing = Extract<OperatorEvent, { type: 'edit' }>;

/** Four eyes: the author never counts, nobody counts twice. */
function approveStart(d: Draft, event: Approval) {
  const { rollout, setup } = d;
  const { approvals } = setup.spec;
  const waits = rollout.state === 'waiting';
  if (rollout.state !== 'awaiting-approval' && !waits) return refuse(d, event, 'see rollout show');
  if (!isAnother(d, event)) return;
  if (approvals.from !== undefined && !approvals.from.includes(event.by)) {
    return refuse(
      d,
      event,
      `ask one of ${approvals.from.join(', ')}`,
      `${event.by} is not among the approvers`,
    );
  }
  if (rollout.approvals.some((approval) => approval.by === event.by)) return;
  const { person = [] } = event;
  const same = rollout.approvals.find((approval) => share(approval.person ?? [], person) !== undefined);
  if (same !== undefined)
    return refuse(d, event, 'ask somebody else', `${event.by} and ${same.by} could be one person`);
  // Not pushed: what was there before is compared with it.
  rollout.approvals = [...rollout.approvals, { by: event.by, at: d.at, person }];
  const given = rollout.approvals.length;
  d.notes.push({
    what: 'rollout',
    id: rollout.id,
    from: rollout.state,
    to: rollout.state,
    why: `approval ${given} of ${approvals.count}`,
    by: event.by,
  });
  if (given >= approvals.count && !waits) d.setState('running', 'approved', event.by);
}

/** Names tell people apart only where a certificate stands behind each: root can call itself anything. */
function isAnother(d: Draft, event: Approval | Promotion | Editing): boolean {
  const { setup } = d;
  if (event.person === undefined) {
    refuse(d, event, 'give --as FILE', `${event.by} is known by no certificate, and could be anybody`);
    return false;
  }
  const common = share(setup.person ?? [nameOf(setup.author)], event.person);
  if (common === undefined) return true;
  const why = event.by === setup.author ? '' : `: ${common} could be both`;
  const does = event.type === 'edit' ? 'change what others approved' : 'approve';
  refuse(d, event, 'ask somebody else', `the author cannot ${does}${why}`);
  return false;
}

const share = (a: readonly string[], b: readonly string[]): string | undefined =>
  a.find((name) => b.includes(name));

/** `ann` of `operator:ann` and of `operator:ann@host`. */
const nameOf = (actor: string): string => actor.replace(/^operator:/, '').replace(/@.*$/, '');

function approveWave(d: Draft, event: Approval, index: number) {
  const { approvals } = d.setup.spec;
  if (index !== d.rollout.wave || gateAt(d, d.peekWave(index))?.kind !== 'manual') {
    return refuse(d, event, 'see rollout show', `wave ${index} does not wait for an approval`);
  }
  if (approvals.count > 0 && !isAnother(d, event)) return;
  const wave = d.wave(index);
  d.noteWave(wave, 'approved', event.by);
  passGate(wave);
}

/** Past any gate. Where the rollout wants four eyes, the author's are not the other two. */
function promote(d: Draft, event: Promotion) {
  const gate = event.wave === d.rollout.wave ? gateAt(d, d.peekWave(event.wave)) : undefined;
  if (gate === undefined) return refuse(d, event, 'see rollout show', 'that wave waits at no gate');
  if (d.setup.spec.approvals.count > 0 && !isAnother(d, event)) return;
  d.noteWave(d.peekWave(event.wave), `past gate ${gate.kind}: ${event.why}`, event.by);
  passGate(d.wave(event.wave));
}

function edit(d: Draft, event: Editing) {
  const { notAfter, whole } = event.changes;
  // What others have approved is not changed by its author alone.
  if (d.setup.spec.approvals.count > 0 && !isAnother(d, event)) return;
  if (typeof notAfter === 'number' && notAfter <= d.at)
    return refuse(d, event, 'name a time to come', 'notAfter would be past');
  if (whole !== undefined && !(Number.isSafeInteger(whole) && whole > 0))
    return refuse(d, event, 'name a number of nodes', 'whole must be more than nobody');
  const { rollout } = d;
  const { budget, whole: atOnce, ...others } = event.changes;
  const goesBack = rollout.state === 'rolling-back' || rollout.before === 'rolling-back';
  const changes = goesBack && atOnce !== undefined ? { ...others, wholeBack: atOnce } : event.changes;
  rollout.edits = {
    ...rollout.edits,
    ...changes,
    ...(budget === undefined ? {} : { budget: { ...rollout.edits.budget, ...budget } }),
  };
  d.setup = edited(d.setup, changes);
  const why = `edited: ${JSON.stringify(event.changes)}`;
  d.notes.push({
    what: 'rollout',
    id: rollout.id,
    from: rollout.state,
    to: rollout.state,
    why,
    by: event.by,
  });
}

/** Resuming accepts the failures so far: the budget counts from here. */
function resume(d: Draft, event: OperatorEvent) {
  const { rollout } = d;
  if (rollout.state !== 'paused') return refuse(d, event, 'only what is paused can be resumed');
  if (rollout.yields !== undefined) {
    const { to } = rollout.yields;
    return refuse(d, event, `wait until ${to} has ended, or abort that one`, `it stands still for ${to}`);
  }
  const to = rollout.before ?? 'running';
  const { notAfter } = d.setup.spec;
  if (to === 'running' && notAfter !== undefined && d.at >= notAfter) {
    const when = new Date(notAfter).toISOString();
    return refuse(d, event, 'move notAfter (rollout edit), or abort it', `notAfter (${when}) has come`);
  }
  if (to === 'running' && rollout.held !== null) {
    leaveBehind(d, event.by);
    listenAnew(d);
  }
  if (to === 'running') {
    rollout.spent = null;
    rollout.forgiven = rollout.failures;
    for (let index = 0; index <= rollout.wave; index += 1) {
      const wave = d.wave(index);
      wave.forgiven = wave.failures;
    }
    const wave = d.wave(rollout.wave);
    if (wave.counts.done === 0) wave.waived = true;
  }
  d.setState(to, 'resumed', event.by);
}

function skip(d: Draft, event: Extract<OperatorEvent, { type: 'skip' }>) {
  const known = d.peek(event.node);
  if (known === undefined)
    return refuse(d, event, 'see rollout show', `${event.node} is not in this rollout`);
  if (known.state === 'skipped') return;
  if (isAhead(known) || keepsFile(d, known))
    return takeFileBack(d, d.edit(event.node), `${event.by}: ${event.why}`);
  if (known.state !== 'pending' || known.touch > 0) {
    return refuse(d, event, 'pause or roll back instead', `${known.name} is ${known.state}, not waiting`);
  }
  d.move(d.edit(event.node), 'skipped', `${event.by}: ${event.why}`);
}
