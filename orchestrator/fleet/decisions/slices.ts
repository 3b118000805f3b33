/**
 * What was decided about slices: each is a record that is a decision as a whole. In the log these are records, so that a server
 * of the version before keeps them too.
 */
import { z } from 'zod';
import {
  FLEET,
  fullServiceVersion,
  ownerOf,
  type ServiceVersion,
  sliceOf,
} from '../../../protocol/service/name.ts';
import { at } from '../keys.ts';
import { readStored } from '../read-stored.ts';
import type { Decided } from './entry.ts';

export const sliceKey = (name: string): string => at('slice', name);

/** Set: names of all slices that there ever were. */
export const SLICES = at('slices');

const HOUR = 3600_000;
/** Milliseconds. A slice that has expired runs on for `grace`, and its owner can still extend it. */
export const SLICE_TIMES = { grace: 72 * HOUR } as const;

/** Hours of reservations in a week of a slice of which nobody has said it. */
export const RESERVED = { hours: 24 } as const;

const oneOf = z.array(z.string()).optional();
const whereSchema = z.object({
  site: oneOf,
  rack: oneOf,
  role: oneOf,
  labels: z.record(z.string(), z.string()).optional(),
  /** Names or ids of nodes that are never of it. */
  not: oneOf,
});
export type Where = z.infer<typeof whereSchema>;

/** What a slice is sure of on each of its nodes, and at most has there. */
export const shareSchema = z.object({
  /** Percent of one processor. */
  cpu: z.number(),
  /** Bytes. */
  memory: z.number(),
  /** Bytes that its services keep. */
  disk: z.number(),
  /** Ports of the node, as `tcp/8080`: nobody else has them there. */
  ports: z.array(z.string()),
});
export type Share = z.infer<typeof shareSchema>;

export const sliceSchema = z.object({
  name: z.string(),
  /** `ended`: for good; its name is never given again. */
  state: z.enum(['live', 'ended']),
  where: whereSchema,
  /** Number of nodes; and how many of them one site may have, null: any. */
  count: z.int().min(1),
  perSite: z.int().min(1).nullable(),
  share: shareSchema,
  /** Hours of each week for which it may reserve more; absent: as many as `RESERVED.hours`. */
  hours: z.int().min(0).optional(),
  /** Nodes up to which it grows when an instance of it asks; absent: it does not. */
  grow: z.int().min(1).optional(),
  /** Owners whose services it may run, beside the fleet's. */
  teams: z.array(z.string()),
  /** Milliseconds since the epoch. */
  expires: z.number(),
  /** What it runs on each of its nodes, as `web/shop@probe:1.4`; and the template of its rollouts, null: the usual pace. */
  services: z.array(z.string()),
  template: z.string().nullable(),
  /** Epoch at which the services were said last; 0: never. */
  said: z.int().min(0),
  /** Ids, sorted. */
  nodes: z.array(z.string()),
  reason: z.string(),
  /** Of several decisions about one slice the one with the highest epoch counts. From 1. */
  epoch: z.int().min(1),
  by: z.string(),
  /** All people who could hold the certificate of `by`; absent: there is none. */
  person: z.array(z.string()).optional(),
  /** When it was decided, milliseconds since the epoch. */
  at: z.number(),
});
export type Slice = z.infer<typeof sliceSchema>;

/** The decision on which a rollout rests that brings a slice its services (`said`), or takes them from nodes that it left. */
export const sliceWorkSchema = z.object({ name: z.string(), said: z.int(), ends: z.boolean() });
export type SliceWork = z.infer<typeof sliceWorkSchema>;

/** Whether its nodes may be brought anything. @param now milliseconds since the epoch */
export const isAlive = ({ state, expires }: Pick<Slice, 'state' | 'expires'>, now: number): boolean =>
  state === 'live' && now < expires + SLICE_TIMES.grace;

/** The last word about each slice, of entries that come in their order (`Standing`). */
export class DecidedSlices {
  readonly #known = new Map<string, Slice>();

  add({ key, body }: Pick<Decided, 'key' | 'body'>): void {
    const beginning = sliceKey('');
    if (!key.startsWith(beginning)) return;
    const slice = readStored(sliceSchema, body);
    if (slice === null) this.#known.delete(key.slice(beginning.length));
    else this.#known.set(key.slice(beginning.length), slice);
  }

  get isEmpty(): boolean {
    return this.#known.size === 0;
  }

  of(name: string): Slice | undefined {
    return this.#known.get(name);
  }

  /**
   * Whether somebody has decided that this node runs that instance. What belongs to no slice is not judged here.
   * @param now milliseconds since the epoch
   */
  allows(node: string, instance: ServiceVersion, now: number): boolean {
    const name = sliceOf(instance.name);
    if (name === null) return true;
    const slice = this.of(name);
    if (slice === undefined || !isAlive(slice, now)) return false;
    const owner = ownerOf(instance.name);
    const isTheirs = owner === FLEET || slice.teams.includes(owner);
    return isTheirs && slice.nodes.includes(node) && slice.services.includes(fullServiceVersion(instance));
  }

  /** Whether what a rollout rests on still stands: nothing else was said since, and the slice is alive. What only takes away always does. */
  stands({ name, said, ends }: SliceWork, now: number): boolean {
    const slice = this.of(name);
    return ends || (slice !== undefined && slice.said === said && isAlive(slice, now));
  }
}
