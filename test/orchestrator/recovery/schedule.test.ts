import test from 'ava';
import type { Report } from '../../../orchestrator/recovery/report.ts';
import { dueOf } from '../../../orchestrator/recovery/schedule.ts';

const DAY = 86_400_000;
const value = { kind: 'restore', site: null, every: 7 * DAY, hours: [8, 15] } as {
  kind: 'restore';
  site: null;
  every: number;
  hours: [number, number];
};
const at = (day: number, hour = 9) => day * DAY + hour * 3_600_000;
const report = (day: number, fault: string | null, more: Partial<Report> = {}): Report => ({
  ...{
    kind: 'restore',
    site: null,
    of: 'x',
    startedAt: at(day),
    endedAt: at(day) + 1,
    steps: [],
    fault,
    facts: [],
  },
  ...more,
});

test('the first is due at once, the next that long after the last began, within the hours of the day', (t) => {
  const due = (now: number, started: number[] = [], reports: Report[] = []) =>
    dueOf({ at: at(0), value }, started, reports, now).now;
  t.true(due(at(0)));
  t.false(due(at(0, 7)));
  t.true(due(at(1, 8)));
  t.false(due(at(1, 15)));
  t.false(due(at(8), [at(2)]), 'one that has no report yet counts');
  t.true(due(at(9), [at(2)]));
  t.false(due(at(8), [], [report(3, 'torn')]), 'one that failed counts');
  t.true(due(at(8), [], [report(3, null, { kind: 'recovery', site: 'a' })]), 'another road does not');
});

test('overdue is what has not gone well for twice as long', (t) => {
  const overdue = (now: number, reports: Report[] = []) =>
    dueOf({ at: at(0), value }, [], reports, now).overdue;
  t.false(overdue(at(14)));
  t.true(overdue(at(15)));
  t.false(overdue(at(15), [report(3, null)]));
  t.true(overdue(at(15), [report(3, 'torn')]), 'one that failed is none');
});
