import { z } from 'zod';
import { auditRecordSchema } from '../../fleet/audit/entry.ts';
import type { Place } from '../../fleet/audit/export.ts';
import type { Verdict } from '../../fleet/audit/verify.ts';
import type { Confirmed } from '../../fleet/decisions/confirm.ts';
import { moment, nodeWord, nothing, reason, typed } from '../input.ts';
import { ADMIN, operation, READ } from '../operation.ts';
import type { Accepted, FileVerdict } from './acts.ts';

const key = z.string().regex(/^\d{1,16}-\d{1,16}$/);

export const list = operation({
  name: 'audit list',
  help: 'the history, oldest first; what `audit` alone does',
  who: READ,
  nodes: ['node'],
  input: z.strictObject({
    node: nodeWord.optional(),
    since: moment.optional(),
    /** Only what lies behind this entry: for following. */
    after: key.optional(),
    /** The newest ones. */
    last: z.int().min(1).optional(),
  }),
  result: z.array(auditRecordSchema),
  act: async () => (await import('./acts.ts')).list,
});

export const verify = operation({
  name: 'audit verify',
  help: 'whether the history is whole: names the first entry that does not fit; FILE: an exported one',
  who: READ,
  input: nothing,
  result: typed<Verdict>(),
  act: async () => (await import('./acts.ts')).verify,
});

export const verifyFile = operation({
  name: 'audit verify file',
  help: 'whether an exported history is whole; needs nothing but the file',
  who: READ,
  offline: 'files',
  hostOnly: true,
  input: z.strictObject({ file: z.string().min(1).max(4096) }),
  result: typed<FileVerdict>(),
  act: async () => (await import('./acts.ts')).verifyFile,
});

export const exported = operation({
  name: 'audit export',
  help: `the whole history with its hashes, JSON lines; 'audit verify FILE' checks it anywhere`,
  who: READ,
  input: z.strictObject({
    /** Of the page before; absent: from the beginning. */
    from: z.strictObject({ seq: z.int().min(0), hash: z.string().max(64), key }).optional(),
  }),
  result: typed<{ lines: string[]; next: Place | null }>(),
  act: async () => (await import('./acts.ts')).exported,
});

export const confirm = operation({
  name: 'audit confirm',
  help: 'count what the records say now as decided; once, in a fleet that is older than its log of decisions',
  who: ADMIN,
  input: nothing,
  result: typed<Confirmed & { rollouts: number }>(),
  act: async () => (await import('./acts.ts')).confirm,
});

export const accept = operation({
  name: 'audit accept',
  help: 'accept a damaged history as it is (a backup was restored); from there on it is checked anew',
  who: ADMIN,
  input: z.strictObject({ reason }),
  result: typed<Accepted>(),
  act: async () => (await import('./acts.ts')).accept,
});
