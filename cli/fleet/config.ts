import type { Command } from 'commander';
import type { PublishedConfig } from '../../orchestrator/config/store.ts';
import * as config from '../../orchestrator/operations/config/declared.ts';
import type { NodeConfiguration } from '../../protocol/configuration/document.ts';
import { targetLine } from '../../protocol/configuration/log-target.ts';
import { sysctlText } from '../../protocol/configuration/sysctls.ts';
import { harmless, print, table } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, type Json, minuteOf, textOf } from '../option.ts';

type Shown = Omit<PublishedConfig, 'document'> & { document: NodeConfiguration };

export function register(group: Command): void {
  commandFor(group, config.publish, '<file>')
    .requiredOption('--version <version>', 'a version that was never used')
    .action(async (file: string, { json, version }: Json & { version: string }, command: Command) => {
      const text = await textOf(file, {
        code: 'CONFIG_FILE',
        what: 'the configuration cannot be read',
        unchanged: 'nothing was published',
      });
      const published = await call(command, config.publish, { text, version });
      print(
        json,
        published,
        () =>
          `configuration ${published.version} is published (SHA-256 ${published.sha256}); ` +
          `roll it out with a spec that names it: "config": "${published.version}"`,
      );
    });

  commandFor(group, config.list).action(async ({ json }: Json, command: Command) => {
    const all = await call(command, config.list, {});
    print(json, all, () => listText(all));
  });

  commandFor(group, config.show, '<version>').action(
    async (version: string, { json }: Json, command: Command) => {
      const one = await call(command, config.show, { version });
      print(json, one, () => showText(one));
    },
  );

  commandFor(group, config.withdraw, '<version>')
    .option('--reason <text>', 'why', 'withdrawn by the operator')
    .action(async (version: string, { json, reason }: Json & { reason: string }, command: Command) => {
      const done = await call(command, config.withdraw, { version, reason });
      print(json, done, () =>
        harmless(
          `no node is brought to configuration ${version} any more${done.changed ? '' : ' (as before)'}${done.paused.map((id) => `; rollout ${id} is paused`).join('')}`,
        ),
      );
    });

  commandFor(group, config.reinstate, '<version>').action(
    async (version: string, { json }: Json, command: Command) => {
      const done = await call(command, config.reinstate, { version });
      print(json, done, () =>
        harmless(`configuration ${version} may be rolled out again; it was withdrawn: ${done.why}`),
      );
    },
  );
}

function listText(all: readonly (PublishedConfig & { withdrawn: string | null })[]): string {
  if (all.length === 0) return `no configuration yet; 'bootwave config publish FILE --version 1.0' makes one`;
  return table(
    ['VERSION', 'PUBLISHED (UTC)', 'BY', 'SHA-256', 'WITHDRAWN'],
    all.map(({ version, at, author, sha256, withdrawn }) =>
      [version, minuteOf(at), author, sha256.slice(0, 16), withdrawn ?? ''].map(harmless),
    ),
  );
}

function showText(one: Shown): string {
  const { sysctls, ntp, dns, log, labels } = one.document;
  const rows = [
    ...Object.entries(sysctls).map(([key, value]) => ['sysctl', key, sysctlText(value)]),
    ...ntp.map((server) => ['ntp', server, '']),
    ...dns.map((server) => ['dns', server, '']),
    ...(log === null ? [] : [['log', log.level, `${log.megabytes} MiB`]]),
    ...(log?.target == null ? [] : [['log', 'target', targetLine(log.target).trim()]]),
    ...Object.entries(labels).map(([name, value]) => ['label', name, value]),
  ];
  return [
    `configuration ${one.version}, published ${minuteOf(one.at)} UTC by ${one.author}`,
    `SHA-256 ${one.sha256}`,
    '',
    rows.length === 0 ? 'it changes nothing' : table(['WHAT', 'NAME', 'VALUE'], rows),
  ].join('\n');
}
