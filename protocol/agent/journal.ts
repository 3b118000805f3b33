/** What the agent may ask of the journal, which it cannot read itself: a closed list for a unit that is neither root nor the agent. */
import * as z from 'zod/mini';
import { type Logs, logsArgs } from '../link/logs.ts';

export const JOURNAL_SOCKET = '/run/bootwave/journal.sock';

export const journalRequest = z.discriminatedUnion('operation', [
  z.strictObject({ operation: z.literal('instance-log'), asked: logsArgs }),
]);
export type JournalRequest = z.infer<typeof journalRequest>;

/** How the agent reaches it; the wired-in helper client has the same shape. */
export type AskJournal = (request: JournalRequest) => Promise<Logs>;
