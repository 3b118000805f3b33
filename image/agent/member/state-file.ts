import { readFile } from 'node:fs/promises';
import type * as z from 'zod/mini';
import { writeFileAtomic } from '../../../base/files.ts';

/** A record that the agent keeps across boots. */
export interface StateFile<T> {
  read(): Promise<T>;
  write(record: T): Promise<void>;
}

/**
 * State is a cache: a lost or torn file counts as none.
 * @param none what is read then
 */
export function stateFile<T>(path: string, schema: z.ZodMiniType<T>, none: T): StateFile<T> {
  return {
    async read() {
      try {
        return schema.parse(JSON.parse(await readFile(path, 'utf8')));
      } catch {
        return none;
      }
    },
    write: (record) => writeFileAtomic(path, `${JSON.stringify(record)}\n`),
  };
}
