import { z } from 'zod';
import { BY } from '../../usage/by.ts';
import type { InstanceTop, NodeTop, ServiceTop, SliceTop } from '../../usage/top.ts';
import { nodeWord, siteName, sliceName, typed } from '../input.ts';
import { operation, READ, READ_SLICES } from '../operation.ts';

/** The larger first, of what; and lines at the most. */
const order = { by: z.enum(BY).default('cpu'), most: z.int().min(1).max(20_000).default(40) };

/** `nodes`: of the fleet or the site; `told`: of these, those that have said what they use. Milliseconds since the epoch. */
const counted = { nodes: z.int(), told: z.int(), now: z.number() };

export const nodeTop = operation({
  name: 'node top',
  help: 'which nodes use most: processors, memory, disks, network; as they last said',
  who: READ,
  input: z.strictObject({ site: siteName.optional(), ...order }),
  result: z.object({ rows: typed<NodeTop[]>(), ...counted }),
  act: async () => (await import('./acts.ts')).nodeTop,
});

export const serviceTop = operation({
  name: 'service top',
  help: 'which services use most; with a name, each instance of it',
  who: READ,
  input: z.strictObject({
    /** As people write it. */
    name: z.string().min(1).max(96).optional(),
    site: siteName.optional(),
    ...order,
  }),
  result: z.object({
    services: typed<ServiceTop[]>(),
    /** Of the one that was named; else none. */
    instances: typed<InstanceTop[]>(),
    ...counted,
  }),
  act: async () => (await import('./acts.ts')).serviceTop,
});

const text = z.object({ text: z.string() });

export const sliceTop = operation({
  name: 'slice top',
  help: 'which slices use most, beside their shares; with a name, each instance of it on each of its nodes',
  who: READ_SLICES,
  // Of all of them together only those hear who read everything.
  slice: ({ name }) => (name === undefined ? [] : [name]),
  input: z.strictObject({ name: sliceName.optional(), site: siteName.optional(), ...order }),
  result: z.object({
    slices: typed<SliceTop[]>(),
    /** Of the one that was named; else none. */
    instances: typed<InstanceTop[]>(),
    ...counted,
  }),
  act: async () => (await import('./acts.ts')).sliceTop,
});

export const sliceMetrics = operation({
  name: 'slice metrics',
  help: 'what a slice has and what its services use, as text for Prometheus',
  who: READ_SLICES,
  slice: ({ name }) => [name],
  input: z.strictObject({ name: sliceName }),
  result: text,
  act: async () => (await import('./acts.ts')).sliceMetrics,
});

export const nodeMetrics = operation({
  name: 'node metrics',
  help: 'what a node and its services use now, asked over its link, as text for Prometheus',
  who: READ,
  nodes: ['node'],
  input: z.strictObject({ node: nodeWord }),
  result: text,
  act: async () => (await import('./acts.ts')).nodeMetrics,
});

export const metrics = operation({
  name: 'metrics',
  help: "the fleet's numbers, and those of every node and service, as text for Prometheus",
  who: READ,
  input: z.strictObject({ site: siteName.optional() }),
  result: text,
  act: async () => (await import('./acts.ts')).metrics,
});
