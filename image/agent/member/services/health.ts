/** What checks of one instance's health come to. Pure. */
import type { InstanceView } from '../../../../protocol/agent/services.ts';

/** `unknown`: not asked yet, or it does not run. */
export type Health = 'healthy' | 'ill' | 'unknown';

export type Tally = {
  /** The instance that was asked: another one begins anew. */
  of: Pick<InstanceView, 'version' | 'since' | 'restarts'>;
  /** In a row. */
  failures: number;
  health: Health;
  /** Milliseconds (monotonic) from which it may be asked again. */
  due: number;
};

/**
 * Milliseconds by which the start of one and the same instance may seem to differ: it is reckoned from two clocks, of which the
 * kernel gives one in hundredths of a second, and the other is corrected while it runs.
 */
const JITTER = 1_000;

const instanceOf = ({ version, since, restarts }: InstanceView): Tally['of'] => ({
  version,
  since,
  restarts,
});

/** One instance is another after an update or a start. */
function isSame(a: Tally['of'], b: Tally['of']): boolean {
  if (a.version !== b.version || a.restarts !== b.restarts) return false;
  return a.since === null || b.since === null ? a.since === b.since : Math.abs(a.since - b.since) < JITTER;
}

/** @returns the tally so far, or that of an instance that is new */
export function tallyOf(view: InstanceView, last: Tally | undefined): Tally {
  const of = instanceOf(view);
  // With its newest start: a clock that is corrected little by little moves it further than one look can tell.
  if (last !== undefined && isSame(last.of, of)) return { ...last, of };
  return { of, failures: 0, health: 'unknown', due: 0 };
}

/**
 * @param healthy what the check said
 * @param now milliseconds (monotonic)
 * @param clock milliseconds since the epoch, as `view.since`
 */
export function counted(
  tally: Tally,
  view: InstanceView,
  healthy: boolean,
  { now, clock }: { now: number; clock: number },
): Tally {
  const health = view.check?.health;
  if (health === undefined) return tally;
  const due = now + health.every * 1000;
  if (healthy) return { ...tally, failures: 0, health: 'healthy', due };
  // While it starts, a failure says nothing; one that was healthy before has started.
  const isStarting =
    tally.health === 'unknown' && view.since !== null && clock < view.since + health.grace * 1000;
  if (isStarting) return { ...tally, due };
  const failures = tally.failures + 1;
  return { ...tally, failures, health: failures >= health.failures ? 'ill' : tally.health, due };
}

/** What to tell of it: without a check it is healthy while it runs. */
export function healthOfInstance(view: InstanceView, tally: Tally | undefined): Health {
  if (view.state !== 'running') return 'unknown';
  if (view.check === null) return 'healthy';
  return tally !== undefined && isSame(tally.of, instanceOf(view)) ? tally.health : 'unknown';
}
