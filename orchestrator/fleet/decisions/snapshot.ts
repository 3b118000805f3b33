/**
 * What counted of the log when it had a certain length, so that a start need not read what was replaced since. It is made of
 * the log and of nothing else, and names the bytes that it stands for by their hash; whoever can write here can write the log.
 */
import { hash } from 'node:crypto';
import { z } from 'zod';
import { jsonIn } from '../../../base/json.ts';
import { Kept } from './kept.ts';

/** Raised when a version keeps other lines of the same log. */
const FORMAT = 1;

export const snapshotFile = (journal: string): string => `${journal}.snapshot`;

const headSchema = z.object({
  snapshot: z.literal(FORMAT),
  /** How much of the log this stands for, and its SHA-256. */
  bytes: z.int().min(0),
  digest: z.string(),
  /** The end of the log in Redis up to which all of it is in those bytes. */
  tip: z.object({ key: z.string(), text: z.string() }).nullable(),
  /** How many of the lines who wrote this could not read: a version that can, or can read fewer, reads the log. */
  torn: z.int().min(0),
  /** See `Kept.installs`. */
  installs: z.array(z.tuple([z.string(), z.number()])),
});
type Head = z.infer<typeof headSchema>;

const sumOf = (text: string): string => hash('sha256', text);

export function snapshotText(kept: Kept, head: Pick<Head, 'bytes' | 'digest' | 'tip'>): string {
  const whole: Head = { snapshot: FORMAT, ...head, torn: kept.torn, installs: [...kept.installs] };
  const text = [JSON.stringify(whole), ...kept.lines].map((line) => `${line}\n`).join('');
  return `${text}${sumOf(text)}\n`;
}

/**
 * @param log all bytes of the log
 * @returns what counted, for how many bytes of the log; or a sentence that says why this is not a snapshot of it
 */
export function readSnapshot(
  text: string,
  log: Buffer,
): (Pick<Head, 'bytes' | 'tip'> & { kept: Kept }) | string {
  const end = text.lastIndexOf('\n', text.length - 2) + 1;
  if (text.slice(end) !== `${sumOf(text.slice(0, end))}\n`) return 'it is damaged or was changed';
  const [first = '', ...lines] = text.slice(0, end).split('\n');
  const head = headSchema.safeParse(jsonIn(first));
  if (!head.success) return 'another version wrote it';
  const { bytes, digest, tip, torn, installs } = head.data;
  if (bytes > log.length) return 'the log is shorter than it was';
  if (hash('sha256', log.subarray(0, bytes)) !== digest)
    return 'it is of another log, or the log was changed';
  const kept = new Kept();
  kept.begin(lines, installs);
  if (kept.torn !== torn) return 'another version wrote it';
  return { bytes, tip, kept };
}
