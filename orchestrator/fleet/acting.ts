/** For whom this process acts, and by which certificate: what it adds to the history in their name carries its serial. */
let acting: { actor: string; serial: string } | null = null;

/** @param who null: nobody with a certificate */
export function actingFor(who: { actor: string; serial: string } | null): void {
  acting = who;
}

/** Serial of the certificate by which this actor acts here; undefined: without one, or somewhere else. */
export function certificateOf(actor: string): string | undefined {
  return acting !== null && acting.actor === actor ? acting.serial : undefined;
}

export type By = {
  actor: string;
  /** Milliseconds since the epoch. */
  at: number;
};
