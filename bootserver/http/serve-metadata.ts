import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Parts } from './parts.ts';
import type { Asked, Reply } from './route.ts';

/**
 * Root, snapshot and targets, and the roles of teams, whose names hold no character that is special to a file system.
 */
const NAME = /^(?:\d{1,15}\.[a-z][a-z0-9-]{0,62}|timestamp)\.json$/;

/** Release metadata, signed elsewhere: small files. Only the newest timestamp changes in place. */
export async function metadata({ name }: Asked, { metadata }: Parts): Promise<Reply> {
  const absent: Reply = {
    kind: 'absent',
    code: 'METADATA_ABSENT',
    what: 'no such release metadata is published',
  };
  if (metadata === undefined || !NAME.test(name)) return absent;
  try {
    return { kind: 'text', type: 'application/json', text: await readFile(join(metadata, name)) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return absent;
    throw error;
  }
}
