import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { REPOSITORY } from './pages.ts';

let read: Promise<string> | undefined;
/** All of the program's source, one file after the other. */
export function sourceText(): Promise<string> {
  read ??= (async () => {
    const texts: string[] = [];
    for (const folder of [
      'base',
      'formats',
      'protocol',
      'keys',
      'bootserver',
      'image',
      'orchestrator',
      'lab',
      'cli',
    ]) {
      for (const entry of await readdir(join(REPOSITORY, folder), { recursive: true })) {
        if (entry.endsWith('.ts')) texts.push(await readFile(join(REPOSITORY, folder, entry), 'utf8'));
      }
    }
    return texts.join('\n');
  })();
  return read;
}
