/** The life of versions: what people say, and whom it concerns. */
import type { Command } from 'commander';
import * as service from '../../orchestrator/operations/service/declared.ts';
import type { Decided } from '../../orchestrator/operations/service/life.ts';
import type { Shown, Version } from '../../orchestrator/operations/service/shown.ts';
import { parseServiceVersion, shownServiceVersion } from '../../protocol/service/name.ts';
import { harmless, megabytes, print, table } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, type Json, minuteOf, until } from '../option.ts';

const REASON = ['--reason <text>', 'why; it goes into the history'] as const;

type Said = Json & { reason?: string };

export function registerLife(group: Command): void {
  commandFor(group, service.show, '<service>').action(
    async (name: string, { json }: Json, command: Command) => {
      const shown = await call(command, service.show, { service: name });
      print(json, shown, () => shownText(shown));
    },
  );

  for (const word of [service.preview, service.promote])
    commandFor(group, word, '<service>')
      .option(...REASON)
      .action(async (name: string, { reason, json }: Said, command: Command) => {
        const done = await call(command, word, { service: name, ...(reason && { reason }) });
        print(json, done, () => decidedText(done));
      });

  commandFor(group, service.deprecate, '<service>')
    .option('--successor <service>', 'what is to be used instead')
    .option(...REASON)
    .action(async (name: string, options: Said & { successor?: string }, command: Command) => {
      const { json, ...said } = options;
      const done = await call(command, service.deprecate, { service: name, ...said });
      print(json, done, () => decidedText(done));
    });

  commandFor(group, service.retire, '<service>')
    .requiredOption('--successor <service>', 'what its nodes are brought to')
    .requiredOption(
      '--on <date>',
      'day from which on it is obsolete, as 2026-01-31, or 30d from now; 0s is now',
      until,
    )
    .option(
      '--template <name>',
      'of the rollout that does it; without one: usual waves, the services healthy',
    )
    .option('--dry-run', 'show whom it concerns, and decide nothing')
    .option(...REASON)
    .action(
      async (
        name: string,
        options: Said & { successor: string; on: number; template?: string; dryRun?: boolean },
        command: Command,
      ) => {
        const { json, dryRun = false, ...said } = options;
        const done = await call(command, service.retire, { service: name, ...said, dryRun });
        print(json, done, () => (dryRun ? dryText(done, said.successor, said.on) : decidedText(done)));
      },
    );
}

const plain = (full: string): string => {
  const one = parseServiceVersion(full);
  return harmless(one === null ? full : shownServiceVersion(one));
};

/** A day where it is one, else to the minute. */
const dateOf = (at: number): string => minuteOf(at).replace(' 00:00', '');

export function versionsTable(all: readonly Version[]): string {
  return table(
    ['VERSION', 'STATE', 'UNTIL', 'SUCCESSOR', 'WANTED', 'RUN', 'SIZE', 'RELEASED BY', 'BUNDLE'],
    all.map(({ version, state, on, successor, nodes, release }) => [
      version,
      state,
      on === null ? '' : dateOf(on),
      successor === null ? '' : plain(successor),
      String(nodes.wanted),
      runText(nodes),
      release === null ? '' : megabytes(release.size),
      release === null ? 'not released' : release.by,
      release === null ? '' : release.stored ? 'here' : 'absent',
    ]),
  );
}

const runText = ({ runs, unknown }: Version['nodes']): string =>
  unknown === 0 ? String(runs) : `${runs}, ${unknown} unknown`;

function stateText({ state, on, successor }: Pick<Version, 'state' | 'on' | 'successor'>): string {
  const next = successor === null ? '' : `; its successor is ${plain(successor)}`;
  if (on === null) return `${state}${next}`;
  return `${state}${state === 'obsolete' ? ' since' : ', obsolete from'} ${dateOf(on)} UTC${state === 'obsolete' ? '' : ' on'}${next}`;
}

function shownText(shown: Shown): string {
  const { life, release } = shown;
  return [
    shownServiceVersion(shown),
    `state        ${stateText(shown)}`,
    ...(life === null
      ? []
      : [
          `decided      by ${harmless(life.by)}, ${minuteOf(life.at)} UTC${life.reason === '' ? '' : `: ${harmless(life.reason)}`}`,
        ]),
    `released by  ${release === null ? 'nobody (any more)' : harmless(release.by)}`,
    ...affectedLines(shown),
    ...shown.drains.map(
      ({ id, state }) => `rollout ${id}, by itself: ${state ?? 'nobody knows how it ended'}`,
    ),
    ...(shown.waits === null ? [] : [`warning: its nodes stay where they are: ${harmless(shown.waits)}`]),
  ].join('\n');
}

function affectedLines({ affected, warnings }: Shown): string[] {
  const { nodes, sites, dependants, rollouts, templates, replaces } = affected;
  const named = (title: string, all: readonly string[]) =>
    all.length === 0 ? [] : [`${title.padEnd(12)} ${all.join(', ')}`];
  return [
    `nodes        ${nodes.wanted} are to run it, ${runText(nodes)} run it`,
    ...sites.map((one) => `  ${harmless(one.site)}: ${one.wanted} are to, ${runText(one)} do`),
    ...named(
      'dependants',
      dependants.map(
        ({ service, by, nodes: both }) => `${plain(service)} of ${harmless(by)} (${both} nodes)`,
      ),
    ),
    ...named('rollouts', rollouts),
    ...named('templates', templates),
    ...named('replaces', replaces.map(plain)),
    ...warnings.map((warning) => `warning: ${harmless(warning)}`),
  ];
}

function decidedText(done: Decided): string {
  const was = done.changed ? `; it was ${done.before}` : ', as it was said before';
  return [`${shownServiceVersion(done)} is ${stateText(done)}${was}`, ...affectedLines(done)].join('\n');
}

function dryText(done: Decided, successor: string, on: number): string {
  const what = `${shownServiceVersion(done)} would be obsolete from ${dateOf(on)} UTC on, and its nodes brought to ${harmless(successor)}`;
  return [what, ...affectedLines(done), 'nothing was decided'].join('\n');
}
