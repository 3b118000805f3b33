import { z } from 'zod';
import type { FirmwareView } from '../../fleet/firmware/overview.ts';
import type { Firmware } from '../../fleet/firmware/store.ts';
import { nodeWord, nothing, reason, typed } from '../input.ts';
import { CORE, operation, READ } from '../operation.ts';

export const list = operation({
  name: 'firmware list',
  help: 'what is known of each model, what is only shown, and how many nodes show it now',
  who: READ,
  input: nothing,
  result: typed<FirmwareView[]>(),
  act: async () => (await import('./acts.ts')).list,
});

export const accept = operation({
  name: 'firmware accept',
  help: 'accept what this node (name, MAC, serial number or id) shows as right for its model, on every node',
  who: CORE,
  nodes: ['node'],
  input: z.strictObject({
    node: nodeWord,
    /** Only when its PCR 0 begins so, hex. */
    shows: z.string().max(128).optional(),
    reason,
  }),
  result: typed<Firmware & { fresh: boolean }>(),
  act: async () => (await import('./acts.ts')).accept,
});

export const forget = operation({
  name: 'firmware forget',
  help: 'accept a value (PCR 0 or its first digits) no more: firmware that shows it is unknown from now on',
  who: CORE,
  input: z.strictObject({
    pcr0: z.string().min(1).max(128),
    model: z.string().max(256).optional(),
    reason,
  }),
  result: typed<Firmware>(),
  act: async () => (await import('./acts.ts')).forget,
});
