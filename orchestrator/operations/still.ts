/** Whoever asked is looked at again and again for as long as it lasts: who may not any more gets nothing of it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { within } from '../../base/wait.ts';
import type { Carrying } from './operation.ts';

/** Milliseconds between two looks. */
export const LOOK = 5000;

/** Until the signal fires, which rejects too. @throws what `still` throws, and an error where it does not answer */
export async function watch(still: () => Promise<void>, until: AbortSignal, look = LOOK): Promise<never> {
  for (;;) {
    await sleep(look, undefined, { signal: until });
    // Whoever keeps the answer back keeps nobody in.
    await within(still(), 6 * look, 'nobody knows whether they still may: no answer');
  }
}

type Asked = {
  /** Of the operation. */
  name: string;
  /** Undefined: nobody asks over a connection. */
  carrying: Carrying | undefined;
  /** Fires when the server ends. */
  signal: AbortSignal;
};

/**
 * Work whose signal fires also when who asked may not ask any more: then its result is for nobody. What carries bytes looks itself, with
 * what else it rests on.
 * @throws BootwaveError of `still`, and what the work throws
 */
export async function whileTheyMay<T>(
  { name, carrying, signal }: Asked,
  work: (asked: Pick<Asked, 'carrying' | 'signal'>) => Promise<T>,
): Promise<T> {
  if (carrying === undefined) return work({ carrying, signal });
  const denied = new AbortController();
  const over = new AbortController();
  void watch(carrying.still, over.signal).catch((error: unknown) => {
    if (!over.signal.aborted) denied.abort(cutOff(name, error));
  });
  const begin = (opened: object) => {
    over.abort();
    return carrying.begin(opened);
  };
  try {
    const until = AbortSignal.any([signal, denied.signal]);
    return await work({ carrying: { ...carrying, begin }, signal: until }).finally(() =>
      denied.signal.throwIfAborted(),
    );
  } finally {
    over.abort();
  }
}

function cutOff(name: string, error: unknown): BootwaveError {
  const isKnown = error instanceof BootwaveError;
  return new BootwaveError({
    code: isKnown ? error.code : 'OPERATOR_UNSURE',
    what: `'${name}' was cut off: ${isKnown ? error.what : messageOf(error)}`,
    unchanged: 'what it had done until then stands, and nothing of its result is shown',
    next: isKnown ? (error.next ?? '') : 'ask again',
    cause: error,
  });
}
