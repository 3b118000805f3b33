import { z } from 'zod';
import { nodeWord, nothing, reason, typed } from '../input.ts';
import { CORE, operation, READ } from '../operation.ts';
import type { BanView, ShownBan } from './acts.ts';

export const add = operation({
  name: 'ban add',
  help: 'ban a node (name, MAC, serial number or id): quarantined, cut off, never enrolled again',
  who: CORE,
  input: z.strictObject({
    // A machine may be banned before this fleet has ever seen it: a whole id need not be a node's.
    node: nodeWord.optional(),
    /** Of one certificate, hex, with or without colons. */
    serial: z.string().max(128).optional(),
    reason,
  }),
  result: z.object({ ban: typed<ShownBan>(), fresh: z.boolean() }),
  act: async () => (await import('./acts.ts')).add,
});

export const list = operation({
  name: 'ban list',
  help: 'all bans, newest first; none is ever taken out',
  who: READ,
  input: nothing,
  result: z.object({ revision: z.number(), bans: typed<BanView[]>() }),
  act: async () => (await import('./acts.ts')).list,
});

export const lift = operation({
  name: 'ban lift',
  help: 'ask that a ban (its id or the beginning of it) be lifted; a second person approves it',
  who: CORE,
  fourEyes: true,
  input: z.strictObject({ ban: z.string().min(1).max(64), reason }),
  /** The ban, and whether it is lifted already. */
  result: z.object({ ban: typed<ShownBan>(), lifted: z.boolean() }),
  prepare: async () => (await import('./acts.ts')).prepareLift,
  effect: async () => (await import('./acts.ts')).effectOfLift,
  act: async () => (await import('./acts.ts')).lift,
});
