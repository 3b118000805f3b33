/** Incidents as they are kept: each step is a decision, and Redis holds the fast copy. */
import { refusal } from '../../base/error.ts';
import type { By } from '../fleet/acting.ts';
import {
  INCIDENTS,
  type Incident,
  incidentKey,
  incidentSchema,
  mayFollow,
} from '../fleet/decisions/incidents.ts';
import { DecidedRecords, type NextWord, type Written } from '../fleet/decisions/records.ts';
import type { Fleet } from '../fleet/fleet.ts';

const RECORDS = new DecidedRecords<Incident>({
  ...{ key: incidentKey, all: INCIDENTS, schema: incidentSchema, unreadable: 'INCIDENT_UNREADABLE' },
  nameOf: ({ node }) => node,
  stateOf: ({ step }) => step,
  shown: (node) => `the incident of ${node}`,
});

/** The last incident of a node, over or not; undefined: it never had one. @throws BootwaveError `INCIDENT_UNREADABLE` */
export const readIncident = (fleet: Fleet, node: string): Promise<Incident | undefined> =>
  RECORDS.read(fleet, node);

/** The last one of every node. One that cannot be read is left out, and hides no other. */
export const listIncidents = async (fleet: Fleet): Promise<Incident[]> => [
  ...(await RECORDS.list(fleet)).values(),
];

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
  const { before, after } = await RECORDS.decide(fleet, node, by, (known) => {
    const told = next(known);
    return told === null ? null : wordOf(known, told, by);
  });
  return { incident: after ?? before, changed: after !== null };
}

/** The same for a step that is written together with something else. @throws as `decideIncident` */
export async function incidentStep(
  fleet: Fleet,
  node: string,
  next: (known: Incident | undefined) => Told | null,
  by: By,
): Promise<{ known: Incident | undefined; step: (Written & { incident: Incident }) | null }> {
  const look = await RECORDS.look(fleet, node);
  const told = next(look.known);
  if (told === null) return { known: look.known, step: null };
  const word = wordOf(look.known, told, by);
  return { known: look.known, step: { incident: word.next, ...RECORDS.written(fleet, look, word, by) } };
}

/** As it will stand, with the time at which its step began. */
export function asDecided(known: Incident | undefined, told: Told, { actor, at }: By): Incident {
  const isSame = known?.number === told.number && known.step === told.step;
  const tries = isSame ? told.tries : { ...told.tries, since: at, until: 0 };
  // The keeper looks at nodes that have this mark: the order of an incident that is over may still be in force.
  const rescue = told.rescue === undefined && known?.rescue !== undefined ? { rescue: null } : {};
  // Not of Redis: a forged number there must not use up all that are left.
  return { ...told, ...rescue, tries, epoch: (known?.epoch ?? 0) + 1, by: actor, at };
}

/** Name of the upkeep that carries on the incidents of a site: of its server, and of no other. */
export const recoveryAt = (site: string): string => `recovery ${site}`;

function wordOf(known: Incident | undefined, told: Told, by: By): NextWord<Incident> {
  if (!mayFollow(known, told))
    throw refusal(
      'INCIDENT_STEP',
      `incident ${told.number} of ${told.name} cannot become ${told.step}: it is ${known?.step ?? 'not there'}`,
      `'bootwave incident show ${told.name}' says how it came here`,
    );
  const incident = asDecided(known, told, by);
  return {
    ...{ next: incident, action: 'incident', node: incident.node },
    reason: `${incident.road} ${incident.name} (incident ${incident.number}): ${incident.step}: ${incident.reason}`,
    detail: { signal: incident.signal, ...evidenceOf(known, incident) },
  };
}

/** What is new of it, for the history. */
function evidenceOf(known: Incident | undefined, { number, evidence }: Incident): Record<string, string> {
  const before = known?.number === number ? known.evidence : [];
  const fresh = evidence.filter((line) => !before.includes(line));
  return fresh.length === 0 ? {} : { evidence: fresh.join('; ').slice(0, 2000) };
}
