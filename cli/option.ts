/** Arguments of the command line as values, for many commands. */
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { BootwaveError, messageOf } from '../base/error.ts';
import type { Operation } from '../orchestrator/operations/operation.ts';
import { readNamedFile } from '../orchestrator/operators/behind-sudo.ts';

export type Json = { json?: boolean };

/**
 * A command below its noun, called and described as its operation is.
 * @param parsers by the name of the argument: then a refusal names it, too
 */
export function commandFor(
  noun: Command,
  { name, help }: Pick<Operation, 'name' | 'help'>,
  args = '',
  parsers: Readonly<Record<string, (text: string) => unknown>> = {},
): Command {
  const word = name.split(' ').at(-1) ?? name;
  const command = noun
    .command(args === '' ? word : `${word} ${args}`)
    .description(help)
    .option('--json');
  for (const argument of command.registeredArguments) {
    const parser = parsers[argument.name()];
    if (parser !== undefined) argument.argParser(parser);
  }
  return command;
}

/** Whole numbers of a range. */
export function whole(least: number, most: number, of = ''): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`a whole number from ${least} to ${most}${of} is needed`);
  };
}

/** A number of entries, from 1 on. */
export function count(text: string): number {
  const n = Number(text);
  if (!Number.isSafeInteger(n) || n < 1) throw new InvalidArgumentError('a number of entries');
  return n;
}

/** For options that may be given again. */
export function collect(value: string, before: string[] = []): string[] {
  return [...before, value];
}

/** Where a command looks for release keys besides the keys folder. */
export const MEDIA = [
  '--keys <directory>',
  'storage with release keys; may be given again',
  collect,
] as const;

/** The path as this process sees it: the server may be in another folder. */
export const foldersOf = (folders: readonly string[] = []): string[] =>
  folders.map((folder) => resolve(folder));

const UNITS: Record<string, number> = { s: 1000, m: 60_000, h: 3600_000, d: 86_400_000 };

/** Milliseconds; null: it is no `30m`, `12h`, `7d`. */
function spanOf(text: string): number | null {
  const span = /^(\d+)([smhd])$/.exec(text);
  return span === null ? null : Number(span[1]) * (UNITS[span[2] ?? ''] ?? 0);
}

/** As all that is shown: UTC, unless it says otherwise (`2026-01-31T12:00+01:00`). NaN: no date */
const dateOf = (text: string): number =>
  Date.parse(/^\d{4}-\d\d-\d\d[T ][\d:.]+$/.test(text) ? `${text.replace(' ', 'T')}Z` : text);

/** @returns milliseconds since the epoch, never negative: Redis knows no such stream ids */
export function since(text: string): number {
  const age = spanOf(text);
  if (age !== null) return Math.max(Date.now() - age, 0);
  const at = dateOf(text);
  if (Number.isNaN(at))
    throw new InvalidArgumentError('a date in UTC such as 2026-01-31T12:00, or 30m, 12h, 7d');
  return Math.max(at, 0);
}

/** @returns milliseconds since the epoch */
export function until(text: string): number {
  const span = spanOf(text);
  if (span !== null) return Date.now() + span;
  const at = dateOf(text);
  if (Number.isNaN(at) || at < 0)
    throw new InvalidArgumentError('a date in UTC such as 2026-01-31T12:00, or 30m, 12h, 7d from now');
  return at;
}

/** @returns milliseconds */
export function span(text: string): number {
  const length = spanOf(text);
  if (length !== null) return length;
  throw new InvalidArgumentError('a time such as 30m, 12h, 7d');
}

/** Fires at Ctrl-C, or when told to end. */
export function untilStopped(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  return stop.signal;
}

/** `2026-01-31 12:00:00`, UTC. */
export const stamp = (at: number): string => new Date(at).toISOString().slice(0, 19).replace('T', ' ');

/** `2026-01-31 12:00`, UTC. */
export const minuteOf = (at: number): string => new Date(at).toISOString().slice(0, 16).replace('T', ' ');

/** `2026-01-31`, UTC. */
export const dayOf = (at: number): string => new Date(at).toISOString().slice(0, 10);

/** A file of the user, which the server may not be able to read. @throws BootwaveError of this code */
export async function textOf(
  file: string,
  { code, what, unchanged }: { code: string; what: string; unchanged: string },
): Promise<string> {
  const bytes = await readNamedFile(file).catch((cause: unknown) => {
    throw new BootwaveError({ code, what: `${what}: ${messageOf(cause)}`, unchanged, cause });
  });
  return bytes.toString('utf8');
}
