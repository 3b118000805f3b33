/**
 * Incidents: a node that is held because something is wrong with it, and how far it has come on its way back. Each step is a
 * decision, so that whoever owns Redis neither opens one, nor ends one, nor lets a node pass a step.
 */
import { z } from 'zod';
import { DISK_READS } from '../../../protocol/enrolment/disk-evidence.ts';
import { type Rescue, rescueSchema } from '../../../protocol/order.ts';
import { at } from '../keys.ts';
import { LastWords } from './last-words.ts';

/** A node has at most one; the next one follows it under the same key, with a higher number. */
export const incidentKey = (node: string): string => at('incident', node);

/** Set: all nodes that ever had one. */
export const INCIDENTS = at('incidents');

/**
 * Where an incident stands.
 * - `open`: a broken node on its way, no fence: it keeps its certificate
 * - `fenced`: it has no certificate; it is to start from the network
 * - `wiping`: it has started from the network and proved its TPM; it has this incident's order to wipe
 * - `wiped`: the wipe is verified by what the node read back, with a quote of a released image; it may come in again
 * - `returning`: it is a member again; its disk, configuration and services are brought back
 * - `ended`: it is trusted, or a person ended it
 * - `person`: the automation has given up, or may not go on: a person decides
 */
export const INCIDENT_STEPS = ['open', 'fenced', 'wiping', 'wiped', 'returning', 'ended', 'person'] as const;
export type IncidentStep = (typeof INCIDENT_STEPS)[number];

export const incidentSchema = z.object({
  /** Record id. */
  node: z.string(),
  /** Its name when it began, for people. */
  name: z.string(),
  site: z.string(),
  /** The incidents of one node, from 1. */
  number: z.int().min(1),
  /** Of several decisions about one node the one with the highest epoch counts. From 1, over all its incidents. */
  epoch: z.int().min(1),
  road: z.enum(['broken', 'compromised']),
  step: z.enum(INCIDENT_STEPS),
  /**
   * Code of the signal that opened it (recovery/signals.ts), or `operator`; where a system outside did, of the first one that a server has
   * seen itself.
   */
  signal: z.string(),
  /** A system outside has said that a person should look at it. */
  suspected: z.boolean().optional(),
  /** What was seen, in words that the history can show later. */
  evidence: z.array(z.string()).max(64),
  /** Why it stands at this step. */
  reason: z.string(),
  /** What the playbook keeps: tries by command, times. */
  tries: z.record(z.string(), z.int().min(0)).default({}),
  /**
   * How often its TPM had been reset when it was fenced: whoever was root then is so until the next reset. Absent: it has none, or
   * it was not known.
   */
  resets: z.int().min(0).optional(),
  /** What the node said of its wipe, once it is verified; null before. */
  wipe: z
    .object({
      /** WWN or serial number of each disk that was wiped. */
      disks: z.array(z.string()),
      /** Disks that Bootwave did not install: they were not touched. */
      left: z.array(z.string()),
      at: z.number(),
    })
    .nullable()
    .default(null),
  /**
   * The node runs its agent and none of its services, so that people can look at it. Null: that is over. Absent: nobody has asked
   * for it since the node was first known.
   */
  rescue: z
    .object({
      by: z.string(),
      reason: z.string(),
      /** Milliseconds since the epoch. */
      at: z.number(),
      access: rescueSchema.shape.access,
    })
    .nullish(),
  /** What was collected of it, each in a file of the server that did it (recovery/evidence.ts). */
  collected: z
    .array(
      z.object({
        file: z.string().regex(/^[0-9A-Za-z][0-9A-Za-z._:-]*\.tar$/),
        sha256: z.string().regex(/^[0-9a-f]{64}$/),
        bytes: z.int().min(0),
        /** Milliseconds since the epoch. */
        at: z.number(),
        by: z.string(),
        /** What the node did not show, and why. */
        missing: z.array(z.string()).max(64),
        /** Of its incident, at which it was collected by itself (recovery/evidence.ts). Absent: a person asked for it. */
        moment: z.string().max(64).optional(),
      }),
    )
    .max(64)
    .optional(),
  /** What the machine is to read of its disks before it wipes them. Absent: nobody wants that. */
  disks: z
    .object({
      read: z.enum(DISK_READS),
      by: z.string(),
      /**
       * How often its TPM had been reset when it was asked; null: it says none. In another boot it is not asked again: a wipe may
       * have begun. Absent: it was not asked yet.
       */
      asked: z.int().min(0).nullable().optional(),
      /** The file with what it has read is among `collected`. */
      shown: z.literal(true).optional(),
    })
    .optional(),
  by: z.string(),
  /** Milliseconds since the epoch: when it began, when this step did. */
  openedAt: z.number(),
  at: z.number(),
});
export type Incident = z.infer<typeof incidentSchema>;

/** Where each step may lead; every step may also be decided again, with more evidence or another try. */
const NEXT: Readonly<Record<IncidentStep, readonly IncidentStep[]>> = {
  open: ['fenced', 'ended', 'person'],
  fenced: ['wiping', 'ended', 'person'],
  wiping: ['fenced', 'wiped', 'ended', 'person'],
  wiped: ['fenced', 'returning', 'ended', 'person'],
  returning: ['fenced', 'ended', 'person'],
  person: ['open', 'fenced', 'ended'],
  ended: [],
};

type Stand = Pick<Incident, 'road' | 'step' | 'number'>;

/**
 * Whether an incident may become this: nobody comes to `wiped` past the fence and the wipe, and no compromised node turns into
 * a broken one, which is not held.
 */
export function mayFollow(known: Stand | undefined, next: Stand): boolean {
  const start = next.road === 'broken' ? 'open' : 'fenced';
  if (known === undefined || isOver(known))
    return next.number === (known?.number ?? 0) + 1 && (next.step === start || next.step === 'person');
  if (next.number !== known.number) return false;
  if (known.road !== next.road) return known.road === 'broken' && next.step === 'fenced';
  const isOff = next.road === 'broken' ? ['fenced', 'wiping', 'wiped', 'returning'] : ['open'];
  return !isOff.includes(next.step) && (known.step === next.step || NEXT[known.step].includes(next.step));
}

/** Steps at which the machine's TPM is held: it gets this incident's order and nothing else. */
const HELD: readonly IncidentStep[] = ['fenced', 'wiping', 'person'];

/** Whether nobody but this incident may give the machine anything. A broken node is never held. */
export const isHeldBy = ({ road, step }: Pick<Incident, 'road' | 'step'>): boolean =>
  road === 'compromised' && HELD.includes(step);

/** Whether the boot that shows this count is another one than that in which the machine was fenced. A resume counts as a restart, no reset. */
export const isNewBoot = ({ resets }: Pick<Incident, 'resets'>, clock: { resets: number } | null): boolean =>
  resets === undefined || (clock !== null && clock.resets > resets);

/** Whether a broken node was started from the network because its disk may be what is broken. */
export const isTriedFromNetwork = ({
  road,
  step,
  tries,
}: Pick<Incident, 'road' | 'step' | 'tries'>): boolean =>
  road === 'broken' && step === 'open' && (tries.network ?? 0) > 0;

/** Whether the machine starts from the network, never from its disk, and is watched as a member is. */
export const isKeptOff = (incident: Pick<Incident, 'road' | 'step'>): boolean =>
  isHeldBy(incident) || incident.step === 'wiped';

/**
 * What an order that is signed now says of it. Only of a broken node: one that may be an attacker's gets no other order than to wipe, and
 * nobody looks at what it shows.
 */
export function rescueOf(incident: Incident | undefined, now: number): Rescue | null {
  if (incident === undefined || incident.road !== 'broken' || isOver(incident)) return null;
  const { number, rescue } = incident;
  if (rescue == null) return null;
  const { access } = rescue;
  return { incident: number, ...(access === undefined || access.until <= now ? {} : { access }) };
}

export const isOver = ({ step }: Pick<Incident, 'step'>): boolean => step === 'ended';

export class DecidedIncidents extends LastWords<Incident> {
  constructor() {
    super({ key: incidentKey, nameOf: ({ node }) => node, schema: incidentSchema, unreadable: 'forgets' });
  }

  of(node: string): Incident | undefined {
    return this.named(node);
  }

  /** The incident that holds this machine, whatever its record says; undefined: none does. */
  holding(node: string): Incident | undefined {
    const incident = this.of(node);
    return incident !== undefined && isHeldBy(incident) ? incident : undefined;
  }
}
