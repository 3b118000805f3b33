/** Incidents as they are kept: each step is a decision, and Redis holds the fast copy. */
import { BootwaveError, refusal } from '../../base/error.ts';
import type { By } from '../fleet/acting.ts';
import { auditLine } from '../fleet/audit/audit.ts';
import type { RecordChange } from '../fleet/commit.ts';
import type { Stored } from '../fleet/decisions/decisions.ts';
import {
  INCIDENTS,
  type Incident,
  incidentKey,
  incidentSchema,
  mayFollow,
} from '../fleet/decisions/incidents.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { contended, ROUNDS } from '../fleet/outcome.ts';
import { leaveOut, readStored } from '../fleet/read-stored.ts';

/** The last incident of a node, over or not; undefined: it never had one. @throws BootwaveError `INCIDENT_UNREADABLE` */
export async function readIncident(fleet: Fleet, node: string): Promise<Incident | undefined> {
  return (await lookAt(fleet, node)).known;
}

/** The last one of every node. One that cannot be read is left out, and hides no other. */
export async function listIncidents(fleet: Fleet): Promise<Incident[]> {
  const there = await fleet.redis.smembers(INCIDENTS);
  const all = [...new Set([...there, ...fleet.decisions.names(incidentKey)])].sort();
  const found = await Promise.all(all.map((node) => lookAt(fleet, node).catch(leaveOut)));
  return found.flatMap((one) => (one?.known === undefined ? [] : [one.known]));
}

/** What changes; the store numbers it. */
export type Told = Omit<Incident, 'epoch' | 'by' | 'at'>;

/**
 * Decides the next step of a node's incident, or its next incident.
 * @param next what it becomes from what it is now; null: nothing changes
 * @returns the incident as it stands after it; undefined: there is none
 * @throws BootwaveError `INCIDENT_UNREADABLE`, `INCIDENT_STEP`, `FLEET_CONTENDED`, and what `next` throws
 */
export async function decideIncident(
  fleet: Fleet,
  node: string,
  next: (known: Incident | undefined) => Told | null,
  by: By,
): Promise<{ incident: Incident | undefined; changed: boolean }> {
  for (let round = 0; round < ROUNDS; round += 1) {
    const look = await lookAt(fleet, node);
    const told = next(look.known);
    if (told === null) return { incident: look.known, changed: false };
    const { incident, record, op, audit, decision } = stepOf(fleet, look, told, by);
    const change = { records: [record], ops: [op], audit: [auditLine(audit)] };
    const done = await fleet.decisions.commit(change, [decision]);
    if (done.result === 'done') return { incident, changed: true };
  }
  throw contended(`the incident of ${node}`, ROUNDS);
}

/** As it will stand, with the time at which its step began. */
export function asDecided(known: Incident | undefined, told: Told, { actor, at }: By): Incident {
  const isSame = known?.number === told.number && known.step === told.step;
  const tries = isSame ? told.tries : { ...told.tries, since: at, until: 0 };
  // Not of Redis: a forged number there must not use up all that are left.
  return { ...told, tries, epoch: (known?.epoch ?? 0) + 1, by: actor, at };
}

/** An incident as it is believed. `found`: what a change of it has to expect in Redis. */
export type Look = { known: Incident | undefined; found: Stored['found'] };

/** What is written for one step of an incident, all of it or nothing. @throws BootwaveError `INCIDENT_STEP` */
export function stepOf({ decisions }: Fleet, { known, found }: Look, told: Told, { actor, at }: By) {
  if (!mayFollow(known, told))
    throw refusal(
      'INCIDENT_STEP',
      `incident ${told.number} of ${told.name} cannot become ${told.step}: it is ${known?.step ?? 'not there'}`,
      `'bootwave incident show ${told.name}' says how it came here`,
    );
  const incident = asDecided(known, told, { actor, at });
  const { epoch } = incident;
  const record: RecordChange = {
    ...{ key: incidentKey(incident.node), expect: found },
    next: { state: incident.step, epoch, body: JSON.stringify(incident) },
  };
  const reason = `${incident.road} ${incident.name} (incident ${incident.number}): ${incident.step}: ${incident.reason}`;
  const detail = { signal: incident.signal, ...evidenceOf(known, incident) };
  return {
    incident,
    record,
    op: { op: 'join', key: INCIDENTS, value: incident.node } as const,
    audit: { actor, at, node: incident.node, action: 'incident', reason: reason.slice(0, 1000), detail },
    decision: decisions.record(record, { actor, at }, reason),
  };
}

/** What is new of it, for the history. */
function evidenceOf(known: Incident | undefined, { number, evidence }: Incident): Record<string, string> {
  const before = known?.number === number ? known.evidence : [];
  const fresh = evidence.filter((line) => !before.includes(line));
  return fresh.length === 0 ? {} : { evidence: fresh.join('; ').slice(0, 2000) };
}

export async function lookAt({ decisions }: Fleet, node: string): Promise<Look> {
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
