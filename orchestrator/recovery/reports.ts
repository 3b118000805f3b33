/** Reports of drills as they are kept: decisions, so whoever owns Redis neither makes one look well, nor hides one that was not. */
import type { Logger } from '../../base/log.ts';
import type { By } from '../fleet/acting.ts';
import { Shelf } from '../fleet/decisions/shelf.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { type Report, reportSchema } from './report.ts';

export const REPORTS = new Shelf<Report>('drill', reportSchema);

/** Once: a drill has one report. @throws BootwaveError as `Shelf.decide` */
export async function conclude(
  fleet: Fleet,
  drill: string,
  report: Report,
  by: By,
  log: Pick<Logger, 'error' | 'warn'>,
): Promise<void> {
  const { kind, site, of, fault } = report;
  const reason = `${kind} of ${of}: ${fault ?? 'it went well'}`.slice(0, 1000);
  const { changed } = await REPORTS.decide(fleet, drill, (known) => (known === undefined ? report : 'same'), {
    ...by,
    reason,
  });
  if (!changed) return;
  if (fault === null) log.warn({ code: 'DRILL_DONE', drill, kind, site, of }, 'a drill went well');
  else
    log.error(
      { code: 'DRILL_FAILED', drill, kind, site, of, reason: fault },
      'a drill has failed: this road may be closed when it is needed',
    );
}
