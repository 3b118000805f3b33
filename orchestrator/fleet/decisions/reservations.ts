/**
 * What was decided about reservations: more of the nodes of a slice for some hours. Each is a record that is a decision as a whole;
 * in the log these are records, so that a server of the version before keeps them too.
 */
import { z } from 'zod';
import { RESERVATION_LIMITS, type Reservation } from '../../../protocol/reservation.ts';
import { at } from '../keys.ts';
import { LastWords } from './last-words.ts';
import { type DecidedSlices, isAlive } from './slices.ts';

/** No name of a slice has a dot. */
export const reservationName = ({ slice, number }: { slice: string; number: number }): string =>
  `${slice}.${number}`;
export const reservationKey = (name: string): string => at('reservation', name);
/** Set: names of all reservations that there ever were. */
export const RESERVATIONS = at('reservations');

export const decidedReservationSchema = z.object({
  slice: z.string(),
  /** Of the reservations of its slice. From 1. */
  number: z.int().min(1),
  /** Milliseconds since the epoch, of whole seconds. */
  from: z.int(),
  until: z.int(),
  /** On each node, beyond the share: percent of one processor, and bytes. */
  cpu: z.int().min(0),
  memory: z.int().min(0),
  /** When somebody ended it, milliseconds since the epoch; null: nobody has. */
  ended: z.number().nullable(),
  reason: z.string(),
  /** Of several decisions about one reservation the one with the highest epoch counts. From 1. */
  epoch: z.int().min(1),
  by: z.string(),
  /** When it was decided, milliseconds since the epoch. */
  at: z.number(),
});
export type DecidedReservation = z.infer<typeof decidedReservationSchema>;

const order = (a: string, b: string): number => (a === b ? 0 : a < b ? -1 : 1);

export class DecidedReservations extends LastWords<DecidedReservation> {
  constructor() {
    // Of one that cannot be read nobody gets more; what it was before is not what was said last.
    super({
      key: reservationKey,
      nameOf: reservationName,
      schema: decidedReservationSchema,
      unreadable: 'forgets',
    });
  }

  /** Those that are not over, and that nobody has ended, by their beginning. @param now milliseconds since the epoch */
  ahead(now: number): DecidedReservation[] {
    return this.all
      .filter(({ ended, until }) => ended === null && until > now)
      .sort((a, b) => a.from - b.from || order(a.slice, b.slice) || a.number - b.number);
  }

  /**
   * What an order of the node says, if it is signed now.
   * @param names of the slices that have services in it
   */
  on(node: string, names: ReadonlySet<string>, slices: DecidedSlices, now: number): Reservation[] {
    if (names.size === 0) return [];
    const mine = this.ahead(now).filter(({ slice: name }) => {
      const slice = names.has(name) ? slices.of(name) : undefined;
      return slice !== undefined && isAlive(slice, now) && slice.nodes.includes(node);
    });
    return mine
      .slice(0, RESERVATION_LIMITS.perOrder)
      .map(({ slice, from, until, cpu, memory }) => ({ slice, from, until, cpu, memory }));
  }
}
