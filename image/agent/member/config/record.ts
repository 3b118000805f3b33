import * as z from 'zod/mini';
import { sha256Hex } from '../../../../formats/digest.ts';
import { CONFIG_BASE64 } from '../../../../protocol/configuration/document.ts';
import { type StateFile, stateFile } from '../state-file.ts';

/** What the agent keeps across boots. */
const configRecordSchema = z.strictObject({
  format: z.literal(1),
  /** The last configuration under which the orchestrator still reached this node; null: none. */
  good: z.nullable(
    z.strictObject({
      digest: sha256Hex,
      document: z.string().check(z.maxLength(CONFIG_BASE64)),
    }),
  ),
});
export type ConfigRecord = z.infer<typeof configRecordSchema>;

/** Null: there is none; the orchestrator brings it again. */
export type ConfigStore = StateFile<ConfigRecord | null>;

export const configFile = (path: string): ConfigStore =>
  stateFile<ConfigRecord | null>(path, configRecordSchema, null);
