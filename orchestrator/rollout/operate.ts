/** What operators may do, and when. */
import type { Draft } from './draft.ts';
import type { OperatorEvent } from './event.ts';
import { gateAt, passGate, pause } from './wave.ts';

const OPERATIONS = ['start', 'approve', 'pause', 'resume', 'skip', 'skip-wave', 'abort', 'rollback'];

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
  switch (event.type) {
    case 'start':
      if (state !== 'planned') return refuse(d, event, 'see rollout show');
      if (d.setup.spec.approvals.count > 0) {
        return d.setState('awaiting-approval', `${d.setup.spec.approvals.count} approvals wanted`, event.by);
      }
      return d.setState('running', 'started', event.by);
    case 'approve':
      return event.wave === undefined ? approveStart(d, event) : approveWave(d, event, event.wave);
    case 'pause':
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
      const wave = d.wave(event.wave);
      wave.skipped = true;
      const id = d.setup.waves[wave.index]!.name;
      d.notes.push({
        what: 'wave',
        id,
        from: wave.state,
        to: wave.state,
        why: `skipped: ${event.why}`,
        by: event.by,
      });
      return;
    }
    case 'abort':
      if (state === 'aborting') return;
      if (state === 'planned' || state === 'awaiting-approval')
        return d.setState('aborted', event.why, event.by);
      return d.setState('aborting', event.why, event.by);
    case 'rollback':
      if (state === 'planned' || state === 'awaiting-approval') return refuse(d, event, 'abort it instead');
      if (state === 'rolling-back') return;
      return d.setState('rolling-back', event.why, event.by);
  }
}

type Approval = Extract<OperatorEvent, { type: 'approve' }>;

/** Four eyes: the author never counts, nobody counts twice. */
function approveStart(d: Draft, event: Approval) {
  const { rollout, setup } = d;
  const { approvals } = setup.spec;
  if (rollout.state !== 'awaiting-approval') return refuse(d, event, 'see rollout show');
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
  rollout.approvals.push({ by: event.by, at: d.at, person });
  const given = rollout.approvals.length;
  d.notes.push({
    what: 'rollout',
    id: rollout.id,
    from: rollout.state,
    to: rollout.state,
    why: `approval ${given} of ${approvals.count}`,
    by: event.by,
  });
  if (given >= approvals.count) d.setState('running', 'approved', event.by);
}

/** Names tell people apart only where a certificate stands behind each: root can call itself anything. */
function isAnother(d: Draft, event: Approval): boolean {
  const { setup } = d;
  if (event.person === undefined) {
    refuse(d, event, 'give --as FILE', `${event.by} is known by no certificate, and could be anybody`);
    return false;
  }
  const common = share(setup.person ?? [nameOf(setup.author)], event.person);
  if (common === undefined) return true;
  const why = event.by === setup.author ? '' : `: ${common} could be both`;
  refuse(d, event, 'ask somebody else', `the author cannot approve${why}`);
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
  const id = d.setup.waves[index]!.name;
  d.notes.push({ what: 'wave', id, from: 'gated', to: 'gated', why: 'approved', by: event.by });
  passGate(wave);
}

/** Whoever resumes accepts what has failed so far: the budget counts from here. */
function resume(d: Draft, event: OperatorEvent) {
  const { rollout } = d;
  if (rollout.state !== 'paused') return refuse(d, event, 'only what is paused can be resumed');
  const to = rollout.before ?? 'running';
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
  if (known.state !== 'pending' || known.touch > 0) {
    return refuse(d, event, 'pause or roll back instead', `${known.name} is ${known.state}, not waiting`);
  }
  d.move(d.edit(event.node), 'skipped', `${event.by}: ${event.why}`);
}
