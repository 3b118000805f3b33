import { z } from 'zod';
import { commandSchema } from '../../../protocol/grant.ts';
import { nodeWord, sliceName, typed } from '../input.ts';
import { OF_SLICES, operation } from '../operation.ts';
import type { Ran } from './acts.ts';

export const sliceExec = operation({
  name: 'slice exec',
  help: 'run a command in an instance of a slice, on one of its nodes',
  who: OF_SLICES,
  slice: ({ name }) => [name],
  input: z.strictObject({
    name: sliceName,
    node: nodeWord,
    /** By name, as people write it. Left out: the one that the slice runs. */
    service: z.string().min(1).max(96).optional(),
    command: commandSchema,
  }),
  result: typed<Ran>(),
  act: async () => (await import('./acts.ts')).exec,
});
