/** Reads what one instance has written: the newest lines first, and no more of the journal than an answer takes. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { BootwaveError } from '../../../../base/error.ts';
import { lastWords } from '../../../../base/run.ts';
import type { JournalRequest } from '../../../../protocol/agent/journal.ts';
import { instanceId, instanceUnit } from '../../../../protocol/agent/units.ts';
import { LOG_LIMITS, type LogLine, type Logs, type LogsArgs } from '../../../../protocol/link/logs.ts';
import { logLineOf } from './entry.ts';

export type JournalPlaces = {
  /** journalctl(1), and what comes before it. */
  command: readonly [string, ...string[]];
  /** Milliseconds since the epoch. */
  now(): number;
};

export const JOURNAL_OPERATIONS = {
  'instance-log': (
    { asked }: Extract<JournalRequest, { operation: 'instance-log' }>,
    places: JournalPlaces,
  ) => readLog(asked, places),
};

/** @throws BootwaveError `JOURNAL_UNREADABLE` */
export async function readLog(
  { name, age, lines: most }: LogsArgs,
  { command: [program, ...before], now }: JournalPlaces,
): Promise<Logs> {
  const since = age === null ? [] : [`--since=@${Math.max(0, Math.floor((now() - age) / 1000))}`];
  const journal = spawn(
    program,
    [
      ...[...before, '--quiet', '--no-pager', '--reverse', '--all', '--output=json'],
      ...['--output-fields=MESSAGE,PRIORITY,_PID', `--unit=${instanceUnit(instanceId(name))}`],
      // One more shows whether there is more.
      ...[`--lines=${most + 1}`, ...since],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const ended = once(journal, 'close') as Promise<[number | null]>;
  // Not found: it is said below, and not as an error that nobody handles.
  ended.catch(() => {});
  const words = lastWords(journal.stderr);
  const lines: LogLine[] = [];
  let bytes = 0;
  let more = false;
  for await (const text of createInterface({ input: journal.stdout })) {
    const line = logLineOf(text);
    if (line === null) continue;
    bytes += Buffer.byteLength(JSON.stringify(line)) + 1;
    more = lines.length === most || bytes > LOG_LIMITS.bytes;
    if (more) break;
    lines.push(line);
  }
  journal.kill('SIGKILL');
  const [code] = await ended;
  if (!more && code !== 0 && code !== null)
    throw new BootwaveError({
      code: 'JOURNAL_UNREADABLE',
      what: `the journal of this node cannot be read: ${words().trim()}`,
      unchanged: 'nothing was read',
      next: 'restart the node, if it stays so',
    });
  return { lines: lines.reverse(), more };
}
