/** What the agent is at, what may happen to it and how fast it goes: the terms in which the core decides. */

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

export type Work = Exclude<Activity, { type: 'wait' }>;

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

/** What a step changes. */
export type Patch = Partial<Omit<State, 'view'>> & { view?: Partial<View> };
