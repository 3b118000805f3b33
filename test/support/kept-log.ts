import { createLogger, type Logger } from '../../base/log.ts';

export type LogLine = { level: number; code?: string; msg: string; [field: string]: unknown };

/** A log, and its lines so far from `level` on. */
export function keptLog(level = 'info'): { log: Logger; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const to = { write: (line: string) => void lines.push(JSON.parse(line)) };
  return { log: createLogger('test', level, to), lines };
}
