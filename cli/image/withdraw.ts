import type { Command } from 'commander';
import * as image from '../../orchestrator/operations/image/declared.ts';
import { harmless, print, table } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, foldersOf, type Json, MEDIA } from '../option.ts';
import { type ReleaseOptions, releaseIn, releaseOptions } from './publish.ts';

/** The published images that new hardware does not get. */
export function register(group: Command): void {
  commandFor(group, image.withdrawn).action(async ({ json }: Json, command: Command) => {
    const all = await call(command, image.withdrawn, {});
    print(json, all, () =>
      Object.keys(all).length === 0
        ? 'no image is withdrawn'
        : table(['VERSION', 'WHY'], Object.entries(all)),
    );
  });

  commandFor(group, image.withdraw, '<version>')
    .option(...MEDIA)
    .option('--reason <text>', 'why', 'withdrawn by the operator')
    .action(
      async (version: string, options: Json & { keys?: string[]; reason: string }, command: Command) => {
        const { json, keys, reason } = options;
        const done = await call(command, image.withdraw, { version, keys: foldersOf(keys), reason });
        print(json, done, () => harmless(`${version} is withdrawn${done.changed ? '' : ' (as before)'}`));
      },
    );

  releaseOptions(commandFor(group, image.reinstate, '<version>')).action(
    async (version: string, options: Json & ReleaseOptions, command: Command) => {
      const done = await call(command, image.reinstate, { version, ...releaseIn(options) });
      print(options.json, done, () =>
        harmless(`${version} is given to nodes and new hardware again; it was withdrawn: ${done.why}`),
      );
    },
  );
}
