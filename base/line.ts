import { readFile } from 'node:fs/promises';

/** Any text as the protocols take it: one line, no control characters, at most `most`, no half characters. */
export function flat(text: string, most = 256): string {
  return withoutControls(text).slice(0, most).toWellFormed();
}

/** Text of the firmware or of a device in the same way, without the blanks around it. */
export function line(text: string, most = 128): string {
  return withoutControls(text).trim().slice(0, most).toWellFormed();
}

const withoutControls = (text: string): string => text.replace(/\p{Cc}+/gu, ' ');

/** @returns one such line of a small file; empty when it cannot be read */
export async function readLine(path: string, most = 128): Promise<string> {
  return readFile(path, 'utf8').then(
    (text) => line(text, most),
    () => '',
  );
}
