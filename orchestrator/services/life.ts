/** The life of a version of a service: what people decided, and what follows from it at a moment. Pure. */
import { refusal } from '../../base/error.ts';
import type { Life } from '../fleet/decisions/lives.ts';

/**
 * `preview`: only a rollout that says so brings it. `deprecated`: plans warn. `obsolete`: its day has come; no rollout brings it
 * any more, and its nodes are brought to the successor.
 */
export type LifeState = Life['state'] | 'obsolete';

/** What is released and of which nobody said anything is `current`. @param now milliseconds since the epoch */
export function stateOf(life: Pick<Life, 'state' | 'on'> | undefined, now: number): LifeState {
  if (life === undefined) return 'current';
  return life.on !== null && life.on <= now ? 'obsolete' : life.state;
}

/** What a person says about a version. `on` with a successor: it is retired. */
export type Word = Pick<Life, 'state' | 'successor' | 'on' | 'template' | 'reason'>;

/** Whether the word was said already. */
export const isSaid = (life: Life | undefined, word: Word): boolean =>
  life !== undefined &&
  life.state === word.state &&
  life.successor === word.successor &&
  life.on === word.on &&
  life.template === word.template;

/** Milliseconds by which the day of a retirement may be past: today's date is its midnight. */
const PAST = 24 * 3600_000;

/**
 * @param known what is decided about each version
 * @param released whether nodes may be given a version at all
 * @throws BootwaveError `SERVICE_DATE`, `SERVICE_SUCCESSOR`
 */
export function checkRetirement(
  { service, successor, on }: { service: string; successor: string; on: number },
  { now, known, released }: { now: number; known: Known; released: ReadonlySet<string> },
): void {
  if (on < now - PAST)
    throw refusal(
      'SERVICE_DATE',
      `${new Date(on).toISOString()} is past by more than a day`,
      'give the day from which on nobody is to run it, or 0s for now',
    );
  const why = whyNoSuccessor(service, successor, on, { known, released });
  if (why !== null) throw noSuccessor(why);
}

/** @throws BootwaveError `SERVICE_SUCCESSOR` */
export function mustBeAnother(service: string, successor: string): void {
  if (successor === service) throw noSuccessor(`${service} cannot take its own place`);
}

const noSuccessor = (why: string) =>
  refusal('SERVICE_SUCCESSOR', why, "'bootwave service versions NAME' shows what may take its place");

export type Known = { get(service: string): Life | undefined };

/** Why nodes cannot be brought from `service` to `successor` at that moment; null: nothing that is known keeps them from it. */
export function whyNoSuccessor(
  service: string,
  successor: string,
  at: number,
  { known, released }: { known: Known; released: ReadonlySet<string> },
): string | null {
  if (successor === service) return `${service} cannot take its own place`;
  if (!released.has(successor)) return `${successor} is not released, or was withdrawn`;
  const life = known.get(successor);
  if (stateOf(life, at) === 'obsolete') return `${successor} is obsolete itself by then`;
  return null;
}
