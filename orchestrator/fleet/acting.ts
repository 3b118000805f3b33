/** For which person this code acts, and with which certificate: history entries in their name carry its serial. */
import { AsyncLocalStorage } from 'node:async_hooks';

/** One server acts for several people at a time: each call has its own context. */
const acting = new AsyncLocalStorage<{ actor: string; serial: string }>();

/** @param who null: nobody with a certificate */
export function actingFor<T>(
  who: { actor: string; serial: string } | null,
  act: () => Promise<T>,
): Promise<T> {
  return who === null ? acting.exit(act) : acting.run(who, act);
}

/** Serial of the certificate by which this actor acts here; undefined: without one, or somewhere else. */
export function certificateOf(actor: string): string | undefined {
  const who = acting.getStore();
  return who !== undefined && who.actor === actor ? who.serial : undefined;
}

export type By = {
  actor: string;
  /** Milliseconds since the epoch. */
  at: number;
};
