/** What a node and its instances use, as the node reads it of its kernel: counters since their beginning, never rates. */
import * as z from 'zod/mini';
import { versionSchema } from '../../formats/version.ts';
import { INSTANCE_STATES } from '../agent/services.ts';
import { line } from '../line.ts';
import { ORDER_LIMITS } from '../order.ts';
import { shareSchema } from '../reservation.ts';
import { instanceNameSchema } from '../service/name.ts';

/** More than any machine has: what is beyond is an error of the node, or a lie. */
const MOST = { processors: 8192, bytes: 2 ** 50, tasks: 2 ** 22 } as const;

/** A counter; one that goes back began anew. */
const counter = z.int().check(z.gte(0));
const bytes = z.int().check(z.gte(0), z.lte(MOST.bytes));

/** Bytes, counted. */
const disk = z.object({ read: counter, written: counter });
const network = z.object({ received: counter, sent: counter });

/** One service that the order in force names. A number that the node cannot read is null, never 0. */
const instance = z.object({
  name: instanceNameSchema,
  /** The version that runs; null: none. */
  runs: z.nullable(versionSchema),
  state: z.enum(INSTANCE_STATES),
  health: z.enum(['healthy', 'ill', 'unknown']),
  restarts: counter,
  /** As its status says; absent: it runs and would start again, or the image is older. */
  why: z.optional(line(256)),
  /** Milliseconds of processor time. */
  cpu: z.nullable(counter),
  /** Bytes that cannot be taken back at once: without the files that are only cached. */
  memory: z.nullable(bytes),
  tasks: z.nullable(z.int().check(z.gte(0), z.lte(MOST.tasks))),
  /** At the state partition. */
  disk: z.nullable(disk),
  /** At its own interface. */
  network: z.nullable(network),
  /** Absent: nothing but its manifest bounds it, and nothing ever did since it was begun. */
  share: z.optional(shareSchema),
});
export type InstanceUsage = z.infer<typeof instance>;

export const usageSchema = z.object({
  /** /proc/sys/kernel/random/boot_id: the counters of another boot are others. */
  bootId: z.string().check(z.maxLength(64), z.regex(/^[\w-]*$/)),
  /** Milliseconds since the boot: no clock that somebody sets. */
  at: counter,
  /** Milliseconds since the epoch, as the node's clock says. Absent from images that know no reservations. */
  clock: z.optional(counter),
  processors: z.int().check(z.gte(1), z.lte(MOST.processors)),
  /** Milliseconds of processor time of all processors together, without idling and waiting. */
  cpu: z.nullable(counter),
  memory: z.nullable(z.object({ total: bytes, available: bytes })),
  /** All disks. */
  disk: z.nullable(disk),
  /** All network cards. */
  network: z.nullable(network),
  services: z.array(instance).check(z.maxLength(ORDER_LIMITS.services)),
});
export type Usage = z.infer<typeof usageSchema>;
