import { randomBytes } from 'node:crypto';
import test from 'ava';
import type { FixedKeys } from '../../../bootserver/enroll/fixed-keys.ts';
import { REFUSAL_LIMITS, RefusalGate } from '../../../bootserver/enroll/refusals.ts';
import { Sessions } from '../../../bootserver/enroll/sessions.ts';
import { sha256 } from '../../../formats/digest.ts';

const keys = { tpm: null } as FixedKeys;
const limits = { sessions: 6, sessionsPerAddress: 3, sessionBytes: 100, proofWithin: 100, sessionLife: 1000 };

function store() {
  const clock = { now: 0 };
  const sessions = new Sessions({ now: () => clock.now, random: randomBytes }, limits);
  return { clock, sessions };
}

/** A session of which the proof held. */
function prove(sessions: Sessions, address: string): string {
  const { session } = sessions.start(address);
  sessions.fix(session, keys, 1);
  sessions.spend(session);
  sessions.prove(session, ['a', 'b', 'c', 'd'], keys);
  return session;
}

test('the nonce is the one committed to, shown once the keys are fixed', (t) => {
  const { sessions } = store();
  const { session, commitment } = sessions.start('a');
  const { nonce } = sessions.fix(session, keys, 1);
  t.is(sha256(nonce).toString('hex'), commitment);
  t.throws(() => sessions.fix(session, keys, 1), { code: 'SESSION_OUT_OF_TURN' });
  t.deepEqual(sessions.spend(session).nonce, nonce);
  t.throws(() => sessions.spend(session), { code: 'NONCE_SPENT' });
});

test('inventories that nobody has proved take up so much memory and no more: the oldest go', (t) => {
  const { sessions } = store();
  const fixed = ['a', 'b', 'c'].map((address) => {
    const { session } = sessions.start(address);
    sessions.fix(session, keys, 1, 40);
    return session;
  });
  t.throws(() => sessions.spend(fixed[0]!), { code: 'SESSION_UNKNOWN' });
  t.notThrows(() => sessions.spend(fixed[1]!));
  const { session } = sessions.start('d');
  t.notThrows(() => sessions.fix(session, keys, 1, 60), 'what is spent counts no more');
  t.notThrows(() => sessions.spend(fixed[2]!));
});

test('a proof must come in time, a decision may take longer', (t) => {
  const { sessions, clock } = store();
  const { session } = sessions.start('a');
  const proven = prove(sessions, 'a');
  clock.now = 99;
  sessions.fix(session, keys, 1);
  clock.now = 100;
  t.throws(() => sessions.spend(session), { code: 'SESSION_UNKNOWN' });
  clock.now = 999;
  t.notThrows(() => sessions.proven(proven));
  clock.now = 1000;
  t.throws(() => sessions.proven(proven), { code: 'SESSION_UNKNOWN' });
});

test('an address that opens too many sessions loses its own oldest, nobody else loses one', (t) => {
  const { sessions } = store();
  const other = sessions.start('victim').session;
  const own = Array.from({ length: 20 }, () => sessions.start('flood').session);
  t.is(sessions.size, 4);
  t.notThrows(() => sessions.fix(other, keys, 1));
  t.throws(() => sessions.fix(own[16]!, keys, 1), { code: 'SESSION_UNKNOWN' });
  t.notThrows(() => sessions.fix(own[17]!, keys, 1));
});

test('when all is full the oldest unproven goes, and proven ones stay', (t) => {
  const { sessions } = store();
  const proven = Array.from({ length: 5 }, (_, i) => prove(sessions, `p${i}`));
  const unproven = sessions.start('u').session;
  const next = sessions.start('v').session;
  t.throws(() => sessions.fix(unproven, keys, 1), { code: 'SESSION_UNKNOWN' });
  for (const session of proven) t.notThrows(() => sessions.proven(session));
  sessions.fix(next, keys, 1);
  sessions.spend(next);
  sessions.prove(next, ['a', 'b', 'c', 'd'], keys);
  sessions.start('w');
  t.is(sessions.size, 6);
});

test('proven sessions of one address cannot shut anybody out', (t) => {
  const { sessions } = store();
  const waiting = prove(sessions, 'victim');
  const own = Array.from({ length: 20 }, () => prove(sessions, 'flood'));
  t.notThrows(() => sessions.proven(waiting));
  t.throws(() => sessions.proven(own[14]!), { code: 'SESSION_UNKNOWN' });
  t.notThrows(() => sessions.proven(own[15]!));
  t.notThrows(() => prove(sessions, 'new'));
  t.notThrows(() => sessions.proven(waiting));
});

test('expired sessions make room by themselves', (t) => {
  const { sessions, clock } = store();
  for (let i = 0; i < 6; i++) prove(sessions, `p${i}`);
  clock.now = 1000;
  t.notThrows(() => sessions.start('w'));
  t.is(sessions.size, 1);
});

test('refusals are audited up to a limit per code and address and minute', (t) => {
  const gate = new RefusalGate();
  const passed = (code: string, address: string, now: number) =>
    Array.from({ length: 50 }, () => gate.pass(code, address, now)).filter(Boolean).length;
  t.is(passed('A', 'x', 0), REFUSAL_LIMITS.perWindow);
  t.is(passed('A', 'x', REFUSAL_LIMITS.windowMilliseconds - 1), 0);
  t.is(passed('B', 'x', 0), REFUSAL_LIMITS.perWindow);
  t.is(passed('A', 'y', 0), REFUSAL_LIMITS.perWindow);
  t.is(passed('A', 'x', REFUSAL_LIMITS.windowMilliseconds), REFUSAL_LIMITS.perWindow);
});
