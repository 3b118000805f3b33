/** How fast, and when: the parts of a spec that the whole rollout, a wave and the way back may have of their own. */
import * as z from 'zod';
import { some } from './amount-schema.ts';
import { durationSchema } from './gate.ts';
import { DAYS, lengthOf, parseClock } from './window.ts';
import { isZone } from './zone.ts';

const clock = z.string().transform((text, ctx): number => {
  const minutes = parseClock(text);
  if (minutes !== null) return minutes;
  ctx.addIssue({ code: 'custom', message: 'must be a time of day such as "22:30"' });
  return z.NEVER;
});

/** Milliseconds of `margin` before it closes no node begins to restart. */
const windowSchema = z
  .strictObject({
    zone: z.string().refine(isZone, { error: 'is not an IANA time zone such as "Europe/Paris"' }),
    days: z
      .array(z.enum(DAYS))
      .min(1, { error: 'names no day, so the window never opens' })
      .default([...DAYS]),
    from: clock.refine((minutes) => minutes < 1440, { error: 'must be before 24:00' }),
    to: clock.transform((minutes) => (minutes === 0 ? 1440 : minutes)),
    sites: z.array(z.string().min(1)).min(1).optional(),
    margin: durationSchema.optional(),
  })
  .refine((window) => window.from !== window.to, {
    path: ['to'],
    error: 'equals from, so the window never opens; the whole day is "00:00" to "24:00"',
  })
  .refine((window) => (window.margin ?? 0) < lengthOf(window), {
    path: ['margin'],
    error: 'is as long as the window, so no node could ever begin',
  });
export const windowsSchema = z.array(windowSchema).max(50);

/**
 * Nodes that may be under way at once in the whole, and down at once in a site and in a rack. `down`: whether those count
 * there that are down already, whatever took them down, and the last live node of a rack or a service stays.
 */
export const limitsSchema = z.strictObject({
  whole: some.prefault(50),
  site: some.prefault('25%'),
  rack: some.prefault(1),
  down: z.enum(['count', 'ignore']).default('count'),
});
export type LimitsSpec = z.infer<typeof limitsSchema>;

export const ownLimitsSchema = z.strictObject({
  whole: some.optional(),
  site: some.optional(),
  rack: some.optional(),
});
export type OwnLimits = z.infer<typeof ownLimitsSchema>;
