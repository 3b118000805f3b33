import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { AuditRecord } from '../../orchestrator/fleet/audit/entry.ts';
import { shortId } from '../../orchestrator/fleet/names.ts';
import * as audit from '../../orchestrator/operations/audit/declared.ts';
import { harmless, jsonText } from '../context.ts';
import { call } from '../operate.ts';
import { count, type Json, since, stamp, untilStopped } from '../option.ts';
import { register as check } from './check.ts';

type Options = Json & { node?: string; since?: number; last?: number; follow?: boolean };

/** Milliseconds between two looks for what is new. */
const FOLLOW_EVERY = 500;
/** Before every entry. */
const BEGINNING = '0-0';

export function register(group: Command): void {
  group
    .command('list', { isDefault: true })
    .description(audit.list.help)
    .option('--node <name-or-id>', 'of one node only')
    .option('--since <when>', 'a date in UTC (2026-01-31T12:00) or an age (30m, 12h, 7d)', since)
    .option('--last <n>', 'the newest n entries (100 unless --since or --node says otherwise)', count)
    .option('--follow', 'keep printing what comes, until Ctrl-C')
    .option('--json', 'one JSON object a line with --follow, else one array')
    .action(async ({ node, since, last: wanted, follow, json }: Options, command: Command) => {
      const last = wanted ?? (since !== undefined || node !== undefined ? undefined : 100);
      const entries = await call(command, audit.list, { node, since, last });
      const show = (entry: AuditRecord) => console.log(json === true ? jsonText(entry) : line(entry));
      if (follow !== true && json === true) console.log(jsonText(entries));
      else entries.forEach(show);
      if (follow !== true) return;
      const stopped = untilStopped();
      // If nothing matches, new entries are those after the newest entry of all.
      const newest = entries.at(-1) ?? (await call(command, audit.list, { last: 1 })).at(-1);
      let after = newest?.key ?? BEGINNING;
      while (!stopped.aborted) {
        await sleep(FOLLOW_EVERY, undefined, { signal: stopped }).catch(() => {});
        if (stopped.aborted) return;
        const fresh = await call(command, audit.list, { node, after });
        fresh.forEach(show);
        after = fresh.at(-1)?.key ?? after;
      }
    });

  check(group);
}

function line(entry: AuditRecord): string {
  const node = entry.node === undefined ? '' : `${shortId(entry.node)} `;
  const move = entry.to === undefined || entry.from === entry.to ? '' : `${entry.from} -> ${entry.to}: `;
  const from = entry.detail?.from === undefined ? '' : ` (from ${entry.detail.from})`;
  return harmless(
    `${stamp(entry.at)}  ${entry.actor.padEnd(14)}  ${entry.action.padEnd(9)}  ${node}${move}${entry.reason}${from}`,
  );
}
