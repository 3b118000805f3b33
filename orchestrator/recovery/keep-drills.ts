/** Begins the drills that are due, and says why one does not begin, and that a road was not gone for too long. */
import { messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { DataPaths } from '../../base/paths.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { keepLooking } from '../upkeep/look.ts';
import { beginPlan } from './begin.ts';
import { pick } from './pick.ts';
import { PLANS } from './plans.ts';
import { REPORTS } from './reports.ts';
import { concludeRollbacks } from './rollbacks.ts';
import { type Due, dueOf, SCHEDULES, type Schedule } from './schedule.ts';

const DRILLER = 'drills';

export type DrillsOptions = {
  fleet: Fleet;
  paths: DataPaths;
  log: Logger;
  signal: AbortSignal;
  /** Milliseconds between two looks. */
  every?: number;
  now?: () => number;
};

/** Runs until the signal aborts. Never rejects. */
export function startDrills(options: DrillsOptions): Promise<void> {
  const { fleet, log, signal, every = 20_000 } = options;
  const look = drillsLook(options);
  return keepLooking({ redis: fleet.redis, name: DRILLER, every, log, signal }, look);
}

export type Standing = Awaited<ReturnType<typeof SCHEDULES.list>>[number] & { due: Due };

/** Each schedule, and when its next drill is due. */
export async function schedulesOf(fleet: Fleet, now: number): Promise<Standing[]> {
  const [schedules, plans, reports] = await Promise.all([
    SCHEDULES.list(fleet),
    PLANS.list(fleet),
    REPORTS.list(fleet),
  ]);
  const values = reports.map(({ value }) => value);
  return schedules.map((schedule) => {
    const { kind, site } = schedule.value;
    const started = plans.flatMap(({ value }) =>
      kind === 'recovery' && value.kind === 'drill' && value.site === site ? [value.startedAt] : [],
    );
    return { ...schedule, due: dueOf(schedule, started, values, now) };
  });
}

/** @returns looks once; what was said is said once */
export function drillsLook({
  fleet,
  paths,
  log,
  signal,
  now = Date.now,
}: DrillsOptions): () => Promise<void> {
  const told = new Map<string, string>();
  const tell = (name: string, code: string, { kind, site }: Schedule, reason: string) => {
    if (told.get(`${name} ${code}`) === reason) return;
    told.set(`${name} ${code}`, reason);
    log.warn({ code, kind, site, reason }, 'a drill that is due does not begin');
  };
  return async () => {
    await concludeRollbacks(fleet, log, { actor: DRILLER, at: now() });
    for (const { name, value, by, reason, due } of await schedulesOf(fleet, now())) {
      if (signal.aborted) return;
      if (due.overdue)
        tell(name, 'DRILL_OVERDUE', value, 'none has gone well for twice as long as it should be');
      else told.delete(`${name} DRILL_OVERDUE`);
      // Restores have none: the private key that they need is on no server.
      if (!due.now || value.site === null) continue;
      const picked = await pick(fleet, paths, value.site, now()).catch((error: unknown) => ({
        why: messageOf(error),
      }));
      if ('why' in picked) {
        tell(name, 'DRILL_WAITS', value, picked.why);
        continue;
      }
      told.delete(`${name} DRILL_WAITS`);
      const draft = { kind: 'drill' as const, site: value.site, records: [picked.node], atOnce: 1 };
      const why = `as scheduled by ${by}: ${reason}`.slice(0, 1000);
      await beginPlan(fleet, { ...draft, reason: why }, { actor: DRILLER, at: now() });
    }
  };
}
