import type { Command } from 'commander';
import { type DataPaths, dataPaths } from '../base/paths.ts';

/** The data directory that the command line names (`--data`), for any command of any depth. */
export function pathsOf(command: Command): DataPaths {
  const { data } = command.optsWithGlobals<{ data?: string }>();
  return data === undefined ? dataPaths() : dataPaths(data);
}

/** Every command takes `--json`; this prints JSON or text. */
export function print(json: boolean | undefined, value: unknown, text: () => string): void {
  console.log(json === true ? JSON.stringify(value) : text());
}

/**
 * Text from a machine or the network, made harmless for a terminal: control characters could rewrite what an admin
 * compares, bidirectional and invisible ones (Unicode Cf) could reorder it.
 */
export function harmless(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, '\ufffd');
}

/** A plain table for people; columns as wide as their widest cell. */
export function table(head: readonly string[], cells: readonly (readonly string[])[]): string {
  const rows = cells.map((row) => row.map(harmless));
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] ?? '').length)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  return [line(head), ...rows.map(line)].join('\n');
}
