import test from 'ava';
import fc from 'fast-check';
import {
  type Activity,
  type Command,
  type Event,
  INITIAL,
  PACE,
  type State,
} from '../../../../../image/agent/member/core/state.ts';
import { step } from '../../../../../image/agent/member/core/step.ts';
import { seeded } from '../../../../../lab/sim/random.ts';

const HOUR = 3600_000;
const URL = 'https://10.0.0.1:8443';
const ACTIVITIES = new Set([
  'identify',
  'enrol-secure-boot',
  'search',
  'enrol',
  'poll',
  'heartbeat',
  'attest',
  'wipe',
  'restart',
  'wait',
]);
const words = ['a', 'b', 'c', 'd'];

/** Feeds events one after another at noon of day 0 unless told otherwise. */
function play(
  events: readonly Event[],
  { now = 0, random = 0.5 } = {},
  from: State = INITIAL,
): [State, Command[]] {
  let state = from;
  let commands: Command[] = [];
  for (const event of events) [state, commands] = step(state, event, { now, random });
  return [state, commands];
}

const approved = (notBefore = 0, notAfter = 30 * HOUR): Event => ({
  type: 'decided',
  decision: { state: 'approved', words, name: 'n1', notBefore, notAfter },
});
const pending: Event = { type: 'decided', decision: { state: 'pending', words, retryAfter: 1 } };
const rejected: Event = {
  type: 'decided',
  decision: { state: 'rejected', words, reason: 'no', restart: false },
};
const unreachable: Event = {
  type: 'failed',
  failure: { kind: 'unreachable', code: 'SERVER_UNREACHABLE', what: 'gone' },
};
const refused = (code = 'SESSION_UNKNOWN'): Event => ({
  type: 'failed',
  failure: { kind: 'refused', code, what: 'no' },
});
const toEnrol: Event[] = [
  { type: 'started' },
  { type: 'identified', setupMode: false },
  { type: 'found', urls: [URL] },
];
const toHealthy: Event[] = [...toEnrol, approved(), { type: 'heard', interval: 30, attest: null }];

test('from power-on to healthy, in order', (t) => {
  const phases: string[] = [];
  let state = INITIAL;
  for (const event of [
    ...toEnrol,
    pending,
    { type: 'waited' } as Event,
    approved(),
    { type: 'heard', interval: 30, attest: null } as Event,
  ]) {
    let commands: Command[];
    [state, commands] = step(state, event, { now: 0, random: 0.5 });
    for (const command of commands) if (command.type === 'show') phases.push(command.view.phase);
  }
  t.deepEqual(phases, ['starting', 'searching', 'enrolling', 'pending', 'approved', 'healthy']);
});

test('in setup mode the keys come first, and a machine that does not restart goes on', (t) => {
  const [state] = play([{ type: 'started' }, { type: 'identified', setupMode: true }]);
  t.is(state.activity.type, 'enrol-secure-boot');
  const [restarting] = play([{ type: 'restarting' }], {}, state);
  t.like(restarting.activity, { type: 'wait', milliseconds: PACE.restart });
  t.is(play([{ type: 'waited' }], {}, restarting)[0].activity.type, 'search');
});

test('firmware that refuses the keys does not keep a machine from enrolling', (t) => {
  const [state] = play([
    { type: 'started' },
    { type: 'identified', setupMode: true },
    { type: 'failed', failure: { kind: 'local', code: 'SECURE_BOOT_REFUSED', what: 'no' } },
  ]);
  t.is(state.activity.type, 'search');
  t.regex(state.view.notice!, /SECURE_BOOT_REFUSED/);
});

test('words are shown while a person must compare them, and not after', (t) => {
  const [waiting] = play([...toEnrol, pending]);
  t.deepEqual(waiting.view.words, words);
  t.is(play([{ type: 'waited' }, approved()], {}, waiting)[0].view.words, null);
});

test('sshd is asked for once, when the machine is approved', (t) => {
  const installs = (commands: Command[]) => commands.filter(({ type }) => type === 'install-host-key').length;
  const [state, commands] = play([...toEnrol, approved()]);
  t.is(installs(commands), 1);
  t.is(installs(play([approved()], {}, { ...state, activity: { type: 'enrol', url: URL } })[1]), 0);
});

test('a server that forgot the session is proved to again', (t) => {
  const [state] = play([...toEnrol, pending, { type: 'waited' }, refused()]);
  t.like(state.activity, { type: 'wait', before: { type: 'enrol', url: URL } });
});

test('a certificate that is not taken any more leads to a new enrolment', (t) => {
  const [state] = play([...toHealthy, { type: 'waited' }, refused('CERTIFICATE_NOT_CURRENT')]);
  t.like(state.activity, { type: 'wait', before: { type: 'enrol', url: URL } });
  t.is(state.certificate, null);
});

test('a lost server is asked again and then looked for, and the certificate is kept', (t) => {
  let [state] = play([...toHealthy, { type: 'waited' }, unreachable]);
  t.is(state.view.phase, 'server-lost');
  t.like(state.activity, { type: 'wait', before: { type: 'heartbeat', url: URL } });
  for (let i = 1; i < PACE.searchAfter; i++) [state] = play([{ type: 'waited' }, unreachable], {}, state);
  t.like(state.activity, { type: 'wait', before: { type: 'search', thorough: true } });
  [state] = play([{ type: 'waited' }, { type: 'found', urls: ['https://10.0.0.2'] }], {}, state);
  t.deepEqual(state.activity, { type: 'heartbeat', url: 'https://10.0.0.2' });
  t.is(play([{ type: 'heard', interval: 30, attest: null }], {}, state)[0].view.phase, 'healthy');
});

test('renewals of a fleet that came up at once are spread around two thirds of the life', (t) => {
  const renewAt = (random: number) => play([...toEnrol, approved()], { random })[0].certificate!.renewAt;
  t.is(renewAt(0), 18 * HOUR);
  t.is(renewAt(0.5), 20 * HOUR);
  t.is(renewAt(1), 22 * HOUR);
  const hours = Array.from({ length: 1000 }, (_, i) => Math.floor(renewAt(i / 1000) / HOUR));
  for (const hour of [18, 19, 20, 21]) t.is(hours.filter((h) => h === hour).length, 250);
});

test('10,000 nodes that are told at once to renew spread over the time that they were given; each is asked once', (t) => {
  const [healthy] = play(toHealthy);
  const random = seeded(7);
  const told = (from: State, renew: number) =>
    play(
      [{ type: 'waited' }, { type: 'heard', attest: null, interval: 30, renew }],
      { now: HOUR, random: random() },
      from,
    )[0];
  const buckets = new Array<number>(12).fill(0);
  for (let n = 0; n < 10_000; n += 1) {
    const state = told(healthy, 120);
    const after = (state.certificate!.renewAt - HOUR) / 1000;
    t.true(after >= 0 && after <= 120);
    buckets[Math.min(11, Math.floor(after / 10))]! += 1;
    if (n < 100) t.deepEqual(told(state, 120).certificate, state.certificate);
  }
  // 833 each on average; a tenth of a second's worth of nodes more or less is chance.
  for (const count of buckets) t.true(count > 700 && count < 970, buckets.join(' '));
  const [again] = play([approved(HOUR, 31 * HOUR)], { now: HOUR }, told(healthy, 120));
  t.is(again.certificate?.asked, undefined, 'a new certificate may be asked for again');
  const late = { ...healthy, certificate: { notAfter: 30 * HOUR, renewAt: HOUR + 1 } };
  t.true(told(late, 120).certificate!.renewAt <= HOUR + 1, 'never later than it would have been');
});

test('renewal starts at two thirds of the life, a failed one is tried again before the end', (t) => {
  const [healthy] = play(toHealthy);
  const beat = (now: number) =>
    play([{ type: 'waited' }, { type: 'heard', interval: 30, attest: null }], { now }, healthy)[0];
  t.is(beat(20 * HOUR - 1).activity.type, 'wait');
  t.is(beat(20 * HOUR).activity.type, 'enrol');
  const [failed] = play([unreachable], { now: 20 * HOUR }, beat(20 * HOUR));
  t.like(failed.activity, { type: 'wait', before: { type: 'heartbeat' } });
  t.is(failed.view.phase, 'healthy');
  t.deepEqual(failed.certificate, { notAfter: 30 * HOUR, renewAt: 21 * HOUR });
});

test('an expired certificate is not used again', (t) => {
  const [lost] = play([...toHealthy]);
  const searching: State = { ...lost, activity: { type: 'search', thorough: true } };
  const [state] = play([{ type: 'found', urls: [URL] }], { now: 31 * HOUR }, searching);
  t.like(state, { activity: { type: 'enrol', url: URL }, certificate: null });
});

test('every boot server that was found is tried before the agent waits', (t) => {
  const found: Event = { type: 'found', urls: ['https://a', 'https://b'] };
  const [first] = play([{ type: 'started' }, { type: 'identified', setupMode: false }, found, unreachable]);
  t.deepEqual(first.activity, { type: 'enrol', url: 'https://b' });
  t.like(play([unreachable], {}, first)[0].activity, {
    type: 'wait',
    before: { type: 'search', thorough: true },
  });
});

test('a rejected machine asks every five to ten minutes', (t) => {
  for (const [random, milliseconds] of [
    [0, 300_000],
    [0.999999, 600_000],
  ] as const) {
    const [state] = play([...toEnrol, rejected], { random });
    t.is(state.activity.type === 'wait' && state.activity.milliseconds, milliseconds);
  }
});

test('waits double up to the longest, and half of each is chance', (t) => {
  let [state] = play([{ type: 'started' }, { type: 'identified', setupMode: false }]);
  const waits: number[] = [];
  for (let i = 0; i < 7; i++) {
    [state] = play([{ type: 'found', urls: [] }], { random: 1 }, state);
    waits.push((state.activity as Extract<Activity, { type: 'wait' }>).milliseconds);
    [state] = play([{ type: 'waited' }], {}, state);
  }
  t.deepEqual(waits, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
});

const HELD = { state: 'held', words: [], name: 'n1', reason: 'odd', order: {}, restart: false } as const;
const anyDecision = fc.oneof(
  fc.constant(pending),
  fc.constant(rejected),
  fc
    .record({ order: fc.constantFrom(null, {}), restart: fc.boolean() })
    .map((more): Event => ({ type: 'decided', decision: { ...HELD, ...more } })),
  fc
    .record({ before: fc.nat(1e9), life: fc.nat(1e9) })
    .map(({ before, life }) => approved(before, before + life)),
);
const anyFailure: fc.Arbitrary<Event> = fc
  .record({ kind: fc.constantFrom('unreachable', 'refused', 'local'), code: fc.string(), what: fc.string() })
  .map((failure) => ({ type: 'failed', failure }) as Event);
const urls: fc.Arbitrary<Event> = fc
  .array(fc.constantFrom('https://a', 'https://b', URL), { maxLength: 3 })
  .map((list) => ({ type: 'found', urls: list }));

/** What can come of an activity, so that a run is one that the edge could produce. */
function outcomes(activity: Activity): fc.Arbitrary<Event> {
  switch (activity.type) {
    case 'identify':
      return fc.oneof(
        fc.boolean().map((setupMode): Event => ({ type: 'identified', setupMode })),
        anyFailure,
      );
    case 'enrol-secure-boot':
    case 'restart':
      return fc.oneof(fc.constant<Event>({ type: 'restarting' }), anyFailure);
    case 'search':
      return fc.oneof(urls, anyFailure);
    case 'enrol':
    case 'poll':
      return fc.oneof(anyDecision, anyFailure);
    case 'heartbeat':
      return fc.oneof(
        fc
          .tuple(fc.integer({ min: 1, max: 60 }), fc.option(fc.integer({ min: 1, max: 600 })))
          .map(([interval, attest]): Event => ({ type: 'heard', interval, attest })),
        anyFailure,
      );
    case 'attest':
      return fc.oneof(fc.constant<Event>({ type: 'attested' }), anyFailure);
    case 'wipe':
      return fc.oneof(fc.constant<Event>({ type: 'wiped' }), anyFailure);
    case 'wait':
      return fc.constant<Event>({ type: 'waited' });
  }
}

/** A run of any length: the world answers whatever it likes. */
function anyRun(steps: number) {
  return fc.gen().map((draw) => {
    let now = 0;
    let [state, commands] = step(INITIAL, { type: 'started' }, { now, random: 0.5 });
    const trail = [{ state, commands }];
    for (let i = 0; i < steps; i++) {
      const event = draw(() => outcomes(state.activity));
      now += state.activity.type === 'wait' ? state.activity.milliseconds : 100;
      const random = draw(() => fc.double({ min: 0, max: 0.999, noNaN: true }));
      [state, commands] = step(state, event, { now, random });
      trail.push({ state, commands });
    }
    return { trail, state, now };
  });
}

test('whatever the world answers, exactly one activity is under way, and no wait is longer than ten minutes', (t) => {
  fc.assert(
    fc.property(anyRun(40), ({ trail }) => {
      for (const { state, commands } of trail) {
        const active = commands.filter(({ type }) => ACTIVITIES.has(type));
        if (active.length !== 1 || active[0] !== state.activity) return false;
        if (state.activity.type !== 'wait') continue;
        const { milliseconds } = state.activity;
        if (!(milliseconds >= 0 && milliseconds <= 600_000)) return false;
      }
      return true;
    }),
    { numRuns: 300 },
  );
  t.pass();
});

test('whatever happened before, a server that approves makes the machine healthy', (t) => {
  fc.assert(
    fc.property(anyRun(25), ({ state: start, now: then }) => {
      let state = start;
      let now = then;
      for (let i = 0; i < 12; i++) {
        const { activity } = state;
        if (state.view.phase === 'healthy' && activity.type === 'wait') return true;
        now += activity.type === 'wait' ? activity.milliseconds : 100;
        const events: Record<Activity['type'], Event> = {
          identify: { type: 'identified', setupMode: false },
          'enrol-secure-boot': { type: 'restarting' },
          search: { type: 'found', urls: [URL] },
          enrol: approved(now, now + 100 * HOUR),
          poll: approved(now, now + 100 * HOUR),
          heartbeat: { type: 'heard', interval: 30, attest: null },
          restart: { type: 'restarting' },
          attest: { type: 'attested' },
          wipe: { type: 'wiped' },
          wait: { type: 'waited' },
        };
        [state] = step(state, events[activity.type], { now, random: 0.5 });
      }
      return false;
    }),
    { numRuns: 300 },
  );
  t.pass();
});

test('no heartbeat is sent without a certificate, and no poll without an enrolment', (t) => {
  fc.assert(
    fc.property(anyRun(60), ({ trail }) =>
      trail.every(({ state }, i) => {
        if (state.activity.type === 'heartbeat') return state.certificate !== null;
        if (state.activity.type !== 'poll') return true;
        return trail.slice(0, i).some((earlier) => earlier.state.activity.type === 'enrol');
      }),
    ),
    { numRuns: 300 },
  );
  t.pass();
});

test('a boot that is refused for what it has started ends in a restart, and only that one', (t) => {
  const barred: Event = {
    type: 'decided',
    decision: { state: 'rejected', words, reason: 'PCR 11 is wrong', restart: true },
  };
  const [waiting] = play([...toEnrol, barred]);
  t.like(waiting, {
    activity: { type: 'wait', before: { type: 'restart' } },
    view: { phase: 'rejected', notice: 'PCR 11 is wrong' },
  });
  const [again] = play([{ type: 'waited' }, refused('HELPER_FAILED'), { type: 'waited' }], {}, waiting);
  t.is(again.activity.type, 'restart', 'a restart that failed is tried again');
  const [, commands] = play([...toEnrol, rejected]);
  t.false(JSON.stringify(commands).includes('restart'));
});

test('a member attests when it is due, jittered, and a refusal ends its certificate', (t) => {
  const beat = (attest: number | null): Event => ({ type: 'heard', interval: 30, attest });
  const due = (random: number) => {
    const [state] = play([...toEnrol, approved(), beat(1800)], { random });
    return state.attestAt ?? 0;
  };
  t.deepEqual([due(0), due(0.5), due(0.999)].map(Math.round), [1_440_000, 1_800_000, 2_159_280]);
  const [quiet] = play([...toEnrol, approved(), beat(null)]);
  t.is(quiet.attestAt, null);
  const [waiting] = play([...toEnrol, approved(), beat(1800)]);
  t.like(waiting.activity, { type: 'wait', before: { type: 'heartbeat' } });
  const [now] = play([{ type: 'waited' }, beat(1800)], { now: 1_800_000 }, waiting);
  t.is(now.activity.type, 'attest');
  const [after] = play([{ type: 'attested' }], { now: 1_800_000 }, now);
  t.like(after, { activity: { type: 'wait', before: { type: 'heartbeat' } }, view: { phase: 'healthy' } });
  const [again] = play([{ type: 'waited' }, beat(1800)], { now: 1_830_000 }, after);
  t.is(again.attestAt, 3_630_000);
  const [no] = play([refused('ENROL_MEASUREMENT')], {}, now);
  t.like(no, { certificate: null, activity: { type: 'wait', before: { type: 'enrol' } } });
  const local: Event = { type: 'failed', failure: { kind: 'local', code: 'TPM_BANK', what: 'no' } };
  const [ill] = play([local], {}, now);
  t.like(ill, { activity: { type: 'wait', before: { type: 'heartbeat' } }, view: { phase: 'healthy' } });
});

test('a clock that is days off, either way, neither renews at every heartbeat nor never', (t) => {
  const life = 168 * HOUR;
  fc.assert(
    fc.property(
      fc.integer({ min: -400 * 24, max: 400 * 24 }),
      fc.double({ min: 0, max: 0.99, noNaN: true }),
      (hours, random) => {
        const now = 500 * 24 * HOUR + hours * HOUR;
        // As the server's clock has it: issued an hour before that, as always.
        const issued = approved(500 * 24 * HOUR - HOUR, 500 * 24 * HOUR + life);
        const [state] = play([...toEnrol, issued], { now, random });
        const [after] = play(
          [{ type: 'heard', interval: 30, attest: null }],
          { now: now + 30_000, random },
          state,
        );
        t.is(after.activity.type, 'wait');
        const spent = (after.certificate!.renewAt - now) / life;
        t.true(spent > 0.4 && spent < 0.9, `${hours} h: ${spent}`);
      },
    ),
  );
});

test('a server that wants attestations sooner is obeyed at the next heartbeat; a time that was chosen is not chosen again', (t) => {
  const beat = (attest: number | null): Event => ({ type: 'heard', interval: 30, attest });
  const [healthy] = play(toHealthy, { now: 0 });
  const after = (attest: number, now: number, state: State) =>
    play([{ type: 'waited' }, beat(attest)], { now }, state)[0];
  const slow = after(1800, 0, healthy);
  t.is(slow.attestAt, 1_800_000);
  t.is(after(1800, 30_000, slow).attestAt, 1_800_000);
  const sooner = after(60, 30_000, slow);
  t.is(sooner.attestAt, 90_000);
  t.is(after(60, 60_000, sooner).attestAt, 90_000);
  t.is(after(1800, 60_000, sooner).attestAt, 90_000, 'the longer time begins after this one');
});
