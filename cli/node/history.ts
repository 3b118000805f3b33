import type { Command } from 'commander';
import type { AuditEntry } from '../../orchestrator/fleet/audit/entry.ts';
import * as node from '../../orchestrator/operations/node/declared.ts';
import { print, table } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, count, type Json, since, stamp } from '../option.ts';

type Options = Json & { since?: number; last?: number };

export function register(group: Command): void {
  commandFor(group, node.history, '<node>')
    .option('--since <when>', 'a date in UTC (2026-01-31T12:00) or an age (30m, 12h, 7d)', since)
    .option('--last <n>', 'the newest n entries', count)
    .action(async (word: string, { json, since, last }: Options, command: Command) => {
      const entries = await call(command, node.history, { node: word, since, last });
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

/** For a rollout, its id: its states are the steps of a rollout and not those of a node. */
function what({ action, detail }: AuditEntry): string {
  return detail?.rollout === undefined ? action : `${action} ${detail.rollout}`;
}

function moved({ from, to }: AuditEntry): string {
  return from === to || from === undefined || to === undefined ? '' : `${from} -> ${to}`;
}

function why({ reason, detail }: AuditEntry): string {
  return detail?.from === undefined ? reason : `${reason} (from ${detail.from})`;
}
