/** Milliseconds. */
export type Waits = { look: number; start: number; health: number; well: number };

export const WAITS: Waits = {
  /** Between two looks at the node's own health. */
  look: 10_000,
  /** For the disk, before the agent goes on without it: above what mounting takes. */
  start: 120_000,
  /** For systemd's word about its units, before a heartbeat goes out with the last one. */
  health: 10_000,
  /** Of health without a break, before an image is good: a unit may fail later, and its state is asked twice a minute. */
  well: 45_000,
};
