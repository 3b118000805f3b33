import type { By } from '../acting.ts';
import { auditLine } from '../audit/audit.ts';
import type { AuditEntry } from '../audit/entry.ts';
import { commit } from '../commit.ts';
import type { Fleet } from '../fleet.ts';
import { PAGE } from '../stream.ts';
import type { Entry } from './entry.ts';
import { appendOp } from './log.ts';
import type { Decision } from './standing.ts';

const VERBS: Record<Entry['kind'], string> = {
  ban: 'ban',
  lift: 'lift',
  operator: 'revoke-operator',
  authority: 'authority',
  denial: 'deny-request',
  membership: 'decide',
  record: 'decide',
  confirmed: 'confirm-records',
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
    case 'membership':
      return { decision: entry.id };
    case 'record':
      return { decision: entry.id, record: entry.key };
    case 'confirmed':
      return {};
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
  const seal = entry.kind === 'lift' ? '' : (await fleet.decisionLog.sealer())(entry.text);
  await commit(fleet.redis, { records: [], ops: [appendOp(entry, seal)], audit });
}

/** Adds decisions again that Redis has lost: many at once, with one line in the history. */
export async function putBackDecisions(fleet: Fleet, decisions: readonly Decision[], by: By): Promise<void> {
  const seal = await fleet.decisionLog.sealer();
  for (let i = 0; i < decisions.length; i += PAGE) {
    const page = decisions.slice(i, i + PAGE);
    const reason = `${page.length} decisions were missing in Redis and are put back`;
    await commit(fleet.redis, {
      records: [],
      ops: page.map((entry) => appendOp(entry, seal(entry.text))),
      audit: [auditLine({ ...by, action: 'decide', reason })],
    });
  }
}
