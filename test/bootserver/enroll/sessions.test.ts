import { randomBytes } from 'node:crypto';
import test from 'ava';
import { networkOf } from '../../../bootserver/enroll/crowd.ts';
import type { FixedKeys } from '../../../bootserver/enroll/fixed-keys.ts';
import { REFUSAL_LIMITS, RefusalGate } from '../../../bootserver/enroll/refusals.ts';
import { Sessions } from '../../../bootserver/enroll/sessions.ts';
import { sha256 } from '../../../formats/digest.ts';

const keys = { tpm: null } as FixedKeys;
const limits = {
  ...{ sessions: 6, keyedSessions: 4, provenSessions: 5, sessionBytes: 100 },
  ...{ sessionsPerAddress: 3, proofWithin: 100, sessionLife: 1000 },
};

function store() {
  const clock = { now: 0 };
  const sessions = new Sessions({ now: () => clock.now, random: randomBytes }, limits);
  return { clock, sessions };
}

/** A session of which the proof held. */
function prove(sessions: Sessions, address: string): string {
  const { session } = sessions.start(address);
  sessions.fix(session, keys, 1, 0);
  sessions.spend(session);
  sessions.prove(session, ['a', 'b', 'c', 'd'], keys);
  return session;
}

test('the nonce is the one committed to, shown once the keys are fixed', (t) => {
  const { sessions } = store();
  const { session, commitment } = sessions.start('a');
  const { nonce } = sessions.fix(session, keys, 1, 0);
  t.is(sha256(nonce).toString('hex'), commitment);
  t.throws(() => sessions.fix(session, keys, 1, 0), { code: 'SESSION_OUT_OF_TURN' });
  t.deepEqual(sessions.spend(session).nonce, nonce);
  t.throws(() => sessions.spend(session), { code: 'NONCE_SPENT' });
});

test('inventories that nobody has proved take up so much memory and no more', (t) => {
  const { sessions } = store();
  const fixed = ['a', 'b', 'c'].map((address) => {
    const { session } = sessions.start(address);
    sessions.fix(session, keys, 1, 40);
    return session;
  });
  const spent = fixed.filter((session) => {
    try {
      sessions.spend(session);
      return true;
    } catch (error) {
      t.is((error as { code?: string }).code, 'SESSION_UNKNOWN');
      return false;
    }
  });
  t.is(spent.length, 2, 'the third one has no room beside them');
  for (const address of ['d', 'e']) {
    const { session } = sessions.start(address);
    sessions.fix(session, keys, 1, 50);
  }
  t.is(sessions.size, 4, 'what is spent counts no more');
});

test('a proof must come in time, a decision may take longer', (t) => {
  const { sessions, clock } = store();
  const { session } = sessions.start('a');
  const proven = prove(sessions, 'a');
  clock.now = 99;
  sessions.fix(session, keys, 1, 0);
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
  t.notThrows(() => sessions.fix(other, keys, 1, 0));
  t.throws(() => sessions.fix(own[16]!, keys, 1, 0), { code: 'SESSION_UNKNOWN' });
  t.notThrows(() => sessions.fix(own[17]!, keys, 1, 0));
});

test('when all is full one that waits for its proof goes, and proven ones stay', (t) => {
  const { sessions } = store();
  const proven = Array.from({ length: 5 }, (_, i) => prove(sessions, `10.0.${i}.1`));
  for (let i = 0; i < 20; i += 1) sessions.start(`10.0.0.${i}`);
  t.is(sessions.size, 11);
  for (const session of proven) t.notThrows(() => sessions.proven(session));
});

test('a flood takes from its own network, wherever it stands in the dialogue', (t) => {
  for (const stage of ['started', 'keyed', 'proven'] as const) {
    const { sessions } = store();
    const open = (address: string) => {
      if (stage === 'proven') return prove(sessions, address);
      const { session } = sessions.start(address);
      if (stage === 'keyed') sessions.fix(session, keys, 1, 0);
      return session;
    };
    const victim = open('10.0.7.1');
    for (let i = 0; i < 50; i += 1) open(`10.0.9.${i}`);
    t.notThrows(() => {
      if (stage === 'started') sessions.fix(victim, keys, 1, 0);
      else if (stage === 'keyed') sessions.spend(victim);
      else sessions.proven(victim);
    }, stage);
  }
});

test('from its very own network it hits each by lot: the youngest survives as long as the lots fall, and is never first for sure', (t) => {
  const room = 1000;
  const life = { proofWithin: 1e9, sessionLife: 1e9, sessionsPerAddress: 64 };
  let survived = 0;
  for (let run = 0; run < 40; run += 1) {
    const sessions = new Sessions(
      { now: () => 0, random: randomBytes },
      { sessions: room, keyedSessions: room, provenSessions: room, ...life },
    );
    for (let i = 0; i < room; i += 1) sessions.start(`10.0.0.${i}`);
    const { session } = sessions.start('10.0.0.victim');
    // As many again as there is room: the oldest first would have left nobody.
    for (let i = 0; i < room; i += 1) sessions.start(`10.0.0.x${i}`);
    try {
      sessions.fix(session, keys, 1, 0);
      survived += 1;
    } catch {}
  }
  t.true(survived >= 3 && survived <= 30, `${survived} of 40; by lot it is about 15`);
});

test('networks are those that one host can take all addresses of', (t) => {
  t.is(networkOf('10.1.2.3'), networkOf('10.1.2.250'));
  t.not(networkOf('10.1.2.3'), networkOf('10.1.3.3'));
  for (const address of [
    '2001:db8:0:1::1',
    '2001:db8::1:9:8:7:6',
    '2001:0db8:0000:0001:ffff::',
    '2001:db8:0:1:1:2:3:4',
  ])
    t.is(networkOf(address), '2001:db8:0:1', address);
  t.is(networkOf('fe80::1%eth0'), 'fe80:0:0:0');
  t.is(networkOf('::1'), '0:0:0:0');
});

test('proven sessions of one address cannot shut anybody out', (t) => {
  const { sessions } = store();
  const waiting = prove(sessions, 'victim');
  const own = Array.from({ length: 20 }, () => prove(sessions, 'flood'));
  t.notThrows(() => sessions.proven(waiting));
  t.throws(() => sessions.proven(own[15]!), { code: 'SESSION_UNKNOWN' });
  t.notThrows(() => sessions.proven(own[16]!));
  t.notThrows(() => prove(sessions, 'new'));
  t.notThrows(() => sessions.proven(waiting));
});

test('expired sessions make room by themselves', (t) => {
  const { sessions, clock } = store();
  for (let i = 0; i < 5; i++) prove(sessions, `p${i}`);
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
