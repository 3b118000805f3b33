import { z } from 'zod';
import { nodeWord, reason, typed } from '../input.ts';
import { AT_SITES, atNodes, operation, READ } from '../operation.ts';
import type { FirmwareView, Seen, Shown, Told } from './acts.ts';
import type { Sat } from './console.ts';

/** As orchestrator/power has them; a declaration loads nothing of what it does. */
const ACTIONS = ['on', 'off', 'cycle', 'reset'] as const;
const KINDS = ['ipmi', 'redfish'] as const;

const test = z.object({
  at: z.number(),
  took: z.number(),
  ok: z.boolean(),
  power: z.enum(['on', 'off']).nullable(),
  code: z.string(),
  what: z.string(),
  weaknesses: z.array(z.object({ code: z.string(), what: z.string() })),
});
const line = (most: number) =>
  z
    .string()
    .min(1)
    .max(most)
    .regex(/^[^\p{Cc}\p{Cs}]+$/u);

export const power = operation({
  name: 'node power',
  help: 'switch a node by its BMC (on, off, cycle, reset), or ask for its power (status); it is believed when the node was seen to do it',
  who: AT_SITES,
  nodes: ['node'],
  site: atNodes,
  input: z.strictObject({
    node: nodeWord,
    action: z.enum(ACTIONS),
    /** Its next boot, and only that one. */
    next: z.literal('network').optional(),
    reason: reason.optional(),
  }),
  result: typed<Told>(),
  act: async () => (await import('./acts.ts')).power,
});

export const powerStatus = operation({
  name: 'node power status',
  help: 'what its BMC says of the power, and what became of the last action',
  who: AT_SITES,
  nodes: ['node'],
  site: atNodes,
  input: z.strictObject({ node: nodeWord }),
  result: typed<Seen & { power: 'on' | 'off' }>(),
  act: async () => (await import('./acts.ts')).status,
});

export const powerSeen = operation({
  name: 'node power seen',
  help: 'what became of the last action; no BMC is asked',
  who: READ,
  nodes: ['node'],
  input: z.strictObject({ node: nodeWord }),
  result: typed<Seen>(),
  act: async () => (await import('./acts.ts')).seen,
});

export const nodeConsole = operation({
  name: 'node console',
  help: 'sit at the serial console of a node by its BMC; what it shows is recorded',
  who: AT_SITES,
  nodes: ['node'],
  site: atNodes,
  input: z.strictObject({
    node: nodeWord,
    /** Whoever has it loses it. */
    take: z.boolean().default(false),
  }),
  result: typed<Sat>(),
  act: async () => (await import('./console.ts')).console,
});

export const bmcSet = operation({
  name: 'node bmc set',
  help: 'say how the BMC of a node is reached; it must answer, and be that of this node',
  who: AT_SITES,
  nodes: ['node'],
  site: atNodes,
  input: z.strictObject({
    node: nodeWord,
    /** An IP address, with a port where it is not the usual one. */
    address: z.string().min(2).max(64),
    kind: z.enum(KINDS),
    user: line(64),
    password: line(128),
    /** Redfish: SHA-256 of its certificate. */
    pin: z.string().max(128).optional(),
    /** Whoever asks has looked: it is the node's BMC whatever it says. */
    unproven: z.boolean().default(false),
  }),
  result: test,
  act: async () => (await import('./bmc.ts')).set,
});

export const bmcShow = operation({
  name: 'node bmc show',
  help: 'how the BMC of a node is reached (never its password), and how its last test went',
  who: AT_SITES,
  nodes: ['node'],
  site: atNodes,
  input: z.strictObject({ node: nodeWord }),
  result: typed<Shown>(),
  act: async () => (await import('./bmc.ts')).show,
});

export const bmcTest = operation({
  name: 'node bmc test',
  help: 'look at the BMC of a node now, harmlessly: does it answer, is it the right one, is it open to others',
  who: AT_SITES,
  nodes: ['node'],
  site: atNodes,
  input: z.strictObject({ node: nodeWord }),
  result: test,
  act: async () => (await import('./bmc.ts')).test,
});

export const bmcRemove = operation({
  name: 'node bmc remove',
  help: 'forget how the BMC of a node is reached, its password with it',
  who: AT_SITES,
  nodes: ['node'],
  site: atNodes,
  input: z.strictObject({ node: nodeWord }),
  result: z.object({ removed: z.boolean() }),
  act: async () => (await import('./bmc.ts')).remove,
});

export const bmcFirmware = operation({
  name: 'node bmc firmware',
  help: 'settings of the firmware that its BMC offers (Redfish): Secure Boot setup mode, boot order, URI of HTTP boot',
  who: AT_SITES,
  nodes: ['node'],
  site: atNodes,
  input: z.strictObject({
    node: nodeWord,
    setupMode: z.literal(true).optional(),
    order: z.array(line(128)).min(1).max(256).optional(),
    httpUri: z
      .string()
      .max(512)
      .regex(/^https?:\/\/[^\s]+$/)
      .optional(),
  }),
  result: typed<FirmwareView>(),
  act: async () => (await import('./bmc.ts')).firmware,
});
