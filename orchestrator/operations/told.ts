/** What the server's log says of operations: who did what, and what came of it. The whole of it is in the audit. */
import type { Logger } from '../../base/log.ts';
import { QuietLog } from '../../bootserver/quiet-log.ts';
import { type House, type Operation, READ } from './operation.ts';

/** Fields of inputs that say what an operation was about, beside those that name nodes. Nothing else of an input is told. */
const NAMES = ['rollout', 'version', 'image', 'config', 'site', 'request'] as const;

/** Characters of a name or of a list of names. */
const LONGEST = 160;

/** Of one process: what is refused is counted over all of its doors. */
const logs = new WeakMap<Logger, QuietLog>();

/**
 * One line, unless it only reads. What was done is in the log each time; of what was refused a flood is counted.
 * @param outcome `done`, `waits` for a second person, or the code of the refusal
 */
export function tellOperation(
  { log, find }: Pick<House, 'log' | 'find'>,
  actor: string,
  ask: { operation: string; input: unknown },
  outcome: string,
): void {
  const operation = declared(find, ask.operation);
  if (operation?.who === READ || operation?.who === 'anyone') return;
  const about = { actor, operation: operation?.name ?? 'unknown', ...namesOf(operation, ask.input), outcome };
  if (outcome === 'done' || outcome === 'waits') {
    log.info({ code: 'OPERATION', ...about }, 'an operation was asked for');
    return;
  }
  const quiet = logs.get(log) ?? new QuietLog(log);
  logs.set(log, quiet);
  quiet.warn('OPERATION_REFUSED', { ...about, from: actor }, 'an operation was refused');
}

function declared(find: House['find'], name: string): Operation | undefined {
  try {
    return find(name);
  } catch {
    return undefined;
  }
}

function namesOf(operation: Operation | undefined, input: unknown): Record<string, string> {
  if (operation === undefined || typeof input !== 'object' || input === null) return {};
  const given = input as Record<string, unknown>;
  const fields = [...NAMES, ...(operation.nodes ?? [])];
  return Object.fromEntries(
    fields.flatMap((field) => {
      const value = given[field];
      const words = (Array.isArray(value) ? value : [value]).filter((word) => typeof word === 'string');
      return words.length === 0 ? [] : [[field, words.join(' ').slice(0, LONGEST)]];
    }),
  );
}
