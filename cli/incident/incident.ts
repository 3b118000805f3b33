import type { Command } from 'commander';
import type { IncidentShown, IncidentView } from '../../orchestrator/operations/incident/acts.ts';
import * as incident from '../../orchestrator/operations/incident/declared.ts';
import { ago } from '../ago.ts';
import { print, table } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, type Json } from '../option.ts';
import { register as registerAccess } from './access.ts';
import { register as registerEvidence } from './evidence.ts';

type Where = Json & { site?: string; all?: true };
type Why = Json & { reason: string };

export function register(group: Command): void {
  registerAccess(group);
  registerEvidence(group);
  commandFor(group, incident.list)
    .option('--site <site>', 'only of this site')
    .option('--all', 'also those that have ended')
    .action(async ({ json, site, all }: Where, command: Command) => {
      const found = await call(command, incident.list, { site, all: all === true });
      print(json, found.incidents, () => listText(found.incidents, found.now));
    });

  commandFor(group, incident.show, '<node>').action(
    async (word: string, { json }: Json, command: Command) => {
      const shown = await call(command, incident.show, { node: word });
      print(json, shown, () => showText(shown));
    },
  );

  for (const operation of [incident.retry, incident.end, incident.rescue])
    commandFor(group, operation, '<node>')
      .requiredOption('--reason <text>', 'why; it is in the history')
      .action(async (word: string, { reason, json }: Why, command: Command) => {
        const after = await call(command, operation, { node: word, reason });
        print(json, after, () => lineText(after));
      });

  commandFor(group, incident.signals).action(async ({ json }: Json, command: Command) => {
    const found = await call(command, incident.signals, {});
    print(json, found, () =>
      table(
        ['SIGNAL', 'ROAD', 'SEVERITY', 'COUNTS', 'WHAT'],
        found.map(({ code, road, severity, after, what }) => [code, road, severity, after, what]),
      ),
    );
  });
}

export const lineText = ({ name, number, road, step, reason, waits }: IncidentView): string =>
  [
    `incident ${number} of ${name}: ${road}, ${step} (${reason})`,
    ...(waits === '' ? [] : [`  to do: ${waits}`]),
  ].join('\n');

function listText(all: readonly IncidentView[], now: number): string {
  if (all.length === 0) return 'no node is being recovered, and none waits for a person';
  const rows = all.map(({ name, site, road, step, signal, openedAt, at, reason }) => [
    ...[name, site, road, step, signal, ago(openedAt, now), ago(at, now), reason],
  ]);
  const todo = all.flatMap(({ name, waits }) => (waits === '' ? [] : [`${name}: ${waits}`]));
  return [
    table(['NODE', 'SITE', 'ROAD', 'STEP', 'SIGNAL', 'SINCE', 'LAST STEP', 'WHY'], rows),
    ...(todo.length === 0 ? [] : ['', 'to do:', ...todo]),
  ].join('\n');
}

function showText({ incident: one, ticket, attended, now }: IncidentShown): string {
  const rows = [
    `incident ${one.number} of ${one.name}, site ${one.site}: ${one.road}`,
    `  step: ${one.step}, ${ago(one.at, now)}, by ${one.by}`,
    ...(attended || one.step === 'ended'
      ? []
      : [
          `  WAITS: no server of site ${one.site} runs; nobody else carries it on (bootwave up --site ${one.site})`,
        ]),
    `  why: ${one.reason}`,
    `  signal: ${one.signal}, ${ago(one.openedAt, now)}${one.suspected === true ? '; a system outside suspects it, too' : ''}`,
    ...one.evidence.map((line) => `    ${line}`),
    ...(one.rescue == null || one.step === 'ended'
      ? []
      : [
          `  rescue: no services since ${ago(one.rescue.at, now)}, by ${one.rescue.by}: ${one.rescue.reason}`,
        ]),
    ...(one.wipe === null
      ? []
      : [`  wiped: ${one.wipe.disks.join(', ')}; left alone: ${one.wipe.left.join(', ') || 'none'}`]),
    ...(ticket.length === 0 ? [] : ['to do:', ...ticket.map((line) => `  ${line}`)]),
  ];
  return rows.join('\n');
}
