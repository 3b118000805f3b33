import { setTimeout as sleep } from 'node:timers/promises';

export type Patience = {
  /** Milliseconds in all. */
  within?: number;
  /** Milliseconds between two looks. */
  every?: number;
  /** What is said when it was in vain. */
  story?: () => string | Promise<string>;
};

/** Waits until it holds: a test that waits in vain says so, and ends before its runner ends it. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  { within = 240_000, every = 20, story = () => 'it did not come to pass' }: Patience = {},
): Promise<void> {
  for (const end = performance.now() + within; !(await holds()); await sleep(every))
    if (performance.now() > end) throw new Error(await story());
}
