import { refusal } from '../../../base/error.ts';
import { type Incident, isHeldBy, isOver } from '../../fleet/decisions/incidents.ts';
import type { NodeRecord } from '../../fleet/record.ts';
import { Book } from '../../power/book.ts';
import { inRoadOfBroken } from '../../recovery/access.ts';
import {
  decideIncident,
  listIncidents,
  readIncident,
  recoveryAt,
  type Told,
} from '../../recovery/incidents.ts';
import { signalled } from '../../recovery/signalled.ts';
import { SIGNAL_CODES, SIGNALS, type Signal } from '../../recovery/signals.ts';
import { ticketOf } from '../../recovery/ticket.ts';
import { isHeld } from '../../upkeep/lease.ts';
import type { Acting } from '../operation.ts';

/** `waits`: what a person has to do, in one line; empty: nothing now. */
export type IncidentView = Incident & { waits: string };
/** `attended`: a server of its site runs, which alone carries it on. */
export type IncidentShown = { incident: IncidentView; ticket: string[]; attended: boolean; now: number };

type Node = { node: string };
type Word = Node & { reason: string };

/** Newest first; those that wait for a person before all others. */
export async function list(
  { site, all }: { site?: string | undefined; all: boolean },
  acting: Acting,
): Promise<{ incidents: IncidentView[]; now: number }> {
  const found = (await listIncidents(acting.fleet)).filter(
    (one) => (all || !isOver(one)) && (site === undefined || one.site === site),
  );
  const records = new Map(
    (await acting.fleet.nodes.getMany(found.map(({ node }) => node))).map((one) => [one.id, one]),
  );
  const { entries } = await new Book(acting.paths).read();
  const views = found.map((one) => viewOf(one, ticketOf(one, records.get(one.node), entries.has(one.node))));
  const rank = ({ waits }: IncidentView) => (waits === '' ? 1 : 0);
  return { incidents: views.sort((a, b) => rank(a) - rank(b) || b.at - a.at), now: acting.by.at };
}

/** @throws BootwaveError `INCIDENT_NONE` */
export async function show({ node }: Node, acting: Acting): Promise<IncidentShown> {
  const record = await acting.fleet.nodes.resolve(node);
  const incident = await known(acting, record);
  const ticket = ticketOf(incident, record, await bmcOf(acting, record.id));
  const attended = await isHeld(acting.fleet.redis, recoveryAt(incident.site));
  return { incident: viewOf(incident, ticket), ticket, attended, now: acting.by.at };
}

/** Null: it never had one. */
export async function lastIncident(record: NodeRecord, acting: Acting): Promise<IncidentView | null> {
  const found = await readIncident(acting.fleet, record.id);
  return found === undefined ? null : view(found, record, acting);
}

/** @throws BootwaveError `INCIDENT_NONE`, `INCIDENT_STEP`, `NODE_BANNED` */
export async function retry({ node, reason }: Word, acting: Acting): Promise<IncidentView> {
  const record = await acting.fleet.nodes.resolve(node);
  const before = await known(acting, record);
  const ban = (await acting.fleet.bans()).banOf({ id: record.id });
  if (ban !== null)
    throw refusal(
      'NODE_BANNED',
      `node ${record.name} is banned: ${ban.reason}`,
      `people let it back: lift the ban (bootwave ban lift ${ban.id} --reason WHY), then retire it and expect it again`,
    );
  return change(acting, record, (now) => {
    if (now?.step !== 'person' || now.number !== before.number) throw notWaiting(before);
    const step = now.road === 'broken' ? 'open' : 'fenced';
    return { ...now, step, tries: {}, rescue: null, reason: `${acting.by.actor}: ${reason}` };
  });
}

/** @throws BootwaveError `INCIDENT_NONE`, `INCIDENT_HELD` */
export async function end({ node, reason }: Word, acting: Acting): Promise<IncidentView> {
  const record = await acting.fleet.nodes.resolve(node);
  await known(acting, record);
  return change(acting, record, (now) => {
    if (now === undefined || isOver(now)) return null;
    // Its record alone would keep it out then, and that is in Redis.
    if (isHeldBy(now))
      throw refusal(
        'INCIDENT_HELD',
        `node ${now.name} is held and was not wiped`,
        `'bootwave incident show ${now.name}' says what its wipe waits for; or put it out: bootwave node retire ${now.name}`,
      );
    return { ...now, step: 'ended', reason: `${acting.by.actor}: ${reason}` };
  });
}

/** @throws BootwaveError `INCIDENT_NONE`, `INCIDENT_ROAD`, `INCIDENT_OVER` */
export async function rescue({ node, reason }: Word, acting: Acting): Promise<IncidentView> {
  const { by } = acting;
  const record = await acting.fleet.nodes.resolve(node);
  await known(acting, record);
  return change(acting, record, (now) => {
    const { step } = inRoadOfBroken(now, record);
    if (now!.rescue != null) return null;
    const asked = `${by.actor}: ${reason}`;
    return {
      ...now!,
      step: step === 'open' ? 'person' : step,
      reason: `in rescue: ${asked}`,
      rescue: { by: by.actor, reason, at: by.at },
    };
  });
}

/** @throws BootwaveError `INCIDENT_OPEN`, `NODE_NOT_MEMBER` */
export async function recover({ node, reason }: Word, acting: Acting): Promise<IncidentView> {
  const { fleet, by } = acting;
  const record = await fleet.nodes.resolve(node);
  const { id, name, site, state } = record;
  if (state === 'retired' || state === 'rejected' || state === 'pending')
    throw refusal('NODE_NOT_MEMBER', `node ${name} is ${state}: nothing is to be recovered`);
  return change(acting, record, (now) => {
    if (now !== undefined && !isOver(now))
      throw refusal(
        'INCIDENT_OPEN',
        `node ${name} has an incident already (${now.road}, ${now.step})`,
        `'bootwave incident show ${name}' says how far it is`,
      );
    const evidence = [`${by.actor}: ${reason}`];
    return signalled(
      now,
      { node: id, name, site },
      { road: 'broken', signal: 'operator', evidence, reason },
      by.at,
    );
  });
}

export const signals = async () =>
  SIGNAL_CODES.map((code) => {
    const { what, road, severity, after }: Signal = SIGNALS[code];
    return { code, what, road, severity, after: afterText(after) };
  });

const afterText = (after: Signal['after']): string => {
  if (!('times' in after)) return `after ${after.minutes} min`;
  return after.times === 1 ? 'at once' : `${after.times} times within ${after.within} min`;
};

/** @throws BootwaveError `INCIDENT_NONE` */
export async function known({ fleet }: Acting, { id, name }: NodeRecord): Promise<Incident> {
  const found = await readIncident(fleet, id);
  if (found !== undefined) return found;
  throw refusal(
    'INCIDENT_NONE',
    `node ${name} never had an incident`,
    `'bootwave incident list' shows which nodes have one; 'bootwave node recover' and 'bootwave node fence' begin one`,
  );
}

async function change(
  acting: Acting,
  record: NodeRecord,
  next: (known: Incident | undefined) => Told | null,
): Promise<IncidentView> {
  const { incident } = await decideIncident(acting.fleet, record.id, next, acting.by);
  return view(incident!, record, acting);
}

const bmcOf = async ({ paths }: Acting, id: string) => (await new Book(paths).read()).entries.has(id);
const view = async (incident: Incident, record: NodeRecord, acting: Acting) =>
  viewOf(incident, ticketOf(incident, record, await bmcOf(acting, record.id)));

const viewOf = (incident: Incident, ticket: readonly string[]): IncidentView => ({
  ...incident,
  waits: ticket[0] ?? '',
});

const notWaiting = ({ name, step }: Incident) =>
  refusal(
    'INCIDENT_STEP',
    `the incident of ${name} does not wait for a person: it is ${step}`,
    `'bootwave incident show ${name}' says how far it is`,
  );
