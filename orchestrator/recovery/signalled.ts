/** What a signal, or a person's word, makes of a node's last incident. No clock, no Redis, no node. */
import { type Incident, isHeldBy, isOver } from '../fleet/decisions/incidents.ts';
import type { Told } from './incidents.ts';
import { asksFor, isFromOutside, isSeen } from './signals.ts';

/** Milliseconds after the end of an incident in which the next one is the same trouble again. */
const SOON = 24 * 3600_000;

const MOST_EVIDENCE = 64;
export const grown = (before: readonly string[], more: readonly string[]): string[] =>
  [...new Set([...before, ...more.map((line) => line.slice(0, 500))])].slice(0, MOST_EVIDENCE);

/** A signal that counts, or a person's word. */
export type Cause = {
  road: Incident['road'];
  signal: string;
  evidence: readonly string[];
  reason: string;
  /** A person is asked, and nothing else follows from it. */
  asks?: boolean;
};

/** Whether systems outside alone have spoken of it, and now a server has seen something itself. */
export const isFirstSeen = (known: Pick<Incident, 'signal'>, signal: string): boolean =>
  isFromOutside(known) && isSeen({ signal });

/**
 * What a signal makes of a node's last incident. A compromised node is fenced, wherever it stands; one that is held already
 * only has more evidence.
 * @returns null: nothing changes
 */
export function signalled(
  known: Incident | undefined,
  about: Pick<Incident, 'node' | 'name' | 'site'>,
  { road, signal, evidence, reason, asks = false }: Cause,
  now: number,
): Told | null {
  const step = asks ? 'person' : road === 'broken' ? 'open' : 'fenced';
  if (known === undefined || isOver(known)) {
    const isSoon = known !== undefined && now - known.at <= SOON;
    // A drill was no trouble.
    const more = known?.signal === 'drill' ? 0 : 1;
    const tries = isSoon ? { repeats: (known.tries.repeats ?? 0) + more } : {};
    const number = (known?.number ?? 0) + 1;
    return {
      ...about,
      number,
      road,
      step,
      signal,
      evidence: grown([], evidence),
      reason,
      tries,
      wipe: null,
      openedAt: now,
    };
  }
  const more = { ...known, evidence: grown(known.evidence, evidence) };
  // Of another fence they are other disks: they have been wiped since.
  const { disks: _, ...fenced } = more;
  const isNews = more.evidence.length > known.evidence.length;
  // Whoever has to look at it finds it as it is: it is not restarted any more. What was seen of it stays what it rests on.
  if (asks && known.road === 'broken')
    return isNews || known.step !== step || !asksFor(known)
      ? { ...more, step, suspected: true, reason }
      : null;
  if (road === 'broken' && isFirstSeen(known, signal))
    return { ...more, signal, ...(asksFor(known) && { suspected: true }) };
  if (road === 'broken' || isHeldBy(known)) return isNews ? more : null;
  const isBack = known.road === 'compromised';
  const tries = { ...known.tries, ...(isBack && { returns: (known.tries.returns ?? 0) + 1 }) };
  return { ...fenced, road, signal, tries, reason, step: 'fenced', wipe: null };
}
