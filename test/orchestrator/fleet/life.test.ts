/** The pure core under random histories. */
import test from 'ava';
import fc from 'fast-check';
import { decisionFor } from '../../../orchestrator/fleet/events/decide.ts';
import { enrol } from '../../../orchestrator/fleet/events/enrol.ts';
import { certified, heartbeat, lost } from '../../../orchestrator/fleet/events/live.ts';
import { approve, reject, retire } from '../../../orchestrator/fleet/events/operate.ts';
import { setNode } from '../../../orchestrator/fleet/events/set.ts';
import type { Expectation } from '../../../orchestrator/fleet/expectation.ts';
import type { Outcome } from '../../../orchestrator/fleet/outcome.ts';
import { MODES, type NodeRecord, nodeRecordSchema } from '../../../orchestrator/fleet/record.ts';
import { DEFAULT_POLICY } from '../../../orchestrator/fleet/site.ts';
import { isMember, mayBecome, STATES } from '../../../orchestrator/fleet/transitions.ts';
import { beatOfBoot, certificateFor, enrolment, withoutTpm } from './support.ts';

const expectation: Expectation = {
  id: 'expected-1',
  state: 'open',
  epoch: 1,
  site: 'default',
  name: null,
  criteria: { serial: 'SN1' },
  by: 'operator:x',
  at: 0,
  expiresAt: null,
  usedBy: null,
};

const boot = fc.integer({ min: 1, max: 3 });
const events = fc.oneof(
  fc.record({
    kind: fc.constant('enrol' as const),
    boot,
    otherAk: fc.boolean(),
    expected: fc.boolean(),
    noTpm: fc.constantFrom('pending' as const, 'keep' as const, 'refuse' as const),
  }),
  fc.record({ kind: fc.constant('approve' as const), boot }),
  fc.record({ kind: fc.constant('certify' as const), boot }),
  fc.record({ kind: fc.constant('heartbeat' as const), boot, healthy: fc.boolean() }),
  fc.record({
    kind: fc.constant('set' as const),
    change: fc.record({
      mode: fc.constantFrom(undefined, ...MODES),
      wipe: fc.constantFrom(undefined, true as const),
      rack: fc.constantFrom(undefined, null, 'r1', 'r2'),
      labels: fc.constantFrom(undefined, { tier: 'edge' }, { tier: null }),
    }),
  }),
  fc.record({ kind: fc.constantFrom('reject' as const, 'retire' as const, 'lost' as const) }),
);
type Event = typeof events extends fc.Arbitrary<infer E> ? E : never;

const site = (noTpm: 'pending' | 'keep' | 'refuse') => ({
  name: 'default',
  state: 'active' as const,
  epoch: 1,
  policy: { ...DEFAULT_POLICY, noTpm },
  createdAt: 0,
});

function play(record: NodeRecord | null, event: Event, tpm: boolean, at: number): Outcome {
  const machine = (n: number) => (tpm ? enrolment(1, n) : withoutTpm(1, n));
  if (event.kind === 'enrol') {
    const e = machine(event.boot);
    return enrol(
      record,
      { ...e, at, ...(event.otherAk && tpm ? { akName: 'another' } : {}) },
      {
        site: site(event.noTpm),
        expectation: event.expected ? expectation : null,
        name: 'node-1',
        conflicts: [],
        attested: { state: 'unknown', reason: '' },
        room: true,
        isHeard: false,
        unfit: null,
        incident: undefined,
      },
    );
  }
  if (record === null) return { kind: 'same' };
  const by = { actor: 'operator:x', at };
  switch (event.kind) {
    case 'approve':
      return approve(record, { ...by, words: machine(event.boot).words });
    case 'reject':
      return reject(record, { ...by, reason: 'no' });
    case 'retire':
      return retire(record, { ...by, reason: 'old' });
    case 'certify':
      return certified(record, certificateFor(machine(event.boot)), at);
    case 'heartbeat': {
      const e = machine(event.boot);
      return heartbeat(record, certificateFor(e).serial, beatOfBoot(e, { healthy: event.healthy }), at);
    }
    case 'set':
      return setNode(record, { ...by, change: event.change });
    case 'lost':
      return lost(record, { seconds: 90, at });
  }
}

test('no history leads to an illegal step, and the audit is the history', (t) => {
  fc.assert(
    fc.property(fc.array(events, { maxLength: 40 }), fc.boolean(), (history, tpm) => {
      let record: NodeRecord | null = null;
      let state = 'discovered';
      let epoch = 0;
      for (const [i, event] of history.entries()) {
        const before: NodeRecord | null = record;
        const outcome = play(before, event, tpm, 1000 + i);
        if (outcome.kind !== 'changed') continue;
        const after = outcome.record;
        if (after.epoch !== epoch + outcome.audit.length || outcome.audit.length === 0) return false;
        for (const entry of outcome.audit) {
          if (entry.from !== state || entry.reason === '' || entry.actor === '') return false;
          const [from, to] = [STATES.find((s) => s === entry.from), STATES.find((s) => s === entry.to)];
          if (from === undefined || to === undefined || !(from === to || mayBecome(from, to))) return false;
          state = to;
        }
        if (after.state !== state) return false;
        if (!nodeRecordSchema.safeParse(after).success) return false;
        // A word to wipe without an installation to come would wait for one that nobody had in mind.
        if (after.wanted.wipe && after.wanted.mode !== 'installed') return false;
        record = after;
        epoch = after.epoch;
      }
      return true;
    }),
    { numRuns: 400 },
  );
  t.pass();
});

test('whatever happens: no certificate outside the fleet, no member without approval, no other key for a member', (t) => {
  fc.assert(
    fc.property(fc.array(events, { maxLength: 40 }), fc.boolean(), (history, tpm) => {
      let record: NodeRecord | null = null;
      for (const [i, event] of history.entries()) {
        const before: NodeRecord | null = record;
        const outcome = play(before, event, tpm, 1000 + i);
        if (outcome.kind !== 'changed') continue;
        const after: NodeRecord = outcome.record;
        const member = isMember(after.state);
        if (!member && after.identity.certificateSerial !== null) return false;
        if (member !== (after.approvedAt !== null)) return false;
        if (before !== null && isMember(before.state) && before.identity.akName !== after.identity.akName)
          return false;
        const decision = decisionFor(after, after.identity.spkiDigest);
        if ((decision.state === 'approved') !== member) return false;
        if (decisionFor(after, 'f'.repeat(64)).state !== 'rejected') return false;
        // Only these two ways lead into the fleet.
        if (member && (before === null || !isMember(before.state))) {
          if (event.kind !== 'approve' && !(event.kind === 'enrol' && event.expected)) return false;
        }
        record = after;
      }
      return true;
    }),
    { numRuns: 400 },
  );
  t.pass();
});

test('every state but discovered can be reached and left', (t) => {
  for (const state of STATES) {
    t.true(
      STATES.some((to) => mayBecome(state, to)),
      `${state} is a dead end`,
    );
    if (state !== 'discovered')
      t.true(
        STATES.some((from) => mayBecome(from, state)),
        `${state} is unreachable`,
      );
    t.false(mayBecome(state, 'discovered'));
  }
  t.false(mayBecome('quarantined', 'healthy'));
  t.false(mayBecome('pending', 'healthy'));
  t.false(mayBecome('retired', 'enrolled'));
});
