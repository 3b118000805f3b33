import { type Command, InvalidArgumentError } from 'commander';
import type { AuditEntry } from '../../orchestrator/fleet/audit.ts';
import { withFleet } from '../../orchestrator/fleet/with-fleet.ts';
import { since } from '../audit/audit.ts';
import { pathsOf, print, table } from '../context.ts';
import { stamp } from '../rollout/progress.ts';

type Options = { since?: number; last?: number; json?: boolean };

export function register(node: Command): void {
  node
    .command('history <node>')
    .description('its whole life, oldest first: when, who, what and why')
    .option('--since <when>', 'a date (2026-01-31T12:00) or an age (30m, 12h, 7d)', since)
    .option('--last <n>', 'the newest n entries', count)
    .option('--json')
    .action(async (word: string, { json, since, last }: Options, command: Command) => {
      const entries = await withFleet(pathsOf(command), async (fleet) => {
        const { id } = await fleet.nodes.resolve(word);
        return fleet.audit.read({
          node: id,
          ...(since === undefined ? {} : { since }),
          ...(last === undefined ? {} : { last }),
        });
      });
      print(json, entries, () => historyText(entries));
    });
}

export function historyText(entries: readonly AuditEntry[]): string {
  if (entries.length === 0) return 'nothing is on record';
  return table(
    ['WHEN (UTC)', 'WHO', 'WHAT', 'STATE', 'WHY'],
    entries.map((entry) => [stamp(entry.at), entry.actor, what(entry), moved(entry), why(entry)]),
  );
}

/** Of a rollout, which one: its states are the steps of a rollout and not those of a node. */
function what({ action, detail }: AuditEntry): string {
  return detail?.rollout === undefined ? action : `${action} ${detail.rollout}`;
}

function moved({ from, to }: AuditEntry): string {
  return from === to || from === undefined || to === undefined ? '' : `${from} -> ${to}`;
}

function why({ reason, detail }: AuditEntry): string {
  return detail?.from === undefined ? reason : `${reason} (from ${detail.from})`;
}

function count(text: string): number {
  const n = Number(text);
  if (!Number.isSafeInteger(n) || n < 1) throw new InvalidArgumentError('a number of entries');
  return n;
}
