import test from 'ava';
import { flat } from '../../../../base/line.ts';
import { BEGINNING, judge, TRIAL, type Trial } from '../../../../image/agent/member/trial.ts';
import { beatHealth, healthOf, UNKNOWN, type Vitals } from '../../../../image/agent/member/vitals.ts';

const well: Vitals = { connected: true, notice: '', failedUnits: [] };
const ill: Vitals = { connected: true, notice: '', failedUnits: ['broken.service'] };
const alone: Vitals = { connected: false, notice: 'no boot server answers', failedUnits: [] };
const MINUTE = 60_000;

/** Goes through looks in order; the first that gives up. */
function run(looks: readonly (readonly [uptime: number, vitals: Vitals])[]): string | null {
  let trial: Trial = BEGINNING;
  for (const [uptime, vitals] of looks) {
    const done = judge(trial, vitals, uptime);
    if (done.giveUp !== null) return done.giveUp.reason;
    trial = done.trial;
  }
  return null;
}

test('a node that is connected and ill has two minutes, and says which unit failed', (t) => {
  t.is(
    run([
      [MINUTE, ill],
      [2 * MINUTE, ill],
    ]),
    null,
  );
  t.is(
    run([
      [MINUTE, ill],
      [MINUTE + TRIAL.ill, ill],
    ]),
    'failed: broken.service',
  );
});

test('what gets well in between starts again', (t) => {
  t.is(
    run([
      [MINUTE, ill],
      [2 * MINUTE, well],
      [2.5 * MINUTE, ill],
      [4 * MINUTE, ill],
    ]),
    null,
  );
});

test('a node that reaches nobody is given ten minutes from its boot, then gives up with what it waited for', (t) => {
  t.is(
    run([
      [MINUTE, alone],
      [TRIAL.toBecomeHealthy - 1, alone],
    ]),
    null,
  );
  t.is(run([[TRIAL.toBecomeHealthy, alone]]), 'not connected: no boot server answers');
  t.is(
    run([[TRIAL.toBecomeHealthy, UNKNOWN]]),
    'systemd was not asked yet; not connected: the agent has just started',
  );
  t.is(run([[TRIAL.toBecomeHealthy, well]]), null);
});

test('health says everything that is wrong; a heartbeat is its own proof of a connection', (t) => {
  t.deepEqual(healthOf(well), { healthy: true, reason: '' });
  t.false(healthOf({ ...well, failedUnits: null }).healthy, 'not asked is not well');
  t.deepEqual(beatHealth(alone), { healthy: true, reason: '' });
  t.false(beatHealth({ ...alone, failedUnits: ['x.service'] }).healthy);
  t.true(
    beatHealth({ ...well, failedUnits: null }).healthy,
    'a node is not degraded while systemd is busy starting it',
  );
});

test('a reason fits the protocols whatever is in it', (t) => {
  t.is(flat(`a\nb${String.fromCharCode(0)}c`), 'a b c');
  t.true(flat('\u{1f600}'.repeat(300)).isWellFormed());
  t.is(flat('x'.repeat(300)).length, 256);
});

test('a node that no orchestrator could reach gives up as well, and says so', (t) => {
  const unreached = { ...well, link: false };
  t.true(healthOf(unreached).healthy, 'it is no illness of a node whose image is good');
  t.regex(
    run([
      [MINUTE, unreached],
      [MINUTE + TRIAL.ill, unreached],
    ]) ?? '',
    /sshd does not answer/,
  );
});

test('an image that the fleet refuses for its measurement is left at once', (t) => {
  t.is(run([[1, { ...alone, barred: 'PCR 11 is wrong' }]]), 'refused: PCR 11 is wrong');
});

test('only a refusal is final: whatever else is wrong may be better at the next boot', (t) => {
  const late = TRIAL.toBecomeHealthy;
  const isFinal = (vitals: Vitals) => judge({ illSince: MINUTE }, vitals, late).giveUp?.isFinal;
  t.true(isFinal({ ...well, barred: 'PCR 11 is wrong' }));
  t.deepEqual([ill, alone, UNKNOWN].map(isFinal), [false, false, false]);
});
