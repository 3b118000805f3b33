/** Time as the transport needs it, so that tests can turn the hands. */
export type Clock = {
  /** Milliseconds, monotonic: wall clocks jump. */
  now(): number;
  /** Calls back once after `ms`; the returned function takes it back. */
  after(ms: number, call: () => void): () => void;
};

export const realClock: Clock = {
  now: () => performance.now(),
  after: (ms, call) => {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
};
