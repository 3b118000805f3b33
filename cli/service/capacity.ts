import type { Command } from 'commander';
import * as service from '../../orchestrator/operations/service/declared.ts';
import type { Stand } from '../../orchestrator/services/capacity.ts';
import { shownName } from '../../protocol/service/name.ts';
import { print, table } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, type Json, whole } from '../option.ts';

type Word = Json & { site?: string; reason: string };

/** How many nodes a service needs: the automation takes no more of them from their work. */
export function register(group: Command): void {
  const noun = group.command('capacity').description('how many nodes a service needs');

  commandFor(noun, service.capacityList).action(async ({ json }: Json, command: Command) => {
    const all = await call(command, service.capacityList, {});
    print(json, all, () => listText(all));
  });

  said(commandFor(noun, service.capacitySet, '<service> <least>', { least: whole(1, 100_000) })).action(
    async (name: string, least: number, { json, ...word }: Word, command: Command) => {
      const wanted = { service: name, least, ...word };
      const all = await call(command, service.capacitySet, wanted);
      print(json, all, () => listText(all));
    },
  );

  said(commandFor(noun, service.capacityRemove, '<service>')).action(
    async (name: string, { json, ...word }: Word, command: Command) => {
      const all = await call(command, service.capacityRemove, { service: name, ...word });
      print(json, all, () => listText(all));
    },
  );
}

const said = (command: Command): Command =>
  command
    .option('--site <site>', 'at this site; without it, in the whole fleet')
    .requiredOption('--reason <text>', 'why; it is kept for ever');

const listText = (all: readonly Stand[]): string =>
  all.length === 0
    ? "nobody has said how many nodes any service needs; 'bootwave service capacity set' says it"
    : table(
        ['SERVICE', 'SITE', 'NEEDS', 'WELL'],
        all.map(({ service: name, site, least, well }) => [
          shownName(name),
          site ?? 'all',
          `${least}`,
          `${well}`,
        ]),
      );
