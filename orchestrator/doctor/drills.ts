import { named } from '../../base/named.ts';
import type { DataPaths } from '../../base/paths.ts';
import { schedulesOf } from '../recovery/keep-drills.ts';
import type { Report } from '../recovery/report.ts';
import { REPORTS } from '../recovery/reports.ts';
import { type Check, ok, warn } from './check.ts';
import { checkRecords } from './records.ts';

const NAME = 'drills';

/** Which roads were found closed when they were gone last, and which were not gone for too long. */
export const checkDrills = (paths: DataPaths): Promise<Check> =>
  checkRecords(paths, NAME, 'there is nothing to drill yet', async (fleet) => {
    const reports = (await REPORTS.list(fleet)).map(({ value }) => value);
    const failed = lastOf(reports).filter(({ fault }) => fault !== null);
    const overdue = (await schedulesOf(fleet, Date.now())).filter(({ due }) => due.overdue);
    const wrong = [
      ...failed.map(({ kind, of, fault }) => `${kind} of ${of} failed: ${fault}`),
      ...overdue.map(({ value }) => `${roadText(value)} has not gone well for twice as long as it should be`),
    ];
    if (wrong.length > 0)
      return warn(NAME, named(wrong), "'bootwave drill list' and 'bootwave drill schedules' say more");
    return ok(
      NAME,
      reports.length === 0 ? 'no road was ever tried' : 'each road was open when it was gone last',
    );
  });

const roadText = ({ kind, site }: Pick<Report, 'kind' | 'site'>): string =>
  site === null ? kind : `${kind} at site ${site}`;

/** The newest of each kind and site. */
function lastOf(reports: readonly Report[]): Report[] {
  const last = new Map<string, Report>();
  for (const report of [...reports].sort((a, b) => a.startedAt - b.startedAt))
    last.set(roadText(report), report);
  return [...last.values()];
}
