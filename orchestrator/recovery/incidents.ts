/** Incidents as they are kept: each step is a decision, and Redis holds the fast copy. */
import { BootwaveError } from '../../base/error.ts';
import type { By } from '../fleet/acting.ts';
import { auditLine } from '../fleet/audit/audit.ts';
import type { RecordChange } from '../fleet/commit.ts';
import type { Stored } from '../fleet/decisions/decisions.ts';
import { INCIDENTS, type Incident, incidentKey, incidentSchema } from '../fleet/decisions/incidents.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { contended, ROUNDS } from '../fleet/outcome.ts';
import { leaveOut, readStored } from '../fleet/read-stored.ts';

/** The last incident of a node, over or not; undefined: it never had one. @throws BootwaveError `INCIDENT_UNREADABLE` */
export async function readIncident(fleet: Fleet, node: string): Promise<Incident | undefined> {
  return (await look(fleet, node)).known;
}

/** The last one of every node. One that cannot be read is left out, and hides no other. */
export async function listIncidents(fleet: Fleet): Promise<Incident[]> {
  const there = await fleet.redis.smembers(INCIDENTS);
  const all = [...new Set([...there, ...fleet.decisions.names(incidentKey)])].sort();
  const found = await Promise.all(all.map((node) => look(fleet, node).catch(leaveOut)));
  return found.flatMap((one) => (one?.known === undefined ? [] : [one.known]));
}

/** What changes; the store numbers it. */
export type Told = Omit<Incident, 'epoch' | 'by' | 'at'>;

/**
 * Decides the next step of a node's incident, or its next incident.
 * @param next what it becomes from what it is now; null: nothing changes
 * @returns the incident as it stands after it; undefined: there is none
 * @throws BootwaveError `INCIDENT_UNREADABLE`, `FLEET_CONTENDED`, and what `next` throws
 */
export async function decideIncident(
  fleet: Fleet,
  node: string,
  next: (known: Incident | undefined) => Told | null,
  { actor, at }: By,
): Promise<{ incident: Incident | undefined; changed: boolean }> {
  for (let round = 0; round < ROUNDS; round += 1) {
    const { known, found } = await look(fleet, node);
    const told = next(known);
    if (told === null) return { incident: known, changed: false };
    // Not of Redis: a forged number there must not use up all that are left.
    const epoch = (known?.epoch ?? 0) + 1;
    const incident: Incident = { ...told, epoch, by: actor, at };
    const record: RecordChange = {
      ...{ key: incidentKey(node), expect: found },
      next: { state: incident.step, epoch, body: JSON.stringify(incident) },
    };
    const reason = `${incident.road} ${incident.name} (incident ${incident.number}): ${incident.step}: ${incident.reason}`;
    const detail = { signal: incident.signal, ...evidenceOf(known, incident) };
    const done = await fleet.decisions.commit(
      {
        records: [record],
        ops: [{ op: 'join', key: INCIDENTS, value: node }],
        audit: [auditLine({ actor, at, node, action: 'incident', reason, detail })],
      },
      [fleet.decisions.record(record, { actor, at }, reason)],
    );
    if (done.result === 'done') return { incident, changed: true };
  }
  throw contended(`the incident of ${node}`, ROUNDS);
}

/** What is new of it, for the history. */
function evidenceOf(known: Incident | undefined, { number, evidence }: Incident): Record<string, string> {
  const before = known?.number === number ? known.evidence : [];
  const fresh = evidence.filter((line) => !before.includes(line));
  return fresh.length === 0 ? {} : { evidence: fresh.join('; ').slice(0, 2000) };
}

async function look(
  { decisions }: Fleet,
  node: string,
): Promise<{ known: Incident | undefined; found: Stored['found'] }> {
  const { body, found } = await decisions.stored(incidentKey(node));
  if (body === null) return { known: undefined, found };
  const known = readStored(incidentSchema, body);
  if (known?.node === node) return { known, found };
  throw new BootwaveError({
    code: 'INCIDENT_UNREADABLE',
    what: `the incident of ${node} cannot be read`,
    unchanged: 'nothing was changed',
    next: 'was it written by a newer version of bootwave? Use that one',
  });
}
