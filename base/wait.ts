/**
 * Waits at most this long; the work itself continues.
 * @param milliseconds
 * @returns null when it was not done by then
 */
export async function atMost<T>(work: Promise<T>, milliseconds: number): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), milliseconds);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/**
 * As `atMost`, but being late is an error.
 * @param what begins its message: `no answer` becomes "no answer within 5 s"
 */
export async function within<T>(work: Promise<T>, milliseconds: number, what = 'no answer'): Promise<T> {
  const done = await atMost(
    work.then((result) => ({ result })),
    milliseconds,
  );
  if (done === null) throw new Error(`${what} within ${milliseconds / 1000} s`);
  return done.result;
}

/** Resolves when the signal fires; at once when it has fired. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Waits no longer than until the signal fires, which rejects with its reason; the work itself continues. */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const leave = () => reject(signal.reason);
    signal.addEventListener('abort', leave, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave));
  });
}
