/** Reservations, as they are kept: each is a decision, and Redis holds the fast copy. */
import { refusal } from '../../../base/error.ts';
import type { By } from '../../fleet/acting.ts';
import { DecidedRecords } from '../../fleet/decisions/records.ts';
import {
  type DecidedReservation,
  decidedReservationSchema,
  RESERVATIONS,
  reservationKey,
  reservationName,
} from '../../fleet/decisions/reservations.ts';
import { isAlive } from '../../fleet/decisions/slices.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import { isContended, type Turn, taken } from '../store.ts';
import { type Booked, mondayOf } from './calendar.ts';

const RECORDS = new DecidedRecords<DecidedReservation>({
  ...{ key: reservationKey, all: RESERVATIONS, schema: decidedReservationSchema },
  ...{ nameOf: reservationName, unreadable: 'RESERVATION_UNREADABLE' },
  stateOf: ({ ended }) => (ended === null ? 'made' : 'ended'),
  shown: (name) => `reservation '${name.slice(0, 80)}'`,
});

export type Word = Pick<DecidedReservation, 'slice' | 'from' | 'until' | 'cpu' | 'memory' | 'reason'>;

/**
 * All of this week and later, of slices that are there, with the nodes of these now. What somebody has ended counts until then.
 * @param now milliseconds since the epoch
 */
export function bookedOf({ decisions }: Pick<Fleet, 'decisions'>, now: number): Booked[] {
  return decisions.reservations.all.flatMap(({ slice: name, from, ended, cpu, memory, ...one }) => {
    const slice = decisions.rollouts.slices.of(name);
    const until = Math.min(one.until, ended ?? one.until);
    const isPast = until <= from || until <= mondayOf(now);
    if (slice === undefined || !isAlive(slice, now) || isPast) return [];
    return [{ slice: name, from, until, cpu, memory, nodes: slice.nodes }];
  });
}

/**
 * @param turn read before the calendar was: others may have taken the same room since
 * @throws BootwaveError `SLICE_PLACES_CHANGED`, `RESERVATION_UNREADABLE`, `DECISIONS_DISK`
 */
export async function decideReservation(
  fleet: Fleet,
  word: Word,
  by: By,
  turn: Turn,
): Promise<DecidedReservation> {
  const { slice, from, until, cpu, memory } = word;
  const mine = fleet.decisions.reservations.all.filter((one) => one.slice === slice);
  const number = Math.max(0, ...mine.map((one) => one.number)) + 1;
  const name = reservationName({ slice, number });
  const change = (known: DecidedReservation | undefined, epoch: number) => {
    if (known !== undefined) throw taken(slice);
    const next = { ...word, number, ended: null, epoch, by: by.actor, at: by.at };
    const told = `${cpu} % cpu and ${memory} bytes more from ${iso(from)} to ${iso(until)}`;
    return { next, ...toldAs(word, `has reserved ${told} (${number})`) };
  };
  const { after } = await RECORDS.decide(fleet, name, by, change, {
    records: [turn.record],
    rounds: 1,
  }).catch((error: unknown) => {
    throw isContended(error) ? taken(slice) : error;
  });
  return after!;
}

/** @throws BootwaveError `RESERVATION_UNKNOWN`, `RESERVATION_OVER`, `RESERVATION_UNREADABLE` */
export async function endReservation(
  fleet: Fleet,
  subject: Pick<DecidedReservation, 'slice' | 'number' | 'reason'>,
  by: By,
): Promise<DecidedReservation> {
  const { slice, number, reason } = subject;
  const { after } = await RECORDS.decide(fleet, reservationName(subject), by, (known, epoch) => {
    const shows = `'bootwave slice reservations ${slice}' shows them`;
    if (known === undefined)
      throw refusal('RESERVATION_UNKNOWN', `slice '${slice}' has no reservation ${number}`, shows);
    if (known.ended !== null || known.until <= by.at)
      throw refusal('RESERVATION_OVER', `reservation ${number} of slice '${slice}' is over`, shows);
    const next = { ...known, ended: by.at, reason, epoch, by: by.actor, at: by.at };
    return { next, ...toldAs(subject, `has ended reservation ${number}`) };
  });
  return after!;
}

/** @returns the names of those whose copy in Redis was wrong, and is written again */
export const repairReservations = (fleet: Fleet): Promise<string[]> => RECORDS.repair(fleet);

const toldAs = ({ slice, reason }: Pick<Word, 'slice' | 'reason'>, what: string) => ({
  ...{ action: 'slice' as const, detail: { slice } },
  reason: `slice ${slice} ${what}${reason === '' ? '' : `: ${reason}`}`,
});

const iso = (at: number): string => new Date(at).toISOString();
