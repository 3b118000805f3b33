import { mkdir, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder } from './files.ts';

/**
 * Appends one line to a file that only grows, durably. A line that a crash cut short is closed first, so that it
 * spoils no other.
 * @param line without a line end
 */
export async function appendLine(path: string, line: string): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const file = await open(path, 'a', 0o600);
  try {
    // The line end before it closes a line that a crash cut short; an empty line means nothing.
    await file.appendFile(`\n${line}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await syncFolder(folder);
}

/** Its lines, empty ones too; none where there is no file. What follows the last line end was never acknowledged. */
export async function readLines(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  return text.split('\n').slice(0, -1);
}
