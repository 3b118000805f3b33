/** Drills that begin by themselves. */
import { type Command, InvalidArgumentError } from 'commander';
import * as drill from '../../orchestrator/operations/drill/declared.ts';
import type { ScheduleShown } from '../../orchestrator/operations/drill/schedule.ts';
import { harmless, print } from '../context.ts';
import { call, callTwo } from '../operate.ts';
import { printAsked } from '../operator/request.ts';
import { commandFor, type Json, minuteOf, span } from '../option.ts';

type Which = Json & { site?: string; reason: string };
type Hours = [number, number];

export function register(group: Command): void {
  const why = ['--reason <text>', 'why; it is kept for ever'] as const;
  const site = ['--site <site>', 'where; not for restore'] as const;
  const kindOf = (kind: string) => kind as 'recovery' | 'restore';

  commandFor(group, drill.schedule, '<kind>')
    .option(...site)
    .requiredOption('--every <time>', 'from the start of one to that of the next, such as 30d', span)
    .option('--hours <from-to>', 'of the day in UTC, within which it begins, such as 8-15', hoursOf, [0, 24])
    .requiredOption(...why)
    .action(async (kind: string, options: Which & { every: number; hours: Hours }, command: Command) => {
      const { json, site: of, ...said } = options;
      const wanted = { ...said, kind: kindOf(kind), site: of ?? null };
      printAsked(json, await callTwo(command, drill.schedule, wanted), text);
    });

  commandFor(group, drill.unschedule, '<kind>')
    .option(...site)
    .requiredOption(...why)
    .action(async (kind: string, { json, site: of, reason }: Which, command: Command) => {
      const all = await call(command, drill.unschedule, { kind: kindOf(kind), site: of ?? null, reason });
      print(json, all, () => text(all));
    });

  commandFor(group, drill.schedules).action(async ({ json }: Json, command: Command) => {
    const all = await call(command, drill.schedules, {});
    print(json, all, () => text(all));
  });
}

function hoursOf(word: string): Hours {
  const [, from, to] = /^(\d{1,2})-(\d{1,2})$/.exec(word) ?? [];
  if (from !== undefined) return [Number(from), Number(to)];
  throw new InvalidArgumentError('two hours of the day in UTC, such as 8-15');
}

const DAY = 86_400_000;

const text = (all: readonly ScheduleShown[]): string =>
  all.length === 0 ? 'no drill begins by itself' : all.map(lineText).map(harmless).join('\n');

function lineText({ kind, site, every, hours, by, reason, from, overdue, why }: ScheduleShown): string {
  const where = site === null ? '' : ` at site ${site}`;
  const when = `every ${(every / DAY).toFixed(1).replace('.0', '')} days, ${hours[0]} to ${hours[1]} h UTC`;
  const next = why === null ? `next from ${minuteOf(from)} on` : `DUE, and does not begin: ${why}`;
  return `${kind}${where}: ${when}, as ${by} said: ${reason}; ${next}${overdue ? '; OVERDUE: none has gone well for twice that long' : ''}`;
}
