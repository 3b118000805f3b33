import type { Command } from 'commander';
import { type DataPaths, dataPaths } from '../base/paths.ts';

/** The data directory that the command line names (`--data`), for any command of any depth. */
export function pathsOf(command: Command): DataPaths {
  const { data } = command.optsWithGlobals<{ data?: string }>();
  return data === undefined ? dataPaths() : dataPaths(data);
}

/** Every command takes `--json`; this prints JSON or text. */
export function print(json: boolean | undefined, value: unknown, text: () => string): void {
  console.log(json === true ? jsonText(value) : onTerminal(text()));
}

const escapeOf = (unit: number) => `\\u${unit.toString(16).padStart(4, '0')}`;

/** Text of several lines as a terminal gets it. The lines are ours: values in them go through `harmless` or `table`. */
export function onTerminal(text: string): string {
  return text.split('\n').map(harmless).join('\n');
}

/** JSON that means the same and is harmless for a terminal too: JSON itself escapes only what is below U+0020. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value).replace(
    STEERING,
    // A character beyond U+FFFF is two of JSON's escapes (RFC 8259, 7).
    (character) =>
      Array.from({ length: character.length }, (_, i) => escapeOf(character.charCodeAt(i))).join(''),
  );
}

const STEERING = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/**
 * Text from a machine or the network, made harmless for a terminal: control characters could rewrite what an admin
 * compares, bidirectional and invisible ones (Unicode Cf) could reorder it.
 */
export function harmless(text: string): string {
  return text.replace(STEERING, '\ufffd');
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

export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
