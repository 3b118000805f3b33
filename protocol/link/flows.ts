/** What a node tells of what its services have sent: sums over a while, each with the time in which it was. */
import * as z from 'zod/mini';
import { versionSchema } from '../../formats/version.ts';
import { WAYS, type Way } from '../agent/flows.ts';
import { ORDER_LIMITS } from '../order.ts';
import { instanceNameSchema } from '../service/name.ts';

/** Flows in one answer: with the longest numbers they fit a frame. */
export const FLOWS_IN_ANSWER = 500;

const count = z.int().check(z.gte(0));
/** Milliseconds since the node's boot: no clock that somebody sets. */
const moment = count;

const flow = z
  .object({
    /** Of `instances`. */
    of: z.int().check(z.gte(0), z.lt(ORDER_LIMITS.services)),
    /** See WAYS. */
    way: z.enum(Object.keys(WAYS) as [Way, ...Way[]]),
    /** Of `wide` a network of 2^24 addresses, by its first one. */
    to: z.ipv4(),
    /** Null, and so is the port: of all together. */
    protocol: z.nullable(z.enum(['tcp', 'udp'])),
    port: z.nullable(z.int().check(z.gte(0), z.lte(65_535))),
    packets: count,
    bytes: count,
    /** Its packets were sent after the one and not after the other. */
    from: moment,
    until: moment,
  })
  .check(z.refine(({ from, until }) => from <= until, { error: 'ends before it begins' }));

export const flowsArgs = z.strictObject({
  /** The answers of that life of the agent up to this number are kept for good; null: none. */
  kept: z.nullable(z.strictObject({ life: z.string().check(z.maxLength(64)), number: count })),
});

export const flowsSchema = z
  .object({
    /** Random, another one whenever the agent begins. */
    life: z.string().check(z.maxLength(64), z.regex(/^[\w-]+$/)),
    /** The same answer has the same number, until it is said that it is kept. From 1. */
    number: z.int().check(z.gte(1)),
    /** What was sent between these is in this answer or in those before; equal: it is in the next one, too. */
    from: moment,
    until: moment,
    /** When it answers. */
    at: moment,
    /** There is more now. */
    more: z.boolean(),
    /** `version`: the one that ran when it was looked; null: it had ended, or the node does not know. */
    instances: z
      .array(z.object({ name: instanceNameSchema, version: z.nullable(versionSchema) }))
      .check(z.maxLength(ORDER_LIMITS.services)),
    flows: z.array(flow).check(z.maxLength(FLOWS_IN_ANSWER)),
  })
  .check(
    z.refine(({ from, until, at }) => from <= until && until <= at, { error: 'its times are in no order' }),
    z.refine(({ flows, instances }) => flows.every(({ of }) => of < instances.length), {
      error: 'a flow is of no instance',
    }),
  );
export type Flows = z.infer<typeof flowsSchema>;
export type Flow = Flows['flows'][number];
export type FlowsArgs = z.infer<typeof flowsArgs>;
