/**
 * Many nodes taken through fence, wipe and return, a few at a time: what two people decided, and who is next. A drill is a plan for one
 * healthy node. What became of each node is read from its incident, so nothing is kept twice. Pure, but for the shelf.
 */
import { z } from 'zod';
import { named } from '../../base/named.ts';
import type { Delivered } from '../../bootserver/http/delivery.ts';
import type { By } from '../fleet/acting.ts';
import { INCIDENT_STEPS, type Incident, type IncidentStep, isOver } from '../fleet/decisions/incidents.ts';
import { Shelf } from '../fleet/decisions/shelf.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { Guard } from './guard.ts';
import { paceOf } from './pace.ts';
import { AT_ONCE, MOST_NODES } from './rules.ts';

/** Nodes that may need a person until the plan begins no other. */
const MOST_FAILED = 2;

const planSchema = z.object({
  kind: z.enum(['plan', 'drill']),
  site: z.string(),
  /** In the order of their turn. `number`: of the last incident that each had before; 0: none. */
  nodes: z
    .array(
      z.object({ id: z.string(), name: z.string(), rack: z.string().nullable(), number: z.int().min(0) }),
    )
    .min(1)
    .max(MOST_NODES),
  atOnce: z.int().min(1).max(AT_ONCE.most),
  /** Milliseconds since the epoch. */
  startedAt: z.number(),
  /** Why it begins no other node, for good; null: it goes on. */
  ended: z.string().nullable(),
});
export type Plan = z.infer<typeof planSchema>;
export type PlanNode = Plan['nodes'][number];

export const PLANS = new Shelf<Plan>('recovery-plan', planSchema);

/** It begins no other node; one that has ended stays as it is. @throws BootwaveError as `Shelf.decide` */
export const endPlan = (fleet: Fleet, plan: string, ended: string, by: By) =>
  PLANS.decide(
    fleet,
    plan,
    (known) => (known?.value == null || known.value.ended !== null ? 'same' : { ...known.value, ended }),
    { ...by, reason: ended },
  );

/** In the evidence of each incident that the plan has begun. */
export const markOf = (plan: string): string => `recovery plan ${plan}`;

/**
 * `unclear`: it has had other incidents since, so nothing says any more what became of this one; it is not begun again. `gone`: it is no
 * member any more.
 */
const FATES = ['waits', 'under way', 'done', 'person', 'unclear', 'gone'] as const;
export type Fate = (typeof FATES)[number];

export function fateOf(plan: string, { number }: PlanNode, incident: Incident | undefined): Fate {
  if (incident === undefined || incident.number <= number) return 'waits';
  if (incident.evidence.includes(markOf(plan))) {
    if (incident.step === 'person') return 'person';
    return isOver(incident) ? 'done' : 'under way';
  }
  // Whatever fenced it: it is on the way that the plan wants it to go.
  if (incident.road === 'compromised' && !isOver(incident))
    return incident.step === 'person' ? 'person' : 'under way';
  return incident.number === number + 1 ? 'waits' : 'unclear';
}

export type Turn = {
  /** Ids. */
  begin: string[];
  /** Why no more begin now; null: nothing is in the way. */
  why: string | null;
  fates: ReadonlyMap<string, Fate>;
};

/**
 * Who begins now. One rack after the other, so that what goes wrong goes wrong in one; nobody whose services cannot do without it.
 * @param busy nodes that a rollout moves @param delivered by the boot server of its site
 */
export function turnOf(
  plan: { name: string; value: Plan },
  incidents: { of(node: string): Incident | undefined },
  guard: Pick<Guard, 'stopped' | 'needed' | 'isMember'>,
  busy: ReadonlySet<string> = new Set(),
  delivered: Delivered | null = null,
): Turn {
  const { nodes } = plan.value;
  const fates = new Map(
    nodes.map((node) => {
      const fate = fateOf(plan.name, node, incidents.of(node.id));
      return [node.id, fate === 'waits' && !guard.isMember(node.id) ? ('gone' as const) : fate];
    }),
  );
  const those = (fate: Fate) => nodes.filter(({ id }) => fates.get(id) === fate);
  const turn = (begin: string[], why: string | null): Turn => ({ begin, why, fates });
  const failed = those('person');
  const waiting = those('waits');
  if (waiting.length === 0) return turn([], null);
  if (failed.length >= MOST_FAILED)
    return turn([], `${named(failed.map(({ name }) => name))} need a person first`);
  const away = new Set(those('under way').map(({ id }) => id));
  const pace = paceOf(
    plan.value.atOnce,
    [...away].flatMap((id) => incidents.of(id) ?? []),
    delivered,
  );
  const racks = new Set(those('under way').map(({ rack }) => rack));
  const begin: string[] = [];
  let why: string | null = null;
  for (const { id, name, rack } of waiting) {
    if (away.size >= pace.atOnce) return turn(begin, pace.why ?? `${pace.atOnce} are under way`);
    if (racks.size > 0 && !racks.has(rack)) {
      why ??= 'one rack after the other';
      continue;
    }
    const hindrance =
      guard.stopped(id, 'wipe') ?? guard.needed(id, away) ?? (busy.has(id) ? `a rollout has ${name}` : null);
    if (hindrance !== null) {
      why ??= hindrance;
      continue;
    }
    begin.push(id);
    away.add(id);
    racks.add(rack);
  }
  return turn(begin, why);
}

/** Numbers of nodes by fate. */
export function countsOf({ fates }: Pick<Turn, 'fates'>): Record<Fate, number> {
  const counts = Object.fromEntries(FATES.map((fate) => [fate, 0])) as Record<Fate, number>;
  for (const fate of fates.values()) counts[fate] += 1;
  return counts;
}

/** What a plan has come to, once nobody waits and nobody is under way; null: it has not. */
export function endOf(turn: Pick<Turn, 'fates'>): string | null {
  const counts = countsOf(turn);
  if (counts.waits + counts['under way'] > 0) return null;
  return FATES.flatMap((fate) => (counts[fate] === 0 ? [] : [`${fate} ${counts[fate]}`])).join(', ');
}

/** One line of a node's history about an incident, as `decideIncident` writes it. */
type Told = { at: number; action: string; reason: string };

/**
 * How long the node of a drill stood at each step, milliseconds. History is in Redis: these are numbers to compare, and nothing rests on
 * them.
 * @param history oldest first
 */
export function timesOf(history: readonly Told[], number: number): Partial<Record<IncidentStep, number>> {
  const times: Partial<Record<IncidentStep, number>> = {};
  let last: { step: IncidentStep; at: number } | null = null;
  for (const { at, action, reason } of history) {
    const [, of, text] = (action === 'incident' && /\(incident (\d+)\): (\w+):/.exec(reason)) || [];
    const step = INCIDENT_STEPS.find((one) => one === text);
    if (Number(of) !== number || step === undefined) continue;
    if (last !== null) times[last.step] = (times[last.step] ?? 0) + Math.max(0, at - last.at);
    last = { step, at };
  }
  return times;
}
