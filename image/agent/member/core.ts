import { backoff } from '../../../base/backoff.ts';
/**
 * What the agent does next, as a pure function: no clock, socket or randomness in it. Exactly one activity is under
 * way at any time; every event ends it and names the next one, so the agent can neither stall nor do two things at
 * once.
 */

/** What the console says (`bootwave: state <phase>`); tests and the lab rely on these words. */
export type Phase =
  | 'starting'
  | 'secure-boot-enrolling'
  | 'searching'
  | 'enrolling'
  | 'pending'
  | 'approved'
  | 'healthy'
  | 'held'
  | 'rejected'
  | 'server-lost';

/** What takes time and ends in an event. `url` is the boot server's. */
export type Activity =
  | { type: 'identify' }
  | { type: 'enrol-secure-boot' }
  /** `thorough` asks the wire even when the DHCP lease names a server, because the named one did not answer. */
  | { type: 'search'; thorough: boolean }
  | { type: 'enrol'; url: string }
  | { type: 'poll'; url: string }
  | { type: 'heartbeat'; url: string }
  | { type: 'attest'; url: string }
  /** Obeys the order of an incident, and says what came of it. */
  | { type: 'wipe'; url: string; order: unknown }
  | { type: 'restart' }
  /** Before `before`. */
  | { type: 'wait'; milliseconds: number; before: Work };

type Work = Exclude<Activity, { type: 'wait' }>;

/** What a person at the console should know. */
export type View = {
  phase: Phase;
  /** Shown while a person has to compare them. */
  words: readonly string[] | null;
  name: string | null;
  /** What is wrong or being waited for, one line; null when all is well. */
  notice: string | null;
};

export type Command = Activity | { type: 'show'; view: View } | { type: 'install-host-key' };

export type Failure = {
  /**
   * `unreachable`: nobody there, or not able to answer. `refused`: an answer with an error code. `local`: a fault on
   * this machine.
   */
  kind: 'unreachable' | 'refused' | 'local';
  code: string;
  what: string;
};

export type Decision =
  | { state: 'pending'; retryAfter: number; words: readonly string[] }
  | {
      state: 'approved';
      words: readonly string[];
      name: string;
      /** Milliseconds since the epoch. */
      notBefore: number;
      notAfter: number;
    }
  /** An incident holds this machine. `order` null: there is none now. `restart`: its keys are those of before. */
  | {
      state: 'held';
      words: readonly string[];
      name: string;
      reason: string;
      order: unknown;
      restart: boolean;
    }
  /** `restart`: this boot cannot be let in, only another one. */
  | { state: 'rejected'; words: readonly string[]; reason: string; restart: boolean };

export type Event =
  | { type: 'started' }
  | { type: 'identified'; setupMode: boolean }
  | { type: 'restarting' }
  | { type: 'found'; urls: readonly string[] }
  | { type: 'decided'; decision: Decision }
  /**
   * Seconds; within `renew` the certificate is to be renewed, because its CA goes; `attest` null: this server asks for no
   * attestations between enrolments.
   */
  | { type: 'heard'; interval: number; attest: number | null; renew?: number | undefined }
  | { type: 'attested' }
  /** The boot server believes it. */
  | { type: 'wiped' }
  | { type: 'waited' }
  | { type: 'failed'; failure: Failure };

export type State = {
  activity: Activity;
  view: View;
  /** In a row. */
  failures: number;
  /** Boot servers that were found and not tried yet. */
  candidates: readonly string[];
  /** Milliseconds since the epoch. */
  certificate: { notAfter: number; renewAt: number; asked?: boolean } | null;
  /** When to attest again, milliseconds since the epoch; null: not known yet. */
  attestAt: number | null;
  /** Seconds. */
  interval: number;
  hostKeyInstalled: boolean;
};

/** Inputs at the time of the event. */
export type Moment = {
  /** Milliseconds since the epoch. */
  now: number;
  /** In [0, 1). */
  random: number;
};

/** Milliseconds unless named otherwise. */
export const PACE = {
  /** Waits after failures double from `first` to `most`; each is cut by up to half at random. */
  unreachable: { first: 1000, most: 30_000 },
  refused: { first: 5000, most: 300_000 },
  /** Every node of a site asks again when its server comes back: spread them. */
  again: 3000,
  rejected: { least: 300_000, most: 600_000 },
  /** Of a machine that is held, until it asks for its order again, or starts again. */
  held: { least: 15_000, most: 30_000 },
  /** How long a restart may take before the agent goes on without it. */
  restart: 120_000,
  /** Lost answers in a row before the agent looks for a server again. */
  searchAfter: 4,
  /**
   * At which part of its life a certificate is renewed, spread evenly around two thirds: a fleet that was switched on at
   * once must not come back at once.
   */
  renew: { first: 0.6, last: 2 / 3 + (2 / 3 - 0.6) },
  /** Seconds. */
  interval: 30,
} as const;

export const INITIAL: State = {
  activity: { type: 'identify' },
  view: { phase: 'starting', words: null, name: null, notice: null },
  failures: 0,
  candidates: [],
  certificate: null,
  attestAt: null,
  interval: PACE.interval,
  hostKeyInstalled: false,
};

type Patch = Partial<Omit<State, 'view'>> & { view?: Partial<View> };

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

const wait = (milliseconds: number, before: Work): Activity => ({
  type: 'wait',
  milliseconds: Math.round(milliseconds),
  before,
});

/** A machine that once had a server has lost it; one that never had is searching. */
const looking = ({ view }: State, first: 'searching' | 'enrolling'): Phase =>
  ['pending', 'approved', 'healthy', 'held', 'rejected', 'server-lost'].includes(view.phase)
    ? 'server-lost'
    : first;

function search(state: State, notice: string | null = null): Patch {
  return {
    activity: { type: 'search', thorough: false },
    failures: 0,
    view: { phase: looking(state, 'searching'), notice },
  };
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
  const { notBefore, notAfter } = byThisClock(decision, moment);
  const { first, last } = PACE.renew;
  const part = first + (last - first) * moment.random;
  return {
    activity: { type: 'heartbeat', url },
    failures: 0,
    hostKeyInstalled: true,
    certificate: { notAfter, renewAt: Math.round(notBefore + (notAfter - notBefore) * part) },
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

/** Of the life of a certificate: so much of it may lie before the moment in which it was issued (bootserver, certifier.ts). */
const BACKDATED = 1 / 10;

/**
 * A certificate that has just come is new. A clock that says otherwise is wrong, and would have it renewed at every heartbeat, or
 * never: its life is then counted from now on.
 */
function byThisClock(
  { notBefore, notAfter }: { notBefore: number; notAfter: number },
  { now }: Moment,
): { notBefore: number; notAfter: number } {
  const life = notAfter - notBefore;
  if (now >= notBefore && now <= notBefore + 2 * BACKDATED * life) return { notBefore, notAfter };
  const skew = now - (notBefore + BACKDATED * life);
  return { notBefore: notBefore + skew, notAfter: notAfter + skew };
}

const nextBeat = ({ interval }: Pick<State, 'interval'>, url: string, { random }: Moment): Activity =>
  wait(interval * 1000 * (0.8 + random * 0.4), { type: 'heartbeat', url });

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

/** A chosen time stays, unless the server now asks for an attestation sooner. */
function nextAttestation(chosen: number | null, every: number, { now, random }: Moment): number {
  if (chosen !== null && chosen <= now + every * 1.2) return chosen;
  return now + every * (0.8 + random * 0.4);
}

/** Once for each certificate: every node of the fleet is asked at the same time, and each chooses its own. */
function sooner(certificate: State['certificate'], renew: number | undefined, { now, random }: Moment) {
  if (certificate === null || renew === undefined || certificate.asked === true) return certificate;
  const renewAt = Math.min(certificate.renewAt, Math.round(now + random * renew * 1000));
  return { ...certificate, renewAt, asked: true };
}

function fail(state: State, failure: Failure, moment: Moment): Patch {
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

function urlOf(activity: Activity): string {
  if (activity.type === 'wait') return urlOf(activity.before);
  return 'url' in activity ? activity.url : '';
}

function sameView(a: View, b: View): boolean {
  return (
    a.phase === b.phase &&
    a.name === b.name &&
    a.notice === b.notice &&
    a.words?.join(' ') === b.words?.join(' ')
  );
}
