import { readFile } from 'node:fs/promises';

/** Text of the firmware or of a device as the protocol takes it: one line, no control characters, at most `most`, no half characters. */
export function line(text: string, most = 128): string {
  return text
    .replace(/\p{Cc}+/gu, ' ')
    .trim()
    .slice(0, most)
    .toWellFormed();
}

/** @returns one such line of a small file; empty when it cannot be read */
export async function readLine(path: string, most = 128): Promise<string> {
  return readFile(path, 'utf8').then(
    (text) => line(text, most),
    () => '',
  );
}
