import test from 'ava';
import {
  counted,
  healthOfInstance,
  type Tally,
  tallyOf,
} from '../../../../../image/agent/member/services/health.ts';
import type { InstanceView } from '../../../../../protocol/agent/services.ts';

const SINCE = 1_000_000;
const view = (more: Partial<InstanceView> = {}): InstanceView => ({
  ...{ name: 'fleet/a', version: '1', state: 'running', why: '', runs: '1', restarts: 0, since: SINCE },
  secrets: null,
  stored: false,
  restraint: null,
  interface: 'bws1',
  check: {
    address: '198.18.0.1',
    health: { check: { kind: 'tcp', port: 80 }, every: 10, timeout: 5, failures: 3, grace: 30 },
  },
  ...more,
});
/** @param said what each check says @param seconds after the start, of the first; the others ten later each */
function after(said: readonly boolean[], seconds: number, of = view()): Tally {
  return said.reduce(
    (tally, healthy, i) =>
      counted(tally, of, healthy, { now: i * 10_000, clock: SINCE + (seconds + i * 10) * 1000 }),
    tallyOf(of, undefined),
  );
}

test('so many failures in a row are ill, one success is healthy again', (t) => {
  t.is(after([], 0).health, 'unknown');
  t.is(after([true], 0).health, 'healthy');
  t.is(after([true, false, false], 0).health, 'healthy');
  t.is(after([true, false, false, false], 0).health, 'ill');
  t.is(after([true, false, false, true, false, false], 0).health, 'healthy');
  t.is(after([false, false, false, true], 40).health, 'healthy');
  t.is(after([true], 0).due, 10_000);
});

test('while it starts failures do not count; once it was healthy they do', (t) => {
  t.is(after([false, false, false], 0).health, 'unknown');
  t.is(after([false, false, false], 0).failures, 0);
  t.is(after([false, false, false], 30).health, 'ill');
  t.is(after([true, false, false, false], 1).health, 'ill');
});

test('another version, or another start, begins anew', (t) => {
  const ill = after([false, false, false], 40);
  t.deepEqual(tallyOf(view(), ill), ill);
  for (const more of [{ version: '2' }, { restarts: 1 }, { since: SINCE + 1000 }, { since: null }]) {
    t.is(tallyOf(view(more), ill).health, 'unknown');
    t.is(healthOfInstance(view(more), ill), 'unknown');
  }
});

test('its start is reckoned from two clocks that do not agree to the millisecond: it is the same instance all the same', (t) => {
  const well = after([true], 0);
  for (const since of [SINCE - 10, SINCE + 1, SINCE + 10, SINCE + 999]) {
    t.is(tallyOf(view({ since }), well).health, 'healthy');
    t.is(tallyOf(view({ since }), well).due, well.due, 'it is not asked sooner');
    t.is(healthOfInstance(view({ since }), well), 'healthy');
  }
  let drifting = well;
  for (let look = 1; look <= 20; look += 1) drifting = tallyOf(view({ since: SINCE + look * 500 }), drifting);
  t.is(drifting.health, 'healthy', 'a clock that is corrected little by little');
});

test('without a check it is healthy while it runs; what does not run is not healthy', (t) => {
  t.is(healthOfInstance(view({ check: null }), undefined), 'healthy');
  t.is(healthOfInstance(view({ check: null, state: 'starting' }), undefined), 'unknown');
  t.is(healthOfInstance(view({ state: 'failed' }), after([true], 0)), 'unknown');
  t.is(healthOfInstance(view(), after([true], 0)), 'healthy');
});
