export type BackoffLimits = {
  /** Milliseconds after the first failure. */
  first: number;
  /** Milliseconds at the most. */
  most: number;
};

/**
 * Milliseconds to wait after `failures` in a row: doubled each time, between half and all of it at random, so that
 * nodes that were lost together do not come back together.
 * @param random from 0 up to 1
 */
export function backoff(failures: number, random: number, limits: BackoffLimits): number {
  const whole = Math.min(limits.most, limits.first * 2 ** Math.min(failures - 1, 30));
  return whole / 2 + (whole / 2) * random;
}
