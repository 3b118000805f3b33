/** What people may look at on a node in rescue: a closed list for a unit of its own, behind an account that has no shell. */
import * as z from 'zod/mini';
import { diskNameSchema } from '../order.ts';

/** The account that people are let in as, what sshd runs for it, and the socket behind that (sysusers.d, sshd_config). */
export const RESCUE_ACCOUNT = 'bootwave-rescue';
export const RESCUE_COMMAND = 'bootwave-rescue';
export const RESCUE_SOCKET = '/run/bootwave/rescue.sock';

export const RESCUE_LIMITS = {
  /** Bytes that one look shows; of a longer text the end. */
  bytes: 1024 * 1024,
  /** Milliseconds: a large disk is read from one end to the other. */
  time: 4 * 3600_000,
} as const;

/** A certificate is for this incident of this node, and for no other. */
export const rescuePrincipal = (node: string, incident: number): string => `incident-${incident}@${node}`;

export const LOOKS = ['journal', 'kernel', 'units', 'processes', 'disks', 'network', 'event-log'] as const;
export type Look = (typeof LOOKS)[number];

export const rescueRequest = z.discriminatedUnion('operation', [
  z.strictObject({ operation: z.literal('look'), look: z.enum(LOOKS) }),
  /** SHA-256 of a whole disk, by its WWN or serial number. */
  z.strictObject({ operation: z.literal('hash-disk'), disk: diskNameSchema }),
]);
export type RescueRequest = z.infer<typeof rescueRequest>;

/** What the node says is its own word: it is bounded and checked, and never believed. */
export const shownSchema = z.object({
  /** Base64. */
  bytes: z
    .string()
    .check(z.maxLength(Math.ceil(RESCUE_LIMITS.bytes / 3) * 4), z.regex(/^[A-Za-z0-9+/]*={0,2}$/)),
  /** There is more, which is left out. */
  more: z.boolean(),
});
export type Shown = z.infer<typeof shownSchema>;
