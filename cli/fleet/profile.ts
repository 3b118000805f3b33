import { type Command, Option } from 'commander';
import { BootwaveError } from '../../base/error.ts';
import { jsonIn } from '../../base/json.ts';
import type { Judged } from '../../orchestrator/operations/profile/acts.ts';
import * as profile from '../../orchestrator/operations/profile/declared.ts';
import { harmless, print, table } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, type Json, minuteOf, textOf } from '../option.ts';

type Site = Json & { site?: string };
type Word = Site & { reason: string; policy: 'hold' | 'report' };

export function register(group: Command): void {
  commandFor(group, profile.list).action(async ({ json }: Json, command: Command) => {
    const all = await call(command, profile.list, {});
    print(json, all, () => listText(all));
  });

  atSite(commandFor(group, profile.show, '<model>')).action(
    async (model: string, { json, site }: Site, command: Command) => {
      const one = await call(command, profile.show, { model, site });
      print(json, one, () => showText(one));
    },
  );

  decided(commandFor(group, profile.learn, '<node>')).action(
    async (node: string, { json, ...word }: Word, command: Command) => {
      const one = await call(command, profile.learn, { node, ...word });
      print(json, one, () => showText(one));
    },
  );

  decided(commandFor(group, profile.set, '<model> <file>')).action(
    async (model: string, file: string, { json, ...word }: Word, command: Command) => {
      const expects = await expectsIn(file);
      const one = await call(command, profile.set, { model, expects, ...word });
      print(json, one, () => showText(one));
    },
  );

  atSite(commandFor(group, profile.remove, '<model>'))
    .requiredOption('--reason <text>', 'why; it is kept for ever')
    .action(async (model: string, { json, site, reason }: Word, command: Command) => {
      const gone = await call(command, profile.remove, { model, site, reason });
      print(json, gone, () => harmless(`nothing is asked any more of ${model}${placeText(site ?? null)}`));
    });
}

const atSite = (command: Command): Command =>
  command.option('--site <site>', 'at this site alone; it counts there before the one for all sites');

const decided = (command: Command): Command =>
  atSite(command)
    .addOption(
      new Option('--policy <what>', 'a machine that falls short takes no new work, or is only shown')
        .choices(['hold', 'report'])
        .default('hold'),
    )
    .requiredOption('--reason <text>', 'why; it is kept for ever');

/** What the file says is judged by the server, with the field that is wrong. */
async function expectsIn(file: string): Promise<Judged['value']['expects']> {
  const unchanged = 'the profile was not kept';
  const text = await textOf(file, { code: 'PROFILE_FILE', what: 'the profile cannot be read', unchanged });
  const value = jsonIn(text);
  if (typeof value === 'object' && value !== null) return value as Judged['value']['expects'];
  throw new BootwaveError({
    code: 'PROFILE_FILE',
    what: 'the profile is no JSON object',
    unchanged,
    next: "'bootwave profile show MODEL --json' has one as its value.expects",
  });
}

const placeText = (site: string | null): string => (site === null ? '' : ` at site ${site}`);

function listText(all: readonly Judged[]): string {
  if (all.length === 0)
    return "no profile yet; 'bootwave profile learn NODE --reason WHY' makes one of a good node";
  const rows = all.map(({ value, nodes, short, at, by }) => [
    value.model,
    value.site ?? 'every',
    value.policy,
    String(nodes),
    String(short.length),
    minuteOf(at),
    by,
  ]);
  return [
    table(['MODEL', 'SITE', 'POLICY', 'NODES', 'FALL SHORT', 'SET (UTC)', 'BY'], rows),
    ...all.flatMap(shortText),
  ].join('\n');
}

function showText(one: Judged): string {
  const { value, nodes, at, by, reason } = one;
  return [
    harmless(`${value.model}${placeText(value.site)}: ${nodes} nodes, ${value.policy}`),
    harmless(`  set ${minuteOf(at)} by ${by}: ${reason}`),
    ...JSON.stringify(value.expects, null, 2)
      .split('\n')
      .map((line) => harmless(`  ${line}`)),
    ...shortText(one),
  ].join('\n');
}

const shortText = ({ short }: Judged): string[] =>
  short.map(({ name, flaws }) => harmless(`${name}: ${flaws.join('; ')}`));
