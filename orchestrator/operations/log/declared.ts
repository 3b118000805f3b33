import { z } from 'zod';
import { LOG_LIMITS } from '../../../protocol/link/logs.ts';
import { moment, nodeWord, sliceName, typed } from '../input.ts';
import { CORE, OF_SLICES, operation } from '../operation.ts';
import type { Written } from './gather.ts';

/** By name, as people write it. */
const service = z.string().min(1).max(96);
const asked = {
  /** Left out: as long as the journals of the nodes go back. */
  since: moment.optional(),
  /** The newest of each instance; of many instances fewer. */
  lines: z.int().min(1).max(LOG_LIMITS.lines).default(100),
};

export const sliceLogs = operation({
  name: 'slice logs',
  help: 'what the services of a slice wrote, as its nodes have it in their journals: the newest lines',
  who: OF_SLICES,
  slice: ({ name }) => [name],
  input: z.strictObject({
    name: sliceName,
    /** Left out: all that the slice is to run. */
    service: service.optional(),
    /** Left out: all nodes of the slice. */
    node: nodeWord.optional(),
    ...asked,
  }),
  result: typed<Written>(),
  act: async () => (await import('./acts.ts')).sliceLogs,
});

export const serviceLogs = operation({
  name: 'service logs',
  help: 'what a service wrote, its own or that of a slice (web/shop@probe), on the nodes that are to run it: the newest lines',
  who: CORE,
  nodes: ['nodes'],
  input: z.strictObject({
    service,
    /** Left out: wherever it is to run. */
    nodes: z.array(nodeWord).max(500).default([]),
    ...asked,
  }),
  result: typed<Written>(),
  act: async () => (await import('./acts.ts')).serviceLogs,
});
