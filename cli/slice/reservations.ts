/** Commands about reservations of slices. */
import type { Command } from 'commander';
import { defined } from '../../base/defined.ts';
import * as slice from '../../orchestrator/operations/slice/declared.ts';
import type { KeptBy, ShownReservation } from '../../orchestrator/operations/slice/reserve.ts';
import { harmless, print, table } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, type Json, span, stamp, until, whole } from '../option.ts';
import { MIB } from './text.ts';

type Reserving = Json & { cpu?: number; memory?: number; from: number; for: number; reason?: string };

export function registerReservations(group: Command): void {
  commandFor(group, slice.reserve, '<name>')
    .option(
      '--cpu <percent>',
      'of one processor, on each node, beyond the share',
      whole(1, 100_000, ' percent'),
    )
    .option('--memory <MiB>', 'on each node, beyond the share', whole(1, 2 ** 30, ' MiB'))
    .requiredOption('--from <date>', 'when it begins, as 2026-01-31T12:00 in UTC, or 2h from now', until)
    .requiredOption('--for <time>', 'how long, as 30m, 12h', span)
    .option('--reason <text>', 'why; it goes into the history')
    .action(async (name: string, options: Reserving, command: Command) => {
      const { json, cpu = 0, memory = 0, from, for: length, reason } = options;
      const asked = { name, cpu, memory: memory * MIB, from, length, ...defined({ reason }) };
      const made = await call(command, slice.reserve, asked);
      print(json, made, () => reservationsText(name, [made]));
    });

  commandFor(group, slice.reservations, '<name>').action(
    async (name: string, { json }: Json, command: Command) => {
      const all = await call(command, slice.reservations, { name });
      print(json, all, () => reservationsText(name, all));
    },
  );

  commandFor(group, slice.unreserve, '<name> <number>', { number: whole(1, 2 ** 31) })
    .option('--reason <text>', 'why; it goes into the history')
    .action(
      async (
        name: string,
        number: number,
        { json, reason }: Json & { reason?: string },
        command: Command,
      ) => {
        const asked = { name, number, ...defined({ reason }) };
        const ended = await call(command, slice.unreserve, asked);
        print(json, ended, () => reservationsText(name, [ended]));
      },
    );
}

const reservationsText = (name: string, all: readonly ShownReservation[]): string =>
  all.length === 0 ? `nothing is reserved for slice ${name}` : all.map(textOf).join('\n\n');

function textOf({
  number,
  phase,
  from,
  until: end,
  cpu,
  memory,
  by,
  reason,
  nodes,
}: ShownReservation): string {
  return [
    `reservation ${number}: ${PHASES[phase]}`,
    `time      ${stamp(from)} to ${stamp(end)} UTC`,
    `more      ${cpu} % of a processor, ${Math.round(memory / MIB)} MiB of memory, on each node`,
    `decided   by ${harmless(by)}${reason === '' ? '' : `: ${harmless(reason)}`}`,
    table(
      ['NODE', 'BEGAN (UTC)', 'LATE', 'CLOCK', ''],
      nodes.map((one) => [one.node, ...keptText(one), harmless(one.why)]),
    ),
  ].join('\n');
}

const PHASES = { ahead: 'ahead', now: 'now', over: 'over', ended: 'ended by somebody' } as const;

function keptText({ began, late, skew }: KeptBy): [string, string, string] {
  const clock = skew === null ? '-' : signed(skew);
  if (began === null || late === null) return ['-', '-', clock];
  return [new Date(began).toISOString().slice(0, 23).replace('T', ' '), signed(late), clock];
}

/** As `+0.007 s`. */
const signed = (ms: number): string => `${ms < 0 ? '-' : '+'}${(Math.abs(ms) / 1000).toFixed(3)} s`;
