import type { Command } from 'commander';
import { named } from '../../base/named.ts';
import type { BreakerShown } from '../../orchestrator/operations/recovery/acts.ts';
import * as recovery from '../../orchestrator/operations/recovery/declared.ts';
import { shownName } from '../../protocol/service/name.ts';
import { print } from '../context.ts';
import { call, callTwo } from '../operate.ts';
import { printAsked } from '../operator/request.ts';
import { commandFor, type Json, whole } from '../option.ts';
import { register as registerPlans } from './plans.ts';

type Why = Json & { reason: string };
type Rules = Partial<BreakerShown['rules']>;

export function register(group: Command): void {
  commandFor(group, recovery.show).action(async ({ json }: Json, command: Command) => {
    const shown = await call(command, recovery.show, {});
    print(json, shown, () => shownText(shown));
  });

  commandFor(group, recovery.resume)
    .option('--site <site>', 'at this site alone')
    .option('--wipes', 'fences and wipes, too')
    .requiredOption('--reason <text>', 'why; it is kept for ever')
    .action(async (options: Why & { site?: string; wipes?: boolean }, command: Command) => {
      const { json, wipes = false, ...said } = options;
      printAsked(json, await callTwo(command, recovery.resume, { ...said, wipes }), shownText);
    });

  const nodes = whole(1, 100_000);
  commandFor(group, recovery.set)
    .option('--minutes <number>', 'within which signals count together', whole(1, 10_080))
    .option('--nodes <number>', 'of the whole fleet, beyond which it stands still', nodes)
    .option('--percent <number>', 'of the nodes of a site, beyond which it stands still there', whole(1, 100))
    .option('--least <number>', 'so many nodes of a site are never too many', nodes)
    .option('--fences <number>', 'nodes that signals fence within that time', nodes)
    .requiredOption('--reason <text>', 'why; it is kept for ever')
    .action(async ({ json, ...said }: Why & Rules, command: Command) =>
      printAsked(json, await callTwo(command, recovery.set, said), shownText),
    );

  registerPlans(group);
}

const ACT = {
  fence: 'nobody is fenced by a signal',
  repair: 'no broken node is repaired',
  wipe: 'no fenced node is wiped',
} as const;

function shownText({ trips, rules, capacity }: BreakerShown): string {
  const { minutes, nodes, percent, least, fences } = rules;
  const places = trips.map(({ act, site, rack, image, why, lift, nodes: some }) => {
    const where = [
      site === null ? [] : [`at site ${site}`],
      rack === null ? [] : [`rack ${rack}`],
      image === null ? [] : [`of image ${image}`],
    ].flat();
    return `STANDS STILL: ${[ACT[act], ...where].join(', ')}\n  ${why}\n  nodes: ${named(some)}\n  ${lift}`;
  });
  return [
    ...(places.length === 0 ? ['the automation goes on everywhere'] : places),
    `it stands still at more than ${nodes} nodes with signals within ${minutes} min, or more than ${percent} % of a site and more than ${least}; signals fence ${fences} nodes within that time`,
    ...capacity.map(
      ({ service, site, well, least: needed }) =>
        `${shownName(service)}${site === null ? '' : ` at site ${site}`}: ${well} nodes are well, ${needed} are needed`,
    ),
  ].join('\n');
}
