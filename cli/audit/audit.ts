import { type Command, InvalidArgumentError } from 'commander';
import type { AuditRecord } from '../../orchestrator/fleet/audit.ts';
import { shortId } from '../../orchestrator/fleet/names.ts';
import { withFleet } from '../../orchestrator/fleet/with-fleet.ts';
import { harmless, pathsOf } from '../context.ts';
import { register as check } from './check.ts';

type Options = { node?: string; since?: number; last?: number; follow?: boolean; json?: boolean };

export function register(program: Command): void {
  const audit = program.command('audit').description('who did what to which node, and why');
  audit
    .command('list', { isDefault: true })
    .description('the history, oldest first; what `audit` alone does')
    .option('--node <name-or-id>', 'of one node only')
    .option('--since <when>', 'a date (2026-01-31T12:00) or an age (30m, 12h, 7d)', since)
    .option('--last <n>', 'the newest n entries (100 unless --since or --node says otherwise)', count)
    .option('--follow', 'keep printing what comes, until Ctrl-C')
    .option('--json', 'one JSON object a line with --follow, else one array')
    .action(async (options: Options, command: Command) => {
      await withFleet(pathsOf(command), async (fleet) => {
        const node = options.node === undefined ? undefined : (await fleet.nodes.resolve(options.node)).id;
        const all = options.since !== undefined || node !== undefined;
        const last = options.last ?? (all ? undefined : 100);
        const entries = await fleet.audit.read({
          ...(options.since === undefined ? {} : { since: options.since }),
          ...(node === undefined ? {} : { node }),
          ...(last === undefined ? {} : { last }),
        });
        const show = (entry: AuditRecord) =>
          console.log(options.json === true ? JSON.stringify(entry) : line(entry));
        if (options.follow !== true && options.json === true) console.log(JSON.stringify(entries));
        else entries.forEach(show);
        if (options.follow !== true) return;
        const stop = new AbortController();
        for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
        for await (const entry of fleet.audit.follow(stop.signal, entries.at(-1)?.key ?? '$')) {
          if (node === undefined || entry.node === node) show(entry);
        }
      });
    });

  check(audit);
}

function line(entry: AuditRecord): string {
  const at = new Date(entry.at).toISOString().replace('T', ' ').slice(0, 19);
  const node = entry.node === undefined ? '' : `${shortId(entry.node)} `;
  const move = entry.to === undefined || entry.from === entry.to ? '' : `${entry.from} -> ${entry.to}: `;
  const from = entry.detail?.from === undefined ? '' : ` (from ${entry.detail.from})`;
  return harmless(
    `${at}  ${entry.actor.padEnd(14)}  ${entry.action.padEnd(9)}  ${node}${move}${entry.reason}${from}`,
  );
}

function count(text: string): number {
  const n = Number(text);
  if (!Number.isSafeInteger(n) || n < 1) throw new InvalidArgumentError('a number of entries');
  return n;
}

const UNITS: Record<string, number> = { s: 1000, m: 60_000, h: 3600_000, d: 86_400_000 };

/** @returns milliseconds since the epoch, never before it: Redis knows no such stream ids */
export function since(text: string): number {
  const age = /^(\d+)([smhd])$/.exec(text);
  if (age !== null) return Math.max(Date.now() - Number(age[1]) * (UNITS[age[2] ?? ''] ?? 0), 0);
  const at = Date.parse(text);
  if (Number.isNaN(at)) throw new InvalidArgumentError('a date such as 2026-01-31T12:00, or 30m, 12h, 7d');
  return Math.max(at, 0);
}
