/** How often the agent looks at services, fetches for them, and asks about them. */

/** Milliseconds. */
export type ServicesPace = {
  tick: number;
  settled: number;
  unsettled: number;
  first: number;
  most: number;
  spread: number;
  hear: number;
};

export const PACE: ServicesPace = {
  tick: 1000,
  /** Between two looks at what runs, when all is as ordered and well; and when it is not. */
  settled: 60_000,
  unsettled: 10_000,
  /** Before what could not be fetched, or was refused, is tried again; doubles up to `most`. */
  first: 15_000,
  most: 300_000,
  /** Within which secrets that have changed are asked for. */
  spread: 30_000,
  /** Within which it is heard that what runs was withdrawn. */
  hear: 3600_000,
};
