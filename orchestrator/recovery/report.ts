/** What became of a drill, and how long it stood at each step, beside the ones before. Declarations load it: it needs nothing but zod. */
import { z } from 'zod';

export const DRILLS = ['recovery', 'rollback', 'restore'] as const;
export type DrillKind = (typeof DRILLS)[number];

/** Those that a schedule is for. */
export const SCHEDULED = ['recovery', 'restore'] as const;

const DAY = 86_400_000;
/** Milliseconds between two drills of a schedule. */
export const EVERY = { least: DAY, most: 366 * DAY } as const;

export const reportSchema = z.strictObject({
  kind: z.enum(DRILLS),
  /** Null: it is about no site. */
  site: z.string().max(63).nullable(),
  /** With what: the name of a node, or of when a backup is. */
  of: z.string().max(200),
  /** Milliseconds since the epoch. */
  startedAt: z.number().min(0).max(8.64e15),
  endedAt: z.number().min(0).max(8.64e15),
  /** Milliseconds at each, in their order. */
  steps: z.array(z.tuple([z.string().max(32), z.number().min(0)])).max(16),
  /** Why the road cannot be gone; null: it can. */
  fault: z.string().max(1000).nullable(),
  /** What else was seen, a sentence each. */
  facts: z.array(z.string().max(300)).max(16),
});
export type Report = z.infer<typeof reportSchema>;

/** Good ones before it that one is held against, at most. */
const BEFORE = 5;

export type Compared = { step: string; time: number; usual: number | null };

/**
 * Each step beside what it usually takes: the median of the last good drills of this kind and site that had it.
 * @returns milliseconds; `usual` null: there was none before
 */
export function compared(report: Report, all: readonly Report[]): Compared[] {
  const before = all
    .filter(
      (one) =>
        one.kind === report.kind &&
        one.site === report.site &&
        one.fault === null &&
        one.startedAt < report.startedAt,
    )
    .sort((a, b) => b.startedAt - a.startedAt);
  return report.steps.map(([step, time]) => {
    const times = before
      .flatMap(({ steps }) => steps.filter(([name]) => name === step).map(([, its]) => its))
      .slice(0, BEFORE)
      .sort((a, b) => a - b);
    return { step, time, usual: times[Math.floor((times.length - 1) / 2)] ?? null };
  });
}
