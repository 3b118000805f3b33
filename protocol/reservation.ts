/**
 * Reservations of slices, as an order carries them: more of a node for some hours. The order is there before; root begins and ends
 * each by the node's own clock, so it is the same instant on all nodes, whoever is away by then.
 */
// The mini build, because the agent's bundle holds this file.
import * as z from 'zod/mini';
import { sliceNameSchema } from './service/name.ts';

export const RESERVATION_LIMITS = {
  /** Of one order: those that begin first. The longest take 5 KiB of its payload. */
  perOrder: 32,
  /** Percent of one processor. */
  cpu: 100_000,
  /** Bytes. */
  memory: 2 ** 50,
} as const;

/** Milliseconds since the epoch, of a whole second: as timers of nodes are set. */
const second = z.int().check(z.gte(0), z.lte(8.64e15), z.multipleOf(1000));

export const reservationSchema = z
  .strictObject({
    slice: sliceNameSchema,
    from: second,
    until: second,
    /** What all of its services together may take there beyond their limits: percent of one processor, and bytes. */
    cpu: z.int().check(z.gte(0), z.lte(RESERVATION_LIMITS.cpu)),
    memory: z.int().check(z.gte(0), z.lte(RESERVATION_LIMITS.memory)),
  })
  .check(z.refine(({ from, until }) => from < until, { error: 'ends before it begins', path: ['until'] }));
export type Reservation = z.infer<typeof reservationSchema>;

/** Percent of one processor, and bytes. */
export type Extra = Pick<Reservation, 'cpu' | 'memory'>;
export type Window = Extra & Pick<Reservation, 'from' | 'until'>;

/** What an instance may take at the most, since a reservation, or its end, has put that in force. */
export const shareSchema = z.object({
  cpu: z.int().check(z.gte(0)),
  memory: z.int().check(z.gte(0)),
  /** When that was: milliseconds since the epoch, by the node's clock. */
  since: z.int().check(z.gte(0)),
});
export type Share = z.infer<typeof shareSchema>;

/** What is reserved at one moment: from its first millisecond, and at its end no more. */
export function extraAt(windows: readonly Window[], at: number): Extra {
  const extra = { cpu: 0, memory: 0 };
  for (const { from, until, cpu, memory } of windows) {
    if (at < from || at >= until) continue;
    extra.cpu += cpu;
    extra.memory += memory;
  }
  return extra;
}

/** Moments after `now` at which that changes, in their order. */
export const changesAfter = (windows: readonly Window[], now: number): number[] =>
  [...new Set(windows.flatMap(({ from, until }) => [from, until]))]
    .filter((at) => at > now)
    .sort((a, b) => a - b);
