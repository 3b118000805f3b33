/** What people read about slices. */
import type { ListedSlice, ShownSlice } from '../../orchestrator/operations/slice/acts.ts';
import type { Explained } from '../../orchestrator/slices/explain.ts';
import { shownName } from '../../protocol/service/name.ts';
import { harmless, table } from '../context.ts';
import { minuteOf } from '../option.ts';

export const MIB = 2 ** 20;

export const listText = (all: readonly ListedSlice[]): string =>
  all.length === 0
    ? 'no slices'
    : table(
        ['SLICE', 'STATE', 'UNTIL (UTC)', 'NODES', 'SERVICES'],
        all.map(({ name, phase, expires, has, count, services }) => [
          ...[name, phase, minuteOf(expires), `${has} of ${count}`],
          services.map(plain).join(' ') || '-',
        ]),
      );

/** As people write it: without the owner `fleet`, and without the slice that is shown. */
const plain = (instance: string): string => harmless(shownName(instance.replace(/@[^:]*/, '')));

export function planText({ lines, missing, help }: Explained, all: boolean): string {
  const shown = lines.filter(({ is }) => all || is !== 'not');
  const not = [...Map.groupBy(lines, ({ is, why }) => (is === 'not' ? why : ''))].filter(
    ([why]) => why !== '',
  );
  const rest = not.sort(([, a], [, b]) => b.length - a.length).slice(0, MOST_REASONS);
  return [
    table(
      ['', 'NODE', 'SITE', 'WHY'],
      shown.map(({ is, name, site, why }) => [is, name, site, why]),
    ),
    ...(all ? [] : rest.map(([why, those]) => `not ${those.length} nodes: ${harmless(why)}`)),
    ...(missing === 0 ? [] : [`${missing} nodes are missing. What would help:`]),
    ...help.map((text) => `  ${harmless(text)}`),
  ].join('\n');
}

/** Reasons of nodes that are not shown one by one. */
const MOST_REASONS = 10;

export function shownText(shown: ShownSlice): string {
  const { name, phase, expires, count, perSite, grow, share, owners, services, nodes, by, at, reason } =
    shown;
  const mib = (bytes: number) => Math.round(bytes / MIB);
  const ports = share.ports.length === 0 ? '' : `, ports ${share.ports.join(' ')}`;
  return [
    `slice ${name}`,
    `state     ${phase}, until ${minuteOf(expires)} UTC`,
    `owners    ${owners.map(harmless).join(', ') || `nobody has a certificate for it: 'bootwave operator add NAME --role slice-owner --slice ${name}'`}`,
    `nodes     ${nodes.filter(({ has }) => has).length} of ${count}${perSite === null ? '' : `, at most ${perSite} per site`}${grow === undefined ? '' : `; grows to ${grow} by itself`}`,
    `of each   ${share.cpu} % of a processor, ${mib(share.memory)} MiB of memory, ${mib(share.disk)} MiB kept${ports}`,
    `services  ${services.map(plain).join(', ') || 'none'}`,
    ...shown.rollouts.map(({ id, state }) => `rollout   ${id}: ${state ?? 'nobody knows how it ended'}`),
    ...(shown.waits === null ? [] : [`warning: ${harmless(shown.waits)}`]),
    ...shown.unusual.map(({ node, service, what, at }) =>
      harmless(`warning: ${shownName(service)} on ${node}, ${minuteOf(at)} UTC: ${what}`),
    ),
    `decided   by ${harmless(by)}, ${minuteOf(at)} UTC${reason === '' ? '' : `: ${harmless(reason)}`}`,
    table(
      ['NODE', 'SITE', 'STATE', 'IS TO RUN'],
      nodes.map(({ name: node, site, state, has, runs }) => [
        ...[node, site, has ? state : `${state}, leaves`],
        runs.map(plain).join(' ') || '-',
      ]),
    ),
  ].join('\n');
}
