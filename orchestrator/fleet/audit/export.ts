import { z } from 'zod';
import { jsonIn } from '../../../base/json.ts';
import type { AuditLog } from './audit.ts';
import { ChainCheck, type Fault, type Item, type Link } from './chain.ts';

/**
 * An exported history: a line `{"begin": {seq, hash}}`, one line for each entry, a line `{"end": {seq, hash}}`. An
 * entry's text is in it as a string, byte for byte: an object that is serialised again might have another hash.
 */
const linkSchema = z.object({ seq: z.number().int().nonnegative(), hash: z.string() });
const beginSchema = z.object({ begin: linkSchema });
const lineSchema = z.union([
  z.object({ end: linkSchema }),
  z.object({
    seq: z.number().nullable(),
    hash: z.string().nullable(),
    key: z.string(),
    entry: z.string().nullable(),
  }),
]);

export type Place = Link & { key: string };

export const beginText = ({ seq, hash }: Link): string => JSON.stringify({ begin: { seq, hash } });
export const endText = ({ seq, hash }: Link): string => JSON.stringify({ end: { seq, hash } });
export const lineText = ({ seq, hash, key, text }: Item): string =>
  JSON.stringify({ seq, hash, key, entry: text });

/** Entries of a page. */
const PAGE = 5_000;

/**
 * A page of everything after a place, including entries that break the chain: the copy must show the faults.
 * @param from where the history begins, or the last entry of the page before
 * @returns `next` null: that was the end
 */
export async function exportPage(
  log: AuditLog,
  from: Place,
  isFirst: boolean,
  most = PAGE,
): Promise<{ lines: string[]; next: Place | null }> {
  const lines = isFirst ? [beginText(from)] : [];
  let end = from;
  let count = 0;
  for await (const item of log.items(from.key)) {
    const { seq, hash, key } = item;
    lines.push(lineText(item));
    end = seq !== null && hash !== null ? { seq, hash, key } : { ...end, key };
    count += 1;
    if (count === most) return { lines, next: end };
  }
  return { lines: [...lines, endText(end)], next: null };
}

/** Needs nothing but the file. */
export async function verifyExport(
  lines: AsyncIterable<string> | Iterable<string>,
): Promise<{ fault: Fault | null; first: Link | null; last: Link | null }> {
  let check: ChainCheck | null = null;
  let first: Link | null = null;
  let end: Link | null = null;
  let n = 0;
  const at = (kind: Fault['kind'], what: string) => ({
    fault: { seq: (check?.last.seq ?? 0) + 1, kind, what },
    first,
    last: check?.last ?? null,
  });
  for await (const line of lines) {
    n += 1;
    if (line === '') continue;
    if (end !== null) return at('misplaced', `line ${n} stands behind the end`);
    const value = jsonIn(line);
    if (check === null) {
      const begin = beginSchema.safeParse(value);
      if (!begin.success) return at('unchained', `line ${n} is not the beginning of an exported history`);
      first = begin.data.begin;
      check = new ChainCheck(first);
      continue;
    }
    const parsed = lineSchema.safeParse(value);
    if (!parsed.success) return at('unchained', `line ${n} is not a line of an exported history`);
    if ('end' in parsed.data) {
      end = parsed.data.end;
      continue;
    }
    const { key, entry: text, seq, hash } = parsed.data;
    const fault = check.next({ key, text, seq, hash });
    if (fault !== null) return { fault, first, last: check.last };
  }
  if (check === null) return at('unchained', 'it is empty');
  if (end === null) return at('cut', `the file ends behind entry ${check.last.seq}, without its last line`);
  if (end.seq !== check.last.seq || end.hash !== check.last.hash)
    return at('cut', `entry ${end.seq} was the last one; the file holds entries up to ${check.last.seq}`);
  return { fault: null, first, last: check.last };
}
