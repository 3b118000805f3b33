import type { Command } from 'commander';
import * as rollout from '../../orchestrator/operations/rollout/declared.ts';
import { harmless, print } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, type Json } from '../option.ts';

/** Rules that apply beyond one rollout. */
export function register(group: Command): void {
  commandFor(group, rollout.forgive, '<node> <version>').action(
    async (node: string, version: string, { json }: Json, command: Command) => {
      const done = await call(command, rollout.forgive, { node, version });
      print(json, done, () => harmless(`${done.name} may try ${version} again; it had failed: ${done.why}`));
    },
  );

  commandFor(group, rollout.floor, '[version]')
    .description(`${rollout.floor.help}; shows it, or sets it`)
    .option('--lower', 'it may go down: what was fenced off comes back')
    .option('--none', 'there is to be none (with --lower)')
    .action(
      async (
        version: string | undefined,
        { json, lower = false, none = false }: Json & { lower?: boolean; none?: boolean },
        command: Command,
      ) => {
        const floor =
          version === undefined && !none
            ? await call(command, rollout.floorShow, {})
            : await call(command, rollout.floor, { version: none ? null : (version ?? null), lower });
        print(json, floor, () =>
          [
            floor.fleet === null ? 'no release floor' : `no rollout leads below ${floor.fleet}`,
            ...Object.entries(floor.sites).map(([site, at]) => `site ${site}: not below ${at}`),
          ].join('\n'),
        );
      },
    );
}
