/**
 * What the agent does next, as a pure function: no clock, socket or randomness in it. Exactly one activity is under
 * way at any time; every event ends it and names the next one, so the agent can neither stall nor do two things at
 * once.
 */
import { backoff } from '../../../../base/backoff.ts';
import { newCertificate, nextAttestation, sooner } from './due.ts';
import { fail } from './failed.ts';
import { looking, nextBeat, search, urlOf, wait } from './moves.ts';
import {
  type Command,
  type Decision,
  type Event,
  type Moment,
  PACE,
  type Patch,
  type State,
  type View,
  type Work,
} from './state.ts';

export function step(state: State, event: Event, moment: Moment): [State, Command[]] {
  const patch = next(state, event, moment);
  const { view: seen, ...rest } = patch;
  const view = { ...state.view, ...seen };
  const after: State = { ...state, ...rest, view };
  const commands: Command[] = [];
  if (event.type === 'started' || !sameView(state.view, view)) commands.push({ type: 'show', view });
  if (after.hostKeyInstalled && !state.hostKeyInstalled) commands.push({ type: 'install-host-key' });
  return [after, [...commands, after.activity]];
}

function next(state: State, event: Event, moment: Moment): Patch {
  switch (event.type) {
    case 'started':
      return { activity: { type: 'identify' } };
    case 'identified':
      return event.setupMode
        ? { activity: { type: 'enrol-secure-boot' }, failures: 0, view: { phase: 'secure-boot-enrolling' } }
        : search(state);
    case 'restarting':
      return {
        activity: wait(PACE.restart, { type: 'search', thorough: false }),
        view: { notice: 'restarting' },
      };
    case 'found':
      return connect(state, event.urls, moment);
    case 'decided':
      return decide(state, event.decision, moment);
    case 'heard':
      return heard(state, event, moment);
    case 'attested':
      return { activity: nextBeat(state, urlOf(state.activity), moment), failures: 0 };
    case 'wiped':
      // What it enrols with from here on was made after the wipe.
      return { activity: { type: 'identify' }, failures: 0, view: { notice: 'its disks are wiped' } };
    case 'waited':
      return { activity: state.activity.type === 'wait' ? state.activity.before : state.activity };
    case 'failed':
      return fail(state, event.failure, moment);
  }
}

function connect(state: State, urls: readonly string[], moment: Moment): Patch {
  const [url, ...candidates] = urls;
  if (url === undefined) {
    const failures = state.failures + 1;
    return {
      activity: wait(backoff(failures, moment.random, PACE.unreachable), { type: 'search', thorough: true }),
      failures,
      view: { phase: looking(state, 'searching'), notice: 'no boot server answers on this network' },
    };
  }
  // Only the address of the server has changed: a valid certificate still counts, so no enrolment is needed.
  if (state.certificate !== null && moment.now < state.certificate.notAfter) {
    return { activity: { type: 'heartbeat', url }, candidates };
  }
  return {
    activity: { type: 'enrol', url },
    candidates,
    certificate: null,
    view: { phase: looking(state, 'enrolling') },
  };
}

function decide(state: State, decision: Decision, moment: Moment): Patch {
  const url = urlOf(state.activity);
  if (decision.state === 'pending') {
    return {
      activity: wait(decision.retryAfter * 1000 * (0.75 + moment.random / 2), { type: 'poll', url }),
      failures: 0,
      certificate: null,
      view: { phase: 'pending', words: decision.words, name: null, notice: null },
    };
  }
  if (decision.state === 'rejected') {
    const { least, most } = PACE.rejected;
    const later: Work = decision.restart ? { type: 'restart' } : { type: 'poll', url };
    return {
      activity: wait(least + (most - least) * moment.random, later),
      failures: 0,
      certificate: null,
      view: { phase: 'rejected', words: decision.words, name: null, notice: decision.reason },
    };
  }
  if (decision.state === 'held') return hold(decision, url, moment);
  const { name } = decision;
  return {
    activity: { type: 'heartbeat', url },
    failures: 0,
    hostKeyInstalled: true,
    certificate: newCertificate(decision, moment),
    view: { phase: state.view.phase === 'healthy' ? 'healthy' : 'approved', words: null, name, notice: null },
  };
}

function hold(decision: Extract<Decision, { state: 'held' }>, url: string, { random }: Moment): Patch {
  const { name, reason: notice, order, restart } = decision;
  const { least, most } = PACE.held;
  const later: Work = restart ? { type: 'restart' } : { type: 'poll', url };
  return {
    activity:
      order === null || restart ? wait(least + (most - least) * random, later) : { type: 'wipe', url, order },
    certificate: null,
    view: { phase: 'held', words: null, name, notice },
  };
}

function heard(
  state: State,
  { interval, attest, renew }: Extract<Event, { type: 'heard' }>,
  moment: Moment,
): Patch {
  const url = urlOf(state.activity);
  const { now } = moment;
  const certificate = sooner(state.certificate, renew, moment);
  const isRenewal = certificate !== null && now >= certificate.renewAt;
  // An enrolment is an attestation too.
  const attestAt =
    attest === null || isRenewal ? null : nextAttestation(state.attestAt, attest * 1000, moment);
  const isDue = attestAt !== null && now >= attestAt;
  return {
    certificate,
    activity: isRenewal
      ? { type: 'enrol', url }
      : isDue
        ? { type: 'attest', url }
        : nextBeat({ interval }, url, moment),
    attestAt: isDue ? null : attestAt,
    interval,
    failures: 0,
    view: { phase: 'healthy', notice: null },
  };
}

function sameView(a: View, b: View): boolean {
  return (
    a.phase === b.phase &&
    a.name === b.name &&
    a.notice === b.notice &&
    a.words?.join(' ') === b.words?.join(' ')
  );
}
