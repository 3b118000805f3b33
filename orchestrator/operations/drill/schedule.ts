import { refusal } from '../../../base/error.ts';
import { schedulesOf } from '../../recovery/keep-drills.ts';
import { pick } from '../../recovery/pick.ts';
import { nameOf, SCHEDULES, type Schedule } from '../../recovery/schedule.ts';
import type { Acting } from '../operation.ts';

export type ScheduleShown = Schedule & {
  by: string;
  reason: string;
  /** Milliseconds since the epoch from which on the next one is due. */
  from: number;
  overdue: boolean;
  /** Why one that is due does not begin now; null: nothing is in the way, or none is. */
  why: string | null;
};

type Which = Pick<Schedule, 'kind' | 'site'> & { reason: string };

/** @throws BootwaveError `SITE_UNKNOWN` */
export async function set(
  { reason, ...wanted }: Schedule & { reason: string },
  acting: Acting,
): Promise<ScheduleShown[]> {
  const { fleet, by } = acting;
  if (wanted.site !== null) await fleet.sites.get(wanted.site);
  await SCHEDULES.decide(fleet, nameOf(wanted), () => wanted, { ...by, reason });
  return list({}, acting);
}

/** @throws BootwaveError `DRILL_UNSCHEDULED` */
export async function remove({ reason, ...which }: Which, acting: Acting): Promise<ScheduleShown[]> {
  const { fleet, by } = acting;
  const { changed } = await SCHEDULES.decide(fleet, nameOf(which), () => null, { ...by, reason });
  if (!changed)
    throw refusal(
      'DRILL_UNSCHEDULED',
      `no drill of ${which.kind} is scheduled${which.site === null ? '' : ` at ${which.site}`}`,
      "'bootwave drill schedules' lists them",
    );
  return list({}, acting);
}

export async function list(_: object, { fleet, paths, by }: Acting): Promise<ScheduleShown[]> {
  const all = await schedulesOf(fleet, by.at);
  return Promise.all(
    all.map(async ({ value, by: who, reason, due }) => {
      const isDue = value.site !== null && by.at >= due.from;
      const picked = isDue ? await pick(fleet, paths, value.site ?? '', by.at) : null;
      const why = picked !== null && 'why' in picked ? picked.why : null;
      return { ...value, by: who, reason, from: due.from, overdue: due.overdue, why };
    }),
  );
}
