/** Which drills begin by themselves, as people decided it, and when the next one is due. Pure, but for the shelf. */
import { z } from 'zod';
import { Shelf, type Shelved } from '../fleet/decisions/shelf.ts';
import { EVERY, type Report, SCHEDULED } from './report.ts';

const scheduleSchema = z.strictObject({
  kind: z.enum(SCHEDULED),
  /** Null: the whole fleet; of restores, and of nothing else. */
  site: z.string().nullable(),
  /** Milliseconds from the start of one to that of the next. */
  every: z.int().min(EVERY.least).max(EVERY.most),
  /** Hours of the day in UTC within which it begins. */
  hours: z.tuple([z.int(), z.int()]),
});
export type Schedule = z.infer<typeof scheduleSchema>;

export const SCHEDULES = new Shelf<Schedule>('drill-schedule', scheduleSchema);

/** Names of sites have no `@`. */
export const nameOf = ({ kind, site }: Pick<Schedule, 'kind' | 'site'>): string => `${kind}@${site ?? ''}`;

export type Due = {
  /** Milliseconds since the epoch from which on one is due. */
  from: number;
  /** It is, and the hour is right. */
  now: boolean;
  /** Nothing has gone well for twice as long as there should be between two: nobody knows whether that road is open. */
  overdue: boolean;
};

/** @param started when each of its drills began, also those that have no report @param reports of all drills */
export function dueOf(
  { value, at }: Pick<Shelved<Schedule>, 'at'> & { value: Schedule },
  started: readonly number[],
  reports: readonly Report[],
  now: number,
): Due {
  const { kind, site, every, hours } = value;
  const those = reports.filter((one) => one.kind === kind && one.site === site);
  const begun = Math.max(0, ...started, ...those.map(({ startedAt }) => startedAt));
  const well = Math.max(at, ...those.flatMap(({ fault, endedAt }) => (fault === null ? [endedAt] : [])));
  const from = begun === 0 ? at : begun + every;
  const hour = new Date(now).getUTCHours();
  return { from, now: now >= from && hour >= hours[0] && hour < hours[1], overdue: now > well + 2 * every };
}
