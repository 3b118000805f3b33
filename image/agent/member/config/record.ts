import { readFile } from 'node:fs/promises';
import * as z from 'zod/mini';
import { writeFileAtomic } from '../../../../base/files.ts';
import { CONFIG_BASE64 } from '../../../../protocol/configuration/document.ts';

/** What the agent keeps across boots. */
export const configRecordSchema = z.strictObject({
  format: z.literal(1),
  /** The last configuration under which the orchestrator still reached this node; null: none. */
  good: z.nullable(
    z.strictObject({
      digest: z.string().check(z.regex(/^[0-9a-f]{64}$/)),
      document: z.string().check(z.maxLength(CONFIG_BASE64)),
    }),
  ),
});
export type ConfigRecord = z.infer<typeof configRecordSchema>;

export interface ConfigStore {
  /** Null when there is none, or one that cannot be read. */
  read(): Promise<ConfigRecord | null>;
  write(record: ConfigRecord): Promise<void>;
}

/** State is a cache: a lost or torn file counts as none, and the orchestrator brings it again. */
export function configFile(path: string): ConfigStore {
  return {
    async read() {
      try {
        return configRecordSchema.parse(JSON.parse(await readFile(path, 'utf8')));
      } catch {
        return null;
      }
    },
    write: (record) => writeFileAtomic(path, `${JSON.stringify(record)}\n`),
  };
}
