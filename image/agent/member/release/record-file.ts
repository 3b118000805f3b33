import { readFile } from 'node:fs/promises';
import { writeFileAtomic } from '../../../../base/files.ts';
import { NO_RECORD, type ReleaseRecord, recordSchema } from './failures.ts';

/** Where the record is kept. */
export interface RecordStore {
  read(): Promise<ReleaseRecord>;
  write(record: ReleaseRecord): Promise<void>;
}

/** State is a cache: a lost or torn file counts as none, because the ESP still shows what failed. */
export function recordFile(path: string): RecordStore {
  return {
    async read() {
      try {
        return recordSchema.parse(JSON.parse(await readFile(path, 'utf8')));
      } catch {
        return NO_RECORD;
      }
    },
    write: (record) => writeFileAtomic(path, `${JSON.stringify(record)}\n`),
  };
}
