import type { Command } from 'commander';
import { readManifest } from '../../image/build/manifest.ts';
import { withFleet } from '../fleet/with-fleet.ts';
import { readWithdrawn, reinstate, withdraw } from '../rollout/run/withdrawn.ts';
import { harmless, pathsOf, print, table } from './context.ts';
import { operator } from './operator.ts';

type Json = { json?: boolean };

/** Which published images new hardware is not given. */
export function register(image: Command): void {
  image
    .command('withdrawn')
    .description('published images that new hardware is not given, and why: rollouts took them back')
    .option('--json')
    .action(async (options: Json, command: Command) => {
      const all = await withFleet(pathsOf(command), (fleet) => readWithdrawn(fleet.redis));
      print(options.json, all, () =>
        Object.keys(all).length === 0
          ? 'no image is withdrawn'
          : table(['VERSION', 'WHY'], Object.entries(all)),
      );
    });

  image
    .command('withdraw <version>')
    .description('new hardware is no longer given this image; nodes that run it keep it')
    .option('--reason <text>', 'why', 'withdrawn by the operator')
    .option('--json')
    .action(async (version: string, options: Json & { reason: string }, command: Command) => {
      const paths = pathsOf(command);
      await readManifest(paths.images, version);
      const { reason } = options;
      const changed = await withFleet(paths, (fleet) => withdraw(fleet.redis, version, reason, operator()));
      print(options.json, { version, changed }, () =>
        harmless(`${version} is withdrawn${changed ? '' : ' (as before)'}`),
      );
    });

  image
    .command('reinstate <version>')
    .description('new hardware is given this image again')
    .option('--json')
    .action(async (version: string, options: Json, command: Command) => {
      const why = await withFleet(pathsOf(command), (fleet) => reinstate(fleet.redis, version, operator()));
      print(options.json, { version, why }, () =>
        harmless(`${version} is given to new hardware again; it was withdrawn: ${why}`),
      );
    });
}
