import { z } from 'zod';
import { THROTTLE } from '../../../protocol/order.ts';
import { nodeWord, nothing, reason, typed } from '../input.ts';
import { type About, AT_SITES, operation, READ } from '../operation.ts';
import type { Restrained, ShownRestraint } from './acts.ts';

/** By name, as people write it. */
const service = z.string().min(1).max(96);
/** Left out: wherever it runs, now and later. Then it is not a matter of sites. */
const nodes = z.array(nodeWord).max(1000).default([]);
const atThose = (_: unknown, { nodes }: About): string[] => nodes.map(({ site }) => site);

export const freeze = operation({
  name: 'service freeze',
  help: 'stop a service at once, as it stands: none of its programs goes on, nothing of it reaches the network',
  who: AT_SITES,
  nodes: ['nodes'],
  site: atThose,
  input: z.strictObject({ service, nodes, reason }),
  result: typed<Restrained>(),
  act: async () => (await import('./acts.ts')).freeze,
});

export const throttle = operation({
  name: 'service throttle',
  help: 'let a service send and receive only so much a second',
  who: AT_SITES,
  nodes: ['nodes'],
  site: atThose,
  input: z.strictObject({
    ...{ service, nodes, reason },
    /** Bytes a second, each way. */
    rate: z.int().min(THROTTLE.least).max(THROTTLE.most),
  }),
  result: typed<Restrained>(),
  act: async () => (await import('./acts.ts')).throttle,
});

export const resume = operation({
  name: 'service resume',
  help: 'let a service go that was frozen or throttled',
  who: AT_SITES,
  nodes: ['nodes'],
  site: atThose,
  input: z.strictObject({ service, nodes, reason }),
  result: typed<Restrained>(),
  act: async () => (await import('./acts.ts')).resume,
});

export const list = operation({
  name: 'service restraints',
  help: 'which services are frozen or throttled, where, by whom and why',
  who: READ,
  input: nothing,
  result: typed<ShownRestraint[]>(),
  act: async () => (await import('./acts.ts')).list,
});
