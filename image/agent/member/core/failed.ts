/** What follows a failure: the same again later, another server, or a new enrolment. */
import { backoff } from '../../../../base/backoff.ts';
import { looking, nextBeat, search, urlOf, wait } from './moves.ts';
import {
  type Activity,
  type Failure,
  type Moment,
  PACE,
  type Patch,
  type State,
  type Work,
} from './state.ts';

export function fail(state: State, failure: Failure, moment: Moment): Patch {
  const { activity } = state;
  const failures = state.failures + 1;
  const notice = `${failure.what} [${failure.code}]`;
  const pace = failure.kind === 'refused' ? PACE.refused : PACE.unreachable;
  const later = (work: Work) => wait(backoff(failures, moment.random, pace), work);
  switch (activity.type) {
    case 'identify':
      return { activity: later(activity), failures, view: { notice } };
    case 'enrol-secure-boot':
      // Enrolment goes on: the fleet sees `setup` in the inventory and its policy decides.
      return search(state, notice);
    case 'search':
    case 'restart':
      return { activity: later(activity), failures, view: { notice } };
    case 'enrol':
      return failedEnrolment(state, failure, failures, later, moment);
    case 'wipe':
      // Whatever went wrong: it asks for its order again, which may be another one by then.
      return { activity: later({ type: 'poll', url: activity.url }), failures, view: { notice } };
    case 'poll':
      if (failure.kind === 'refused') return enrolAgain(activity.url, moment);
      return lost(failures, later, activity, notice);
    case 'attest':
    case 'heartbeat':
      // Its TPM does not answer now. The fleet sees that it does not attest; sending no heartbeats as well would help
      // nobody.
      if (failure.kind === 'local' && activity.type === 'attest') {
        return { activity: nextBeat(state, activity.url, moment), view: { notice } };
      }
      if (failure.kind === 'refused') {
        return {
          ...enrolAgain(activity.url, moment),
          certificate: null,
          view: { phase: 'enrolling', notice },
        };
      }
      return lost(failures, later, activity, notice);
    case 'wait':
      return {};
  }
}

/** The server forgot the session, or does not accept the certificate: the keys are here, so prove them again. */
function enrolAgain(url: string, { random }: Moment): Patch {
  return { activity: wait(random * PACE.again, { type: 'enrol', url }), failures: 0 };
}

function lost(failures: number, later: (work: Work) => Activity, activity: Work, notice: string): Patch {
  const work: Work = failures >= PACE.searchAfter ? { type: 'search', thorough: true } : activity;
  return { activity: later(work), failures, view: { phase: 'server-lost', notice } };
}

function failedEnrolment(
  state: State,
  failure: Failure,
  failures: number,
  later: (work: Work) => Activity,
  { now, random }: Moment,
): Patch {
  const notice = `${failure.what} [${failure.code}]`;
  const { certificate } = state;
  if (certificate !== null && now < certificate.notAfter) {
    // A renewal that fails changes nothing yet: a tenth of what is left passes before the next try.
    return {
      activity: wait(state.interval * 1000 * (0.8 + random * 0.4), {
        type: 'heartbeat',
        url: urlOf(state.activity),
      }),
      certificate: { ...certificate, renewAt: now + (certificate.notAfter - now) / 10 },
      view: { notice },
    };
  }
  const [url, ...candidates] = state.candidates;
  const phase = looking(state, 'enrolling');
  if (url !== undefined)
    return { activity: { type: 'enrol', url }, candidates, failures, view: { phase, notice } };
  return {
    activity: later({ type: 'search', thorough: true }),
    failures,
    certificate: null,
    view: { phase, notice },
  };
}
