import { z } from 'zod';
import type { Restored } from '../../backup/restore.ts';
import type { Backup } from '../../backup/write.ts';
import { backupFiles, file, moment, typed } from '../input.ts';
import { ADMIN, operation } from '../operation.ts';

export const backup = operation({
  name: 'backup',
  help: 'everything that a fresh machine needs to go on, encrypted to a key that is not here; the server may run',
  who: ADMIN,
  offline: 'records',
  hostOnly: true,
  input: z.strictObject({
    /** Not there yet, or a pipe. */
    to: file,
    /** Public keys, as age takes them. */
    recipients: z.array(z.string().min(1).max(4096)).min(1).max(20),
    /** Images and bundles too. */
    large: z.boolean(),
  }),
  result: typed<Backup>(),
  act: async () => (await import('./acts.ts')).make,
});

export const restore = operation({
  name: 'restore',
  help: 'restore a backup into an empty data directory, so that a server goes on from it; says what the backup does not know',
  who: ADMIN,
  offline: 'files',
  hostOnly: true,
  input: z.strictObject({
    ...backupFiles,
    /** Old data directories, what is left of them, copies of `bans.log`. */
    survivors: z.array(file).max(20),
    /** Nothing older is restored. */
    after: moment.optional(),
  }),
  result: typed<Restored>(),
  act: async () => (await import('./acts.ts')).putBack,
});
