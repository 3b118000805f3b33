/** Time as the transport needs it, so that tests can set it. */
export type Clock = {
  /** Milliseconds, monotonic: wall clocks jump. */
  now(): number;
  /** Calls back once, when at least `ms` have passed by `now`; the returned function cancels it. */
  after(ms: number, call: () => void): () => void;
};

/** Fires once after about `ms`; the returned function cancels it. */
export type Alarm = (ms: number, call: () => void) => () => void;

/**
 * A clock whose `now` and timers agree. Node's timers count whole milliseconds of their own clock and fire up to one
 * millisecond early by `performance.now()`: the woken code would find that it is not time yet.
 */
export function clockFrom(now: () => number, alarm: Alarm): Clock {
  return {
    now,
    after(ms, call) {
      const due = now() + ms;
      let stop = alarm(ms, ring);
      function ring(): void {
        const early = due - now();
        if (early > 0) stop = alarm(early, ring);
        else call();
      }
      return () => stop();
    },
  };
}

export const realClock: Clock = clockFrom(
  () => performance.now(),
  (ms, call) => {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
);
