import type { By } from '../acting.ts';
import { auditLine } from '../audit.ts';
import type { AuditEntry } from '../audit-entry.ts';
import { commit } from '../commit.ts';
import type { Fleet } from '../fleet.ts';
import type { Entry } from './entry.ts';
import { appendOp } from './log.ts';

const VERBS: Record<Entry['kind'], string> = {
  ban: 'ban',
  lift: 'lift',
  operator: 'revoke-operator',
  authority: 'authority',
  denial: 'deny-request',
};

/** The history's text about an entry of the log. */
export function lineOf(entry: Entry, by: By, reason: string, node?: string): AuditEntry {
  const about = node === undefined ? {} : { node };
  return { ...by, ...about, action: VERBS[entry.kind], reason, detail: detailOf(entry) };
}

function detailOf(entry: Entry): Record<string, string> {
  switch (entry.kind) {
    case 'ban':
      return { ban: entry.id, ...(entry.serials.length > 0 ? { serials: entry.serials.join(' ') } : {}) };
    case 'lift':
      return { lift: entry.id, ban: entry.ban };
    case 'operator':
      return { serials: entry.serial };
    case 'denial':
      return { request: entry.request };
    case 'authority':
      return { ca: entry.ca, step: entry.step, authority: entry.authority };
  }
}

/** The entry and its line in the history, in one commit. */
export async function append(
  fleet: Fleet,
  entry: Entry,
  by: By,
  reason: string,
  node?: string,
): Promise<void> {
  const audit = [auditLine(lineOf(entry, by, reason, node))];
  const seal = entry.kind === 'lift' ? '' : (await fleet.bans.sealer())(entry.text);
  await commit(fleet.redis, { records: [], ops: [appendOp(entry, seal)], audit });
}
