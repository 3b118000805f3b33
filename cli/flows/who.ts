/** Who has sent something. */
import type { Command } from 'commander';
import { Option } from 'commander';
import type { Who } from '../../orchestrator/operations/flows/acts.ts';
import * as flows from '../../orchestrator/operations/flows/declared.ts';
import { FLEET, shownName } from '../../protocol/service/name.ts';
import { harmless, print, table } from '../context.ts';
import { call } from '../operate.ts';
import { type Json, since, stamp, whole } from '../option.ts';
import { amount } from '../usage/text.ts';

type Asked = Json & {
  from: string;
  to?: string;
  port?: number;
  protocol?: 'tcp' | 'udp';
  at?: number;
  within: number;
};

export function register(command: Command): void {
  command
    .requiredOption('--from <node>', 'the node that sent it')
    .option('--to <address>', 'where it was sent')
    .option('--port <number>', 'to which port there', whole(0, 65_535))
    .addOption(new Option('--protocol <name>', 'only this one').choices(['tcp', 'udp']))
    .option('--at <when>', 'a date in UTC (2026-01-31T12:00) or an age (30m, 12h, 7d); else now', since)
    .option('--within <seconds>', 'before and after', whole(1, 30 * 24 * 3600), 600)
    .option('--json')
    .action(async ({ json, ...asked }: Asked, command: Command) => {
      const found = await call(command, flows.who, asked);
      print(json, found, () => text(found));
    });
}

function text({ node, senders, gaps, setBack, heard, from, until, now }: Who): string {
  const span = (a: number, b: number) => `${stamp(a)} to ${stamp(b)} UTC`;
  const rows = senders.map((one) => [
    one.sure ? 'yes' : 'maybe',
    `${shownName(one.service)}${one.version === null ? '' : `:${one.version}`}`,
    whom(one),
    one.way === 'answered' ? 'answered' : 'sent',
    one.sure ? `${one.to} ${one.protocol}` : one.to === '0.0.0.0' ? 'anywhere' : `${one.to}/8`,
    one.port === null ? '' : `${one.way === 'answered' ? 'from ' : ''}${one.port}`,
    `${one.packets}`,
    amount(one.bytes),
    span(one.from, one.until),
  ]);
  const said =
    rows.length === 0
      ? [`no service of ${node} is known to have sent that from ${span(from, Math.min(until, now))}`]
      : [table(['IT', 'SERVICE', 'WRITE TO', 'DID', 'TO', 'PORT', 'PACKETS', 'BYTES', 'BETWEEN'], rows)];
  const doubts = [
    ...(senders.some(({ sure }) => !sure)
      ? ['maybe: its record was full; the packets counted there may have gone to that address, or to others']
      : []),
    ...gaps.map(
      (gap) => `unknown: what was sent from ${span(gap.from, gap.until)}; ${whyOf(gap, heard, now)}`,
    ),
    ...(setBack ? ['the clock of this server was set back in that time: times may be wrong'] : []),
  ];
  return [...said, ...(doubts.length === 0 ? [] : ['', ...doubts])].join('\n');
}

/** The owners of the slice chose to run it there; else whoever releases it. */
function whom({ people, owner, team }: Who['senders'][number]): string {
  if (people !== null && people.length > 0) return people.map(harmless).join(', ');
  return owner === FLEET ? 'core team' : (team ?? `${owner} (no team any more)`);
}

function whyOf(gap: { until: number }, heard: number | null, now: number): string {
  if (gap.until < (heard ?? 0)) return 'the node or this server was away, or the node has restarted';
  return now - gap.until < 1000
    ? 'nodes are asked about every five minutes: ask again then'
    : 'this server has heard nothing of the node since';
}
