import { mkdir, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder } from './files.ts';
import { jsonIn } from './json.ts';

/** The line written before a line that a crash cut short: nobody was ever told that the cut line was stored. */
const CUT_SHORT = '#cut-short';
const NEWLINE = 0x0a;

/**
 * Appends one line to a file that only grows, durably. A line that a crash cut short is closed first and named as such, so
 * that it spoils no other, and so that a damaged one is never taken for it.
 * @param line JSON, without a line end
 */
export async function appendLine(path: string, line: string): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const file = await open(path, 'a+', 0o600);
  try {
    const { size } = await file.stat();
    const last = Buffer.alloc(1, NEWLINE);
    if (size > 0) await file.read(last, 0, 1, size - 1);
    const closed = last[0] === NEWLINE ? '' : `\n${CUT_SHORT}`;
    // The line end closes what another process may have begun meanwhile. An empty line means nothing.
    await file.appendFile(`${closed}\n${line}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await syncFolder(folder);
}

/**
 * The lines that `appendLine` acknowledged. What follows the last line end was never acknowledged, nor was a line that
 * a crash cut short.
 * @returns the lines with their numbers, from 1 on; a damaged line is included, so that its reader can refuse it
 */
export function acknowledged(text: string): { number: number; line: string }[] {
  const lines = text.split('\n').slice(0, -1);
  return lines.flatMap((line, i) => {
    if (line === '' || line === CUT_SHORT) return [];
    return lines[i + 1] === CUT_SHORT && jsonIn(line) === undefined ? [] : [{ number: i + 1, line }];
  });
}

/** @returns the acknowledged lines of a file with their numbers; none where there is no file */
export async function readLines(path: string): Promise<{ number: number; line: string }[]> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  return acknowledged(text);
}
