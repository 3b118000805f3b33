import { createHash } from 'node:crypto';
import { refusal } from '../../../base/error.ts';
import { type Compared, compared, type DrillKind, type Report } from '../../recovery/report.ts';
import { conclude, REPORTS } from '../../recovery/reports.ts';
import type { Acting } from '../operation.ts';

/** `by`: who has put it on record; a server, for what it has done itself. */
export type DrillShown = Omit<Report, 'steps'> & { drill: string; by: string; steps: Compared[] };

export async function list(
  { kind }: { kind?: DrillKind | undefined },
  { fleet }: Pick<Acting, 'fleet'>,
): Promise<DrillShown[]> {
  const all = await REPORTS.list(fleet);
  const values = all.map(({ value }) => value);
  return all
    .filter(({ value }) => kind === undefined || value.kind === kind)
    .map(({ name, by, value }) => ({ ...value, drill: name, by, steps: compared(value, values) }))
    .sort((a, b) => b.startedAt - a.startedAt);
}

/** @throws BootwaveError `DRILL_UNKNOWN` */
export async function show({ drill }: { drill: string }, acting: Acting): Promise<DrillShown> {
  const found = (await list({}, acting)).find((one) => one.drill === drill);
  if (found !== undefined) return found;
  throw refusal('DRILL_UNKNOWN', `no drill ${drill} has a report`, "'bootwave drill list' lists them");
}

/** Milliseconds that the clocks of two machines may differ. */
const SKEW = 5 * 60_000;

/** The same report is on record once. @throws BootwaveError `DRILL_TIMES` */
export async function note({ report }: { report: Report }, acting: Acting): Promise<DrillShown> {
  const { fleet, by, log } = acting;
  const { startedAt, endedAt } = report;
  // What claimed to be of tomorrow would count as the last one until then.
  if (startedAt > endedAt || endedAt > by.at + SKEW)
    throw refusal(
      'DRILL_TIMES',
      'that drill has not ended yet',
      'set the clock of the machine that it was done on',
    );
  // No name of what a server reports itself: whoever finds a report with such a hash would have that one never written.
  const drill = `noted-${createHash('sha256').update(JSON.stringify(report)).digest('hex').slice(0, 16)}`;
  await conclude(fleet, drill, report, by, log);
  return show({ drill }, acting);
}
