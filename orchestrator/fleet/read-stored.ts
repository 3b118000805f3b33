import type { z } from 'zod';
import { BootwaveError } from '../../base/error.ts';

/**
 * A text as it stands in Redis, where a newer version or somebody else may have written it.
 * @returns null: it does not fit the schema; one such text must not hide or stop the others
 */
export function readStored<T>(schema: z.ZodType<T>, text: string): T | null {
  try {
    const read = schema.safeParse(JSON.parse(text));
    return read.success ? read.data : null;
  } catch {
    return null;
  }
}

/** For `catch`, in a list: a record that cannot be read is left out. A command that names it reports the error. */
export function leaveOut(error: unknown): null {
  if (error instanceof BootwaveError) return null;
  throw error;
}
