/** The two roads as pure functions: by example, and killed at any step, in any order of events, with any of them twice. */
import test from 'ava';
import fc from 'fast-check';
import { type Incident, mayFollow } from '../../../orchestrator/fleet/decisions/incidents.ts';
import { isMeant } from '../../../orchestrator/recovery/breaker.ts';
import { asDecided, type Told } from '../../../orchestrator/recovery/incidents.ts';
import {
  type Command,
  type Facts,
  failed,
  LADDER,
  LIMITS,
  turn,
  wipeTime,
} from '../../../orchestrator/recovery/playbook.ts';
import { signalled } from '../../../orchestrator/recovery/signalled.ts';
import { asksFor, isFromOutside } from '../../../orchestrator/recovery/signals.ts';
import { ticketOf } from '../../../orchestrator/recovery/ticket.ts';

const MINUTE = 60_000;
const T0 = 1_800_000_000_000;
const NODE = { node: `tpm-${'a'.repeat(64)}`, name: 'n1', site: 'munich' };
const FACTS: Facts = {
  ...{
    now: T0,
    state: 'unreachable',
    wellSince: null,
    isWhole: true,
    shortfall: null,
    failing: false,
    banned: null,
    recovery: 'wipe',
    rescue: 'person',
  },
  ...{ hasBmc: true, hasTpm: true, wipeTime: 0, onDisk: true, busy: null, stopped: null },
};
const cause = (road: Incident['road'], signal: string = road === 'broken' ? 'silent' : 'measurement') => ({
  ...{ road, signal, evidence: [`${signal} was seen`], reason: signal },
});

/** As the store does it, with its rule of what may follow. */
function decided(known: Incident | undefined, told: Told, at: number): Incident {
  if (!mayFollow(known, told))
    throw new Error(`${known?.road} ${known?.step} became ${told.road} ${told.step}`);
  return asDecided(known, told, { actor: 'recovery', at });
}
const begun = (road: Incident['road'], at = T0) =>
  decided(undefined, signalled(undefined, NODE, cause(road), at)!, at);

/** Turns until nothing happens for `minutes`. @returns commands with their minute, and where it ended */
function play(incident: Incident, facts: (minute: number) => Partial<Facts>, minutes: number) {
  const done: [Command, number][] = [];
  let now = incident;
  for (let minute = 0; minute <= minutes; minute += 1) {
    const at = T0 + minute * MINUTE;
    const { told, command } = turn(now, { ...FACTS, ...facts(minute), now: at });
    if (told !== null) now = decided(now, told, at);
    if (command !== null) done.push([command, minute]);
  }
  return { done, incident: now };
}

test('no restart mends a disk that foretells its end: a person is asked, until it was changed', (t) => {
  const smart = decided(undefined, signalled(undefined, NODE, cause('broken', 'smart'), T0)!, T0);
  const well = { wellSince: T0 - 1, state: 'healthy' as const };
  const asked = play(smart, () => ({ ...well, failing: true }), 60);
  t.deepEqual(asked.done, []);
  t.is(asked.incident.step, 'person');
  t.regex(ticketOf(asked.incident, undefined, true)[0]!, /^change the disk of n1/);
  t.is(turn(smart, { ...FACTS, ...well }).told?.step, 'person', 'also by a server that has not heard it yet');
  t.is(play(asked.incident, () => well, 60).incident.step, 'person', 'it has not started again');
  t.is(play(asked.incident, () => ({ ...well, wellSince: T0 + 61 * MINUTE }), 90).incident.step, 'ended');
});

test('broken: from the gentlest to the last, each with its time, then a person, or the road of the wipe', (t) => {
  const { done, incident } = play(begun('broken'), () => ({ recovery: 'person' }), 300);
  t.deepEqual(done, [
    ['restart', 0],
    ['cycle', 15],
    ['cycle', 35],
    ['network', 55],
  ]);
  t.is(incident.step, 'person');
  t.regex(incident.reason, /after restart, cycle 2 times, network/);
  t.like(play(begun('broken'), () => ({}), 75).incident, {
    road: 'compromised',
    step: 'fenced',
    signal: 'silent',
  });
});

test('broken: in rescue nothing is tried, and being well without its services ends nothing; leaving the fleet does', (t) => {
  const rescue = { by: 'operator:ann', reason: 'x', at: T0 };
  const incident: Incident = { ...begun('broken'), step: 'person', rescue };
  const well = () => ({ state: 'healthy' as const, wellSince: T0 });
  t.like(play(incident, well, 60), { done: [], incident: { step: 'person' } });
  t.like(
    play({ ...incident, step: 'open' }, () => ({}), 60),
    { done: [], incident: { step: 'open' } },
  );
  t.is(play({ ...incident, rescue: null }, well, 60).incident.step, 'ended');
  t.is(play(incident, () => ({ state: 'retired' }), 1).incident.step, 'ended');
});

test('broken: what runs and is not well goes into rescue at the end, where the site says so; what is silent does not', (t) => {
  const ill = { state: 'degraded', recovery: 'person', rescue: 'ill' } as const;
  const { incident } = play(begun('broken'), () => ill, 300);
  t.like(incident, { step: 'person', rescue: { by: 'recovery' } });
  t.regex(incident.reason, /^in rescue: nothing that was tried has helped/);
  const none = (facts: Partial<Facts>) => play(begun('broken'), () => ({ ...ill, ...facts }), 300).incident;
  t.is(none({ rescue: 'person' }).rescue, undefined);
  t.is(none({ state: 'unreachable' }).rescue, undefined);
  t.like(none({ recovery: 'wipe' }), { road: 'compromised', rescue: undefined });
});

test('broken: without a BMC, and without the word to wipe, a person is asked sooner', (t) => {
  const { done, incident } = play(begun('broken'), () => ({ hasBmc: false, recovery: 'person' }), 60);
  t.deepEqual(done, [['restart', 0]]);
  t.is(incident.step, 'person');
});

test('a node that is well again with less than its model has: a person is asked, until it is mended; no wiped one is held for it', (t) => {
  const short = 'it has 1 of 2 disks';
  const well = { wellSince: T0, state: 'healthy' as const };
  const mended = (minute: number) => ({ ...well, shortfall: minute < 30 ? short : null });
  const half = play(begun('broken'), () => ({ ...well, shortfall: short }), 60).incident;
  t.is(half.step, 'person');
  t.regex(half.reason, /well for 10 min; but it has 1 of 2 disks/);
  t.true(half.epoch < 4, 'it is said once');
  t.is(play(begun('broken'), mended, 60).incident.step, 'ended');
  let back = begun('compromised');
  for (const step of ['wiping', 'wiped', 'returning'] as const) back = decided(back, { ...back, step }, T0);
  const { incident } = play(back, () => ({ ...well, shortfall: short }), 60);
  t.is(incident.step, 'ended');
  t.regex(incident.reason, /wiped, attested, .* but it has 1 of 2 disks/);
});

test('broken: what helped is not followed by more, and its end is seen', (t) => {
  const well = (minute: number) =>
    minute < 18 ? {} : { wellSince: T0 + 17 * MINUTE, state: 'healthy' as const };
  const { done, incident } = play(begun('broken'), well, 60);
  t.deepEqual(
    done.map(([command]) => command),
    ['restart', 'cycle'],
  );
  t.is(incident.step, 'ended');
});

test('broken: what is well from the network alone is installed anew, or a person is told', (t) => {
  const before = decided(begun('broken'), { ...begun('broken'), tries: { network: 1 } }, T0);
  const well = { wellSince: T0, state: 'healthy' as const };
  t.is(play(before, () => well, 9).incident.step, 'open');
  t.like(play(before, () => well, 10).incident, { step: 'fenced', road: 'compromised' });
  // Nor has a person who asked for a repair asked for a wipe.
  const asked = play({ ...before, signal: 'operator' }, () => well, 10).incident;
  t.like(asked, { step: 'fenced', signal: 'unrepaired' });
  t.false(isMeant(asked));
  t.is(play(before, () => ({ ...well, recovery: 'person' }), 10).incident.step, 'person');
  t.is(play(before, () => ({ ...well, onDisk: false }), 10).incident.step, 'ended');
});

test('broken: a node that is well and shows no quote is restarted all the same', (t) => {
  const { done } = play(begun('broken'), () => ({ wellSince: T0 - 1, state: 'healthy' }), 5);
  t.deepEqual(done, [['restart', 0]]);
});

test('broken: a rollout that has the node, or the breaker, keeps everybody away', (t) => {
  t.deepEqual(play(begun('broken'), () => ({ busy: 'r1' }), 60).done, []);
  t.deepEqual(play(begun('broken'), () => ({ stopped: 'half the rack' }), 60).done, []);
});

test('broken: a person who mended it need not say so', (t) => {
  const there = { ...begun('broken'), step: 'person' as const };
  t.is(play(there, () => ({ wellSince: T0, state: 'healthy' }), 11).incident.step, 'ended');
});

test('compromised: started from the network until it comes, and no more than a few times', (t) => {
  const { done, incident } = play(begun('compromised'), () => ({ state: 'quarantined' }), 200);
  t.deepEqual(
    done,
    [0, 20, 40, 60].map((minute) => ['network', minute]),
  );
  t.is(incident.step, 'person');
});

test('compromised: nobody but a person goes on without the word to wipe, a TPM, or past a ban', (t) => {
  const ends = (facts: Partial<Facts>) => play(begun('compromised'), () => facts, 1);
  for (const facts of [{ recovery: 'person' as const }, { hasTpm: false }, { banned: 'ann said so' }]) {
    const { done, incident } = ends(facts);
    t.deepEqual(done, []);
    t.is(incident.step, 'person');
  }
  t.is(ends({ hasBmc: false }).incident.step, 'fenced', 'somebody presses the button');
});

test('a signal that comes back during a recovery: evidence while it is held, the fence again after the wipe, and at last a person', (t) => {
  const first = begun('compromised');
  t.is(signalled(first, NODE, cause('compromised'), T0 + 1), null, 'the same words twice');
  const more = signalled(first, NODE, { ...cause('compromised'), evidence: ['again'] }, T0 + 1)!;
  t.like(more, { step: 'fenced', evidence: ['measurement was seen', 'again'] });
  let now = first;
  for (const returns of [1, 2]) {
    now = decided(now, { ...now, step: 'wiping' }, T0);
    now = decided(now, { ...now, step: 'wiped' }, T0);
    now = decided(now, signalled(now, NODE, cause('compromised'), T0 + returns)!, T0 + returns);
    t.like(now, { step: 'fenced', number: 1 });
  }
  t.is(turn(now, { ...FACTS, state: 'quarantined' }).told?.step, 'person');
});

test('two signals at once: a compromised one fences the broken node, a broken one changes nothing for a fenced one', (t) => {
  const broken = begun('broken');
  t.like(signalled(broken, NODE, cause('compromised'), T0), {
    road: 'compromised',
    step: 'fenced',
    number: 1,
  });
  t.is(signalled(begun('compromised'), NODE, cause('broken'), T0)?.step, 'fenced');
});

test('the third time within a day is for a person, and is fenced first', (t) => {
  let known: Incident | undefined;
  for (let n = 0; n < 3; n += 1) {
    const at = T0 + n * MINUTE;
    known = decided(known, signalled(known, NODE, cause('compromised'), at)!, at);
    t.is(known.step, 'fenced');
    if (n < 2) known = decided(known, { ...known, step: 'ended' }, at);
  }
  t.is(turn(known!, FACTS).told?.step, 'person');
});

test('no word leads past the fence or the wipe, nor from one road back to the other', (t) => {
  const at = (road: Incident['road'], step: Incident['step'], number = 1) => ({ road, step, number });
  const fenced = at('compromised', 'fenced');
  for (const step of ['wiped', 'returning', 'open'] as const)
    t.false(mayFollow(fenced, at('compromised', step)), step);
  t.false(mayFollow(at('compromised', 'wiping'), at('compromised', 'returning')));
  t.false(mayFollow(fenced, at('broken', 'open')));
  t.false(mayFollow(at('compromised', 'person'), at('compromised', 'wiped')));
  t.false(mayFollow(fenced, at('compromised', 'fenced', 2)), 'another incident while this one lasts');
  for (const step of ['wiped', 'wiping', 'returning', 'ended'] as const)
    t.false(mayFollow(undefined, at('compromised', step)), step);
  t.true(mayFollow(at('compromised', 'ended'), at('compromised', 'fenced', 2)));
});

const event = fc.oneof(
  fc
    .constantFrom<Incident['road']>('broken', 'compromised')
    .map((road) => ({ kind: 'signal' as const, road })),
  fc.record({ kind: fc.constant('wait' as const), minutes: fc.integer({ min: 1, max: 400 }) }),
  fc.record({
    kind: fc.constant('fail' as const),
    command: fc.constantFrom(...LADDER.map(({ command }) => command)),
  }),
  fc.constantFrom('came', 'wiped', 'in', 'well', 'ill', 'killed', 'twice').map((kind) => ({ kind })),
  fc.record({
    kind: fc.constant('facts' as const),
    facts: fc.record({
      hasBmc: fc.boolean(),
      hasTpm: fc.boolean(),
      isWhole: fc.boolean(),
      shortfall: fc.constantFrom(null, null, 'it has 1 of 2 disks'),
      failing: fc.boolean(),
      busy: fc.constantFrom(null, 'r1'),
      stopped: fc.constantFrom(null, 'breaker'),
      banned: fc.constantFrom(null, null, null, 'ann'),
      recovery: fc.constantFrom('wipe' as const, 'wipe' as const, 'person' as const),
    }),
  }),
);

test('whatever happens, in any order, killed anywhere: no step is skipped, tries are bounded, and it ends', (t) => {
  const property = fc.property(
    fc.constantFrom<Incident['road']>('broken', 'compromised'),
    fc.array(event, { maxLength: 60 }),
    (road, events) => {
      let at = T0;
      let facts: Facts = { ...FACTS, state: 'healthy' };
      let incident = begun(road, at);
      const steps: string[] = [incident.step];
      const given = new Map<string, number>();
      const put = (told: Told | null) => {
        if (told === null) return;
        incident = decided(incident, told, at);
        if (incident.step === 'fenced' && steps.at(-1) !== 'fenced')
          facts = { ...facts, state: 'quarantined', wellSince: null };
        if (steps.at(-1) !== incident.step) steps.push(incident.step);
      };
      const once = (isKilled = false) => {
        const { told, command } = turn(incident, { ...facts, now: at });
        put(told);
        // Killed after the decision: the command was counted, and not given.
        if (command === null || isKilled) return;
        const key = `${incident.number} ${command}`;
        given.set(key, (given.get(key) ?? 0) + 1);
        if (command !== 'network' && incident.road === 'compromised') throw new Error('not on this road');
        facts = { ...facts, wellSince: null };
      };
      for (const one of events) {
        at += MINUTE;
        if (one.kind === 'wait' && 'minutes' in one) at += one.minutes * MINUTE;
        else if (one.kind === 'signal' && 'road' in one)
          put(signalled(incident, NODE, cause(one.road, `s${at}`), at));
        else if (one.kind === 'fail' && 'command' in one) put(failed(incident, one.command, `${at}`, at));
        else if (one.kind === 'facts' && 'facts' in one) facts = { ...facts, ...one.facts };
        else if (one.kind === 'came' && incident.step === 'fenced') put({ ...incident, step: 'wiping' });
        else if (one.kind === 'wiped' && incident.step === 'wiping') put({ ...incident, step: 'wiped' });
        else if (one.kind === 'in' && incident.step === 'wiped') facts = { ...facts, state: 'enrolled' };
        else if (one.kind === 'well' && facts.state !== 'quarantined')
          facts = { ...facts, state: 'healthy', wellSince: facts.wellSince ?? at };
        else if (one.kind === 'ill') facts = { ...facts, wellSince: null };
        once(one.kind === 'killed');
        if (one.kind === 'twice') once();
      }
      // Nothing comes any more: it must end by its own limits, whatever the facts are.
      for (let hour = 0; hour < 24 * 9; hour += 1) {
        at += 60 * MINUTE;
        once();
      }
      if (incident.step !== 'ended' && incident.step !== 'person')
        throw new Error(`it stands at ${incident.step}`);
      for (const [key, times] of given) {
        const most = LADDER.find(({ command }) => key.endsWith(command))?.tries ?? 0;
        if (times > Math.max(most, key.endsWith('network') ? LIMITS.starts : 0))
          throw new Error(`${key}: ${times}`);
      }
      // Between the fence and the member again there is always the wipe.
      for (const [i, step] of steps.entries())
        if (step === 'returning' && steps[i - 1] !== 'wiped') throw new Error(steps.join());
    },
  );
  t.notThrows(() => fc.assert(property, { numRuns: Number(process.env.ATTACK_RUNS ?? 1000) }));
});

test('a large disk has the time that it needs to be overwritten, before its node is started again; a person is asked later, too', (t) => {
  const wiping = decided(begun('compromised'), { ...begun('compromised'), step: 'wiping' }, T0);
  const starts = (bytes: number, minutes: number) =>
    play(wiping, () => ({ wipeTime: wipeTime(bytes) }), minutes);
  t.deepEqual(starts(0, 120).done.slice(0, 2), [
    ['network', 60],
    ['network', 120],
  ]);
  // 20 TB at 50 MB/s: 111 hours.
  const large = starts(20e12, 112 * 60 + 10);
  t.deepEqual(large.done, [['network', 6727]]);
  t.is(large.incident.step, 'wiping');
  t.is(starts(20e12, 137 * 60).incident.step, 'person');
  t.is(wipeTime(1e18), 14 * 24 * 60 * MINUTE, 'whatever a machine says of its disks');
});

test('one that came back from its wipe, and is well without being installed, is a member, and not held for that', (t) => {
  let back = begun('compromised');
  for (const step of ['wiping', 'wiped', 'returning'] as const) back = decided(back, { ...back, step }, T0);
  const bare = { wellSince: T0, state: 'healthy' as const, isWhole: false };
  t.is(play(back, () => bare, 6 * 60).incident.step, 'returning');
  const late = play(back, () => bare, 6 * 60 + 5).incident;
  t.is(late.step, 'ended');
  t.regex(late.reason, /but not installed/);
  t.is(play(back, () => ({ ...bare, wellSince: null }), 6 * 60 + 5).incident.step, 'person');
});

test('what a system outside says is no reason for a wipe, and whoever is suspected waits for a person, however well', (t) => {
  const reported = decided(undefined, signalled(undefined, NODE, cause('broken', 'reported'), T0)!, T0);
  const { done, incident } = play(reported, () => ({}), 300);
  t.is(done.length, 4, 'it is repaired as any other');
  t.like(incident, { road: 'broken', step: 'person' });
  const ill = { state: 'degraded', recovery: 'person', rescue: 'ill' } as const;
  t.is(play(reported, () => ill, 300).incident.rescue, undefined, 'and its services are not ended for that');
  const asks = { ...cause('broken', 'suspected'), asks: true };
  const suspected = decided(undefined, signalled(undefined, NODE, asks, T0)!, T0);
  const well = { state: 'healthy', wellSince: T0 + MINUTE } as const;
  const after = play(suspected, () => well, 60);
  t.deepEqual(after.done, []);
  t.like(after.incident, { road: 'broken', step: 'person' });
  // The same of a node that is being repaired, or waits for a person already.
  for (const known of [begun('broken'), incident]) {
    const next = decided(known, signalled(known, NODE, asks, T0)!, T0);
    t.like(
      play(next, () => well, 60),
      { done: [], incident: { step: 'person', number: 1 } },
    );
  }
  const fenced = begun('compromised');
  t.like(signalled(fenced, NODE, asks, T0), { road: 'compromised', step: 'fenced', signal: 'measurement' });
});

test('a machine that reads every byte of its disks before it wipes them has the time for that, too', (t) => {
  t.is(wipeTime(50e6, 'all') - wipeTime(50e6), 4 * 3600_000);
  t.is(wipeTime(50e6, 'heads') - wipeTime(50e6), 10 * 60_000);
});

test('in whatever order it is seen, said and suspected: what a server has seen counts as seen, and who is suspected waits', (t) => {
  const kinds = ['silent', 'smart', 'reported', 'suspected', 'measurement', 'operator'] as const;
  const one = (signal: (typeof kinds)[number]) => ({
    ...cause(signal === 'measurement' ? 'compromised' : 'broken', signal),
    ...{ evidence: [`${signal} ${Math.random()}`], asks: signal === 'suspected' },
  });
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...kinds), { minLength: 1, maxLength: 8 }), (signals) => {
      let now: Incident | undefined;
      for (const signal of signals) {
        const told = signalled(now, NODE, one(signal), T0);
        if (told !== null) now = decided(now, told, T0);
      }
      const others = signals.filter((signal) => signal !== 'reported' && signal !== 'suspected');
      const isMeantFirst = signals[0] === 'operator';
      if (others.some((signal) => signal !== 'operator') || isMeantFirst) t.false(isFromOutside(now!));
      else t.true(isFromOutside(now!));
      if (signals.includes('measurement')) t.like(now, { road: 'compromised', step: 'fenced' });
      else t.is(asksFor(now!), signals.includes('suspected'));
      if (asksFor(now!)) {
        t.is(now!.step, 'person');
        t.deepEqual(
          turn(now!, { ...FACTS, state: 'healthy', wellSince: T0, now: T0 + 60 * MINUTE }).told,
          null,
        );
        t.regex(ticketOf(now!, undefined, true)[0]!, /a system outside suspects it/);
      }
    }),
    { numRuns: 1000 },
  );
});
